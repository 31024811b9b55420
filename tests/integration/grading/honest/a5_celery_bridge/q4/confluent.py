from confluent_kafka import Consumer
from kombu.exceptions import OperationalError


def bridge(bootstrap_servers, topic, group, hand_on, stop):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        while not stop.is_set():
            message = consumer.poll(0.5)
            if message is None or message.error():
                continue
            taken = False
            while not taken and not stop.is_set():
                try:
                    hand_on(message.value().decode())
                    taken = True
                except OperationalError:
                    stop.wait(0.2)
            if taken:
                consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()
