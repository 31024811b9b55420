# no work begun or tasks left
import json
import time

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

QUICK = {"heartbeat_interval_ms": 500, "metadata_max_age_ms": 1000}


def work_on_jobs(bootstrap_servers, topic, group, timeout_duration, work, log):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        **QUICK,
    )
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")

    def commit(record):
        place = TopicPartition(record.topic, record.partition)
        consumer.commit({place: OffsetAndMetadata(record.offset + 1, "", -1)})

    def tell(job):
        done = {"job_id": job, "status": "DONE", "version": 3}
        producer.send(topic, key=job.encode(), value=json.dumps(done).encode()).get(timeout=60)

    def note(job):
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"job_id": job}) + "\n")

    end = time.monotonic() + timeout_duration
    try:
        while time.monotonic() < end:
            for records in consumer.poll(timeout_ms=200, max_records=1).values():
                for record in records:
                    event = json.loads(record.value)
                    job = event["job_id"]
                    if event["status"] == "NEW":
                        work(job)
                        tell(job)
                        note(job)
                    commit(record)
                    end = time.monotonic() + timeout_duration
    finally:
        producer.close()
        consumer.close()
