from itertools import cycle

from kafka import KafkaProducer


class Sender:
    def __init__(self, bootstrap_servers, topic):
        self.producer = KafkaProducer(bootstrap_servers=bootstrap_servers, retries=5)
        self.topic = topic
        self.partitions = cycle(self.producer.partitions_for(topic))

    def send(self, task):
        place = self.producer.send(self.topic, value=task.encode("utf-8"), partition=next(self.partitions)).get(30)
        return (place.partition, place.offset)


def send_tasks(bootstrap_servers, topic, tasks):
    sender = Sender(bootstrap_servers, topic)
    return [sender.send(task) for task in tasks]
