# one consumer shared by threads
import threading

from kafka import KafkaConsumer

QUICK = {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 500, "metadata_max_age_ms": 1000}


def work_on_tasks(bootstrap_servers, topic, group, work, stop):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False, **QUICK
    )
    turn = threading.Lock()

    def run():
        while not stop.is_set():
            with turn:
                found = [one for some in consumer.poll(timeout_ms=200, max_records=1).values() for one in some]
            for record in found:
                work(record.value.decode())
                with turn:
                    consumer.commit()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    consumer.close()
