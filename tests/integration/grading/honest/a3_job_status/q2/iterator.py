import json

from kafka import KafkaConsumer, KafkaProducer


def work_on_jobs(bootstrap_servers, topic, group, timeout_duration, work, log):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=[bootstrap_servers],
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=1,
        consumer_timeout_ms=int(timeout_duration * 1000),
        value_deserializer=json.loads,
    )
    producer = KafkaProducer(
        bootstrap_servers=[bootstrap_servers], value_serializer=lambda one: json.dumps(one).encode()
    )
    with open(log, "a") as lines:
        for record in consumer:
            if record.value["status"] == "NEW":
                job = record.value["job_id"]
                work(job)
                producer.send(topic, record.value | {"status": "DONE", "version": 3}, record.key)
                producer.flush()
                print(json.dumps(record.value), file=lines, flush=True)
                consumer.commit()
    consumer.close(autocommit=False)
