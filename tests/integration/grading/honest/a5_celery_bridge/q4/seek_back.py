from kafka import KafkaConsumer, OffsetAndMetadata
from kombu.exceptions import OperationalError

QUICK = {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 500, "metadata_max_age_ms": 1000}


def bridge(bootstrap_servers, topic, group, hand_on, stop):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False, **QUICK
    )
    try:
        while not stop.is_set():
            for place, records in consumer.poll(timeout_ms=200, max_records=1).items():
                for record in records:
                    try:
                        hand_on(record.value.decode())
                    except OperationalError:
                        consumer.seek(place, record.offset)
                        stop.wait(0.1)
                    else:
                        consumer.commit({place: OffsetAndMetadata(record.offset + 1, "", -1)})
    finally:
        consumer.close(autocommit=False)
