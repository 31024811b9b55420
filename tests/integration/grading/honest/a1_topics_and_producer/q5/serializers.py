import json

from kafka import KafkaProducer


def send_all(servers, topic, records):
    producer = KafkaProducer(
        bootstrap_servers=[servers],
        key_serializer=str.encode,
        value_serializer=lambda value: json.dumps(value).encode("utf-8"),
        linger_ms=20,
    )
    try:
        futures = [producer.send(topic, value, key) for key, value in records]
        producer.flush()
        return [[found.partition, found.offset] for found in (future.get(0) for future in futures)]
    finally:
        producer.close()
