# blocked poll loop
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

QUICK = {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 500, "metadata_max_age_ms": 1000}


def work_in_a_group(bootstrap_servers, topic, group, work, stop):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False, **QUICK
    )
    try:
        while not stop.is_set():
            for records in consumer.poll(timeout_ms=200).values():
                for record in records:
                    work(record.value.decode())
                    place = TopicPartition(record.topic, record.partition)
                    consumer.commit({place: OffsetAndMetadata(record.offset + 1, "", -1)})
    finally:
        consumer.close()
