# wait for each record
import json

from kafka import KafkaProducer


def send_all(servers, topic, records):
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    written = [
        producer.send(topic, key=key.encode(), value=json.dumps(value).encode()).get(timeout=60)
        for key, value in records
    ]
    producer.close()
    return [(record.partition, record.offset) for record in written]
