from confluent_kafka import Producer


def send_tasks(bootstrap_servers, topic, tasks):
    places = {}

    def note(error, message):
        if error is None:
            places[message.value().decode()] = [message.partition(), message.offset()]

    producer = Producer({"bootstrap.servers": bootstrap_servers, "enable.idempotence": True})
    count = len(producer.list_topics(topic, 30).topics[topic].partitions)
    for number, task in enumerate(tasks):
        producer.produce(topic, task.encode(), partition=number % count, on_delivery=note)
    producer.flush(60)
    return [places[task] for task in tasks]
