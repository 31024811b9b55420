# one group for all
import json

from kafka import KafkaConsumer


def view_of_jobs(bootstrap_servers, topic, timeout_duration):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id="views",
        auto_offset_reset="earliest",
        consumer_timeout_ms=int(1000 * timeout_duration),
        metadata_max_age_ms=500,
    )
    best = {}
    for record in consumer:
        event = json.loads(record.value)
        job = event["job_id"]
        if job not in best or best[job]["version"] < event["version"]:
            best[job] = event
    consumer.close()
    return {job: event["status"] for job, event in best.items()}
