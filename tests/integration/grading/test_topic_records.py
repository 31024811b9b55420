"""What is on a topic is read without trust: nothing is unpacked, and only so much is taken in."""

from __future__ import annotations

from collections.abc import Iterator

import kafka
import pytest
from kafka.admin import KafkaAdminClient

from labkit.errors import HistoryUnreadable, UnknownTopic
from labkit.grading.behaviour import topic_records
from labkit.grading.behaviour.bounded_client import BoundedClient
from labkit.grading.behaviour.topic_records import UNCOMPRESSED, TopicRecord, read_records, topic_shape
from labkit.lab import Lab
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport import connect_transport


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[BoundedClient]:
    with BoundedClient(lab.connection) as client:
        yield client


@pytest.fixture(scope="module")
def topics(lab: Lab) -> Iterator[Topics]:
    with Topics(connect_transport(lab.connection, "kafka-python")) as topics:
        yield topics


def write(lab: Lab, topic: str, *texts: str, partition: int = 0, **options: object) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=lab.bootstrap_servers, **options)
    for text in texts:
        producer.send(topic, text.encode(), partition=partition).get(30)
    producer.close()


def test_all_of_it_is_read_in_order(client: BoundedClient, topics: Topics, lab: Lab, unique_name: str) -> None:
    topics.create(unique_name, partitions=2, config=UNCOMPRESSED)
    assert read_records(client, unique_name, partitions=2) == []
    write(lab, unique_name, "a", "b")
    write(lab, unique_name, "c", partition=1, compression_type="gzip")
    found = read_records(client, unique_name, partitions=2)
    assert found == [TopicRecord("a", 0, 0), TopicRecord("b", 0, 1), TopicRecord("c", 1, 0)]


def test_what_is_packed_is_not_unpacked(client: BoundedClient, topics: Topics, lab: Lab, unique_name: str) -> None:
    """A batch of 1 MB may hold gigabytes; here student code has set the topic back to take it as it is."""
    topics.create(unique_name, partitions=1)
    write(lab, unique_name, "x" * 100_000, compression_type="gzip")
    with pytest.raises(HistoryUnreadable, match="compressed"):
        read_records(client, unique_name, partitions=1)


def test_too_much_is_not_read(
    client: BoundedClient, topics: Topics, lab: Lab, unique_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create(unique_name, partitions=1, config=UNCOMPRESSED)
    write(lab, unique_name, *("abc"))
    for name in ("MOST_RECORDS", "MOST_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(topic_records, name, 2)
            with pytest.raises(HistoryUnreadable, match="There are more than"):
                read_records(client, unique_name, partitions=1)
    monkeypatch.setattr(topic_records, "AT_ONCE", 1)  # a batch comes whole nevertheless
    assert len(read_records(client, unique_name, partitions=1)) == 3


def test_a_transaction_that_is_open_is_not_waited_for_and_one_taken_back_is_not_there(
    client: BoundedClient, topics: Topics, lab: Lab, unique_name: str
) -> None:
    topics.create(unique_name, partitions=1, config=UNCOMPRESSED)
    producer = kafka.KafkaProducer(bootstrap_servers=lab.bootstrap_servers, transactional_id=unique_name)
    producer.init_transactions()
    for text, end in (("a", producer.commit_transaction), ("b", producer.abort_transaction), ("c", None)):
        producer.begin_transaction()
        producer.send(unique_name, text.encode(), partition=0).get(30)
        if end is not None:
            end()
    assert [record.text for record in read_records(client, unique_name, partitions=1)] == ["a"]
    producer.abort_transaction()
    write(lab, unique_name, "d")
    assert [record.text for record in read_records(client, unique_name, partitions=1)] == ["a", "d"]
    producer.close()


def test_what_was_deleted_is_told(client: BoundedClient, topics: Topics, lab: Lab, unique_name: str) -> None:
    topics.create(unique_name, partitions=1, config=UNCOMPRESSED)
    write(lab, unique_name, "a", "b")
    admin = KafkaAdminClient(bootstrap_servers=lab.bootstrap_servers)
    admin.delete_records({kafka.TopicPartition(unique_name, 0): 1})
    admin.close()
    with pytest.raises(HistoryUnreadable, match="deleted"):
        read_records(client, unique_name, partitions=1)
    with pytest.raises(UnknownTopic):
        read_records(client, f"{unique_name}-none", partitions=1)


def test_a_record_has_its_key(client: BoundedClient, topics: Topics, lab: Lab, unique_name: str) -> None:
    topics.create(unique_name, partitions=1, config=UNCOMPRESSED)
    producer = kafka.KafkaProducer(bootstrap_servers=lab.bootstrap_servers)
    for key in (None, b"", b"a", b"\xff"):
        producer.send(unique_name, key=key, value=b"x").get(30)
    producer.close()
    assert [record.key for record in read_records(client, unique_name, partitions=1)] == [None, "", "a", "\ufffd"]


def test_a_topic_that_was_made_anew_is_another(client: BoundedClient, topics: Topics, unique_name: str) -> None:
    assert topic_shape(client, unique_name) is None
    topics.create(unique_name, partitions=2)
    first = topic_shape(client, unique_name)
    topics.recreate(unique_name, partitions=3)
    second = topic_shape(client, unique_name)
    assert first is not None
    assert second is not None
    assert (first[1], second[1]) == (2, 3)
    assert first[0] != second[0]
