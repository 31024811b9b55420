# error kept back
import json

from kafka import KafkaProducer


def send_all(servers, topic, records):
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    pending = [producer.send(topic, key=key.encode(), value=json.dumps(value).encode()) for key, value in records]
    producer.flush()
    producer.close()
    return [(future.value.partition, future.value.offset) for future in pending if future.succeeded()]
