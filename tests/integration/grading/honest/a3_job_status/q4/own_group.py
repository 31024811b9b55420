import json
import time
import uuid

from kafka import KafkaConsumer

ORDER = ["NEW", "RUNNING", "DONE"]


def view_of_jobs(bootstrap_servers, topic, timeout_duration):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=f"view-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        heartbeat_interval_ms=500,
        metadata_max_age_ms=1000,
    )
    jobs, end = {}, time.monotonic() + timeout_duration
    while time.monotonic() < end:
        for records in consumer.poll(timeout_ms=100).values():
            for record in records:
                event, end = json.loads(record.value), time.monotonic() + timeout_duration
                known = jobs.get(event["job_id"], "NEW")
                jobs[event["job_id"]] = max(known, event["status"], key=ORDER.index)
    consumer.close()
    return jobs
