# topic with another number of partitions
import json

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewPartitions


def send_all(servers, topic, records):
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_partitions({topic: NewPartitions(total_count=6)})
    admin.close()
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    pending = [producer.send(topic, key=key.encode(), value=json.dumps(value).encode()) for key, value in records]
    written = [future.get(timeout=60) for future in pending]
    producer.close()
    return [(record.partition, record.offset) for record in written]
