# task sent twice
import json

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError


def send_all(servers, topic, records):
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")

    def send(key, value):
        return producer.send(topic, key=key.encode(), value=json.dumps(value).encode())

    written = []
    pending = [(send(key, value), key, value) for key, value in records]
    for future, key, value in pending:
        try:
            written.append(future.get(timeout=0.2))
        except KafkaTimeoutError:  # so it is sent once more
            written.append(send(key, value).get(timeout=60))
    producer.close()
    return [(record.partition, record.offset) for record in written]
