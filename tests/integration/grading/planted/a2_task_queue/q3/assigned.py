# workers that do not share one group
from kafka import KafkaConsumer, TopicPartition

QUICK = {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 500, "metadata_max_age_ms": 1000}


def work_in_a_group(bootstrap_servers, topic, group, work, stop):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False, **QUICK)
    consumer.assign([TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))])
    try:
        while not stop.is_set():
            for records in consumer.poll(timeout_ms=200, max_records=1).values():
                for record in records:
                    work(record.value.decode())
                    consumer.commit()
    finally:
        consumer.close()
