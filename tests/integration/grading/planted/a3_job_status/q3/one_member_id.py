# ended by an error or a worker without a share
import json

from kafka import KafkaConsumer

QUICK = {"heartbeat_interval_ms": 500, "metadata_max_age_ms": 1000}


def work_for(bootstrap_servers, topic, purpose, work, stop):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=f"jobs-{purpose}",
        group_instance_id=purpose,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **QUICK,
    )
    try:
        while not stop.is_set():
            for records in consumer.poll(timeout_ms=500, max_records=1).values():
                for record in records:
                    event = json.loads(record.value)
                    if event["status"] == "NEW":
                        work(event["job_id"])
                    consumer.commit()
    finally:
        consumer.close()
