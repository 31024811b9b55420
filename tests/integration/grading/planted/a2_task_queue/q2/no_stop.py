# no clean stop
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

QUICK = {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 500, "metadata_max_age_ms": 1000}


def work_on_tasks(bootstrap_servers, topic, group, work, stop):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False, **QUICK
    )
    for record in consumer:
        work(record.value.decode())
        consumer.commit({TopicPartition(record.topic, record.partition): OffsetAndMetadata(record.offset + 1, "", -1)})
