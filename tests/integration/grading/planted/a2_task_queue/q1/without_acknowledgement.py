# another place than was said or task not on the topic
from kafka import KafkaProducer


def send_tasks(bootstrap_servers, topic, tasks):
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks=0, enable_idempotence=False)
    sent = [
        producer.send(topic, task.encode(), partition=number % 2).get(timeout=60) for number, task in enumerate(tasks)
    ]
    producer.close()
    return [[place.partition, place.offset] for place in sent]
