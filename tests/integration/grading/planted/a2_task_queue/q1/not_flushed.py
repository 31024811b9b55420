# task not on the topic
from kafka import KafkaProducer

PRODUCERS = []


def send_tasks(bootstrap_servers, topic, tasks):
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", linger_ms=60_000)
    PRODUCERS.append(producer)
    places = []
    for number, task in enumerate(tasks):
        producer.send(topic, task.encode(), partition=number % 2)
        places.append([number % 2, number // 2])
    return places
