# no wait for the acknowledgement
import json

from kafka import KafkaProducer


def send_all(servers, topic, records):
    producer = KafkaProducer(bootstrap_servers=servers, acks=0, enable_idempotence=False)
    pending = [producer.send(topic, key=key.encode(), value=json.dumps(value).encode()) for key, value in records]
    written = [future.get(timeout=60) for future in pending]
    producer.close()
    return [(record.partition, record.offset) for record in written]
