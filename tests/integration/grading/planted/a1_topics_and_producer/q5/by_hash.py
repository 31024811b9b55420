# another partitioner
import json

from kafka import KafkaProducer


def send_all(servers, topic, records):
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    pending = [
        producer.send(topic, partition=hash(key) % 4, key=key.encode(), value=json.dumps(value).encode())
        for key, value in records
    ]
    written = [future.get(timeout=60) for future in pending]
    producer.close()
    return [(record.partition, record.offset) for record in written]
