from kafka import KafkaConsumer


def work_in_a_group(bootstrap_servers, topic, group, work, stop):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=[bootstrap_servers],
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=1,
        consumer_timeout_ms=500,
        metadata_max_age_ms=1000,
        value_deserializer=lambda value: value.decode(),
    )
    try:
        while not stop.is_set():
            for message in consumer:
                work(message.value)
                consumer.commit()
                if stop.is_set():
                    break
    finally:
        consumer.close(autocommit=False)
