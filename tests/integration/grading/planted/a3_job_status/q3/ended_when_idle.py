# ended before it was asked to
import json

from kafka import KafkaConsumer


def work_for(bootstrap_servers, topic, purpose, work, stop):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=f"jobs-{purpose}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        heartbeat_interval_ms=500,
        consumer_timeout_ms=200,
    )
    for record in consumer:
        event = json.loads(record.value)
        if event["status"] == "NEW":
            work(event["job_id"])
        consumer.commit()
        if stop.is_set():
            break
    consumer.close()
