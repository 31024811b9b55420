# new partitions left
import json

from kafka import KafkaConsumer, TopicPartition


def view_of_jobs(bootstrap_servers, topic, timeout_duration):
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        auto_offset_reset="earliest",
        consumer_timeout_ms=int(1000 * timeout_duration),
        metadata_max_age_ms=500,
    )
    consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
    best = {}
    for record in consumer:
        event = json.loads(record.value)
        job = event["job_id"]
        if job not in best or best[job]["version"] < event["version"]:
            best[job] = event
    consumer.close()
    return {job: event["status"] for job, event in best.items()}
