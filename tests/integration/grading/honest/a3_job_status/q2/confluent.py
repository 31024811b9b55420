import json
import time

from confluent_kafka import Consumer, Producer


def work_on_jobs(bootstrap_servers, topic, group, timeout_duration, work, log):
    producer = Producer({"bootstrap.servers": bootstrap_servers, "partitioner": "murmur2_random"})
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    end = time.monotonic() + timeout_duration
    try:
        while time.monotonic() < end:
            message = consumer.poll(0.2)
            if message is None or message.error():
                continue
            event = json.loads(message.value())
            if event["status"] == "NEW":
                work(event["job_id"])
                producer.produce(topic, json.dumps(event | {"status": "DONE", "version": 3}), message.key())
                producer.flush()
                with open(log, "a") as lines:
                    lines.write(json.dumps({"job_id": event["job_id"]}) + "\n")
            consumer.commit(message=message, asynchronous=False)
            end = time.monotonic() + timeout_duration
    finally:
        consumer.close()
