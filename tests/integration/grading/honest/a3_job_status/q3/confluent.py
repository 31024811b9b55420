import json

from confluent_kafka import Consumer


def work_for(bootstrap_servers, topic, purpose, work, stop):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"{topic}.{purpose}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    while not stop.is_set():
        message = consumer.poll(0.5)
        if message is not None and not message.error():
            event = json.loads(message.value())
            if event["status"] == "NEW":
                work(event["job_id"])
            consumer.commit(message=message, asynchronous=False)
    consumer.close()
