# commit before the work
from kafka import KafkaConsumer

QUICK = {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 500, "metadata_max_age_ms": 1000}


def work_on_tasks(bootstrap_servers, topic, group, work, stop):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False, **QUICK
    )
    try:
        while not stop.is_set():
            for records in consumer.poll(timeout_ms=200, max_records=1).values():
                consumer.commit()
                for record in records:
                    work(record.value.decode())
    finally:
        consumer.close()
