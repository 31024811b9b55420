# task sent twice
from kafka import KafkaProducer


def send_tasks(bootstrap_servers, topic, tasks):
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    places = []
    for number, task in enumerate(tasks):
        for _ in range(2):  # to be on the safe side
            place = producer.send(topic, task.encode(), partition=number % 2).get(timeout=60)
        places.append([place.partition, place.offset])
    producer.close()
    return places
