# uneven
import random

from kafka import KafkaProducer


def send_tasks(bootstrap_servers, topic, tasks):
    chance = random.Random(1)
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    sent = [producer.send(topic, task.encode(), partition=int(chance.random() < 0.2)).get(timeout=60) for task in tasks]
    producer.close()
    return [[place.partition, place.offset] for place in sent]
