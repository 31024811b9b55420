# refused task committed
from kafka import KafkaConsumer
from kombu.exceptions import OperationalError

QUICK = {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 500, "metadata_max_age_ms": 1000}


def bridge(bootstrap_servers, topic, group, hand_on, stop):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False, **QUICK
    )
    try:
        while not stop.is_set():
            for records in consumer.poll(timeout_ms=200, max_records=1).values():
                for record in records:
                    while not stop.is_set():
                        try:
                            hand_on(record.value.decode())
                            break
                        except OperationalError:
                            stop.wait(0.1)
                    consumer.commit()
    finally:
        consumer.close()
