# all to one partition
from kafka import KafkaProducer


def send_tasks(bootstrap_servers, topic, tasks):
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    sent = [producer.send(topic, task.encode(), key=b"task").get(timeout=60) for task in tasks]
    producer.close()
    return [[place.partition, place.offset] for place in sent]
