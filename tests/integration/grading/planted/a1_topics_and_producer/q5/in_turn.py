# one key in several partitions
import json

from kafka import KafkaProducer


def send_all(servers, topic, records):
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    pending = [
        producer.send(topic, partition=number % 4, key=key.encode(), value=json.dumps(value).encode())
        for number, (key, value) in enumerate(records)
    ]
    written = [future.get(timeout=60) for future in pending]
    producer.close()
    return [(record.partition, record.offset) for record in written]
