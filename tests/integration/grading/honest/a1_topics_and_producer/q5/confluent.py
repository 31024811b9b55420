import json

from confluent_kafka import KafkaException, Producer


def send_all(servers, topic, records):
    told = {}

    def noting(number):
        def note(error, message):
            told[number] = error or (message.partition(), message.offset())

        return note

    producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random"})
    for number, (key, value) in enumerate(records):
        producer.produce(topic, json.dumps(value), key, on_delivery=noting(number))
    producer.flush(60)
    for one in told.values():
        if not isinstance(one, tuple):
            raise KafkaException(one)
    return [told[number] for number in range(len(records))]
