from confluent_kafka import Consumer


def work_in_a_group(bootstrap_servers, topic, group, work, stop):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "group.protocol": "consumer",
            "enable.auto.commit": False,
            "topic.metadata.refresh.interval.ms": 1000,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        while not stop.is_set():
            message = consumer.poll(0.5)
            if message is None or message.error():
                continue
            work(message.value().decode())
            consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()
