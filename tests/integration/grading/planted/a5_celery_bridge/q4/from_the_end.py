# no work begun
from kafka import KafkaConsumer


def bridge(bootstrap_servers, topic, group, hand_on, stop):
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False)
    try:
        while not stop.is_set():
            for records in consumer.poll(timeout_ms=200, max_records=1).values():
                for record in records:
                    hand_on(record.value.decode())
                    consumer.commit()
    finally:
        consumer.close()
