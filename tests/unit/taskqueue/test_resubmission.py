"""Tasks that come back, since the topic was made anew with fewer partitions: handed over once more, in their order."""

import threading

import pytest

from labkit.errors import PartitionGone
from labkit.settings import Settings
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import RecordMetadata
from labkit.taskqueue.transport.memory import MemoryTransport

SETTINGS = Settings(_env_file=None, delivery_timeout=30)
GONE = PartitionGone("The record was not acknowledged: no such partition.")


class Clock:
    """One that is set by hand, in seconds."""

    def __init__(self, now: float):
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Library:
    """A client that keeps what it gets until it is flushed, and knows by then how many partitions there are."""

    def __init__(self):
        self.partitions, self.sent, self.open = 4, [], []

    def send(self, topic, *, partition, value, on_delivery, **record):
        self.open.append((partition, value, on_delivery))

    def flush(self, timeout):
        while self.open:
            self.report()

    def report(self):
        partition, value, on_delivery = self.open.pop(0)
        if partition >= self.partitions:
            on_delivery(None, GONE)
        else:
            self.sent.append(value)
            on_delivery(RecordMetadata(partition, len(self.sent)), None)

    def close(self, timeout):
        self.flush(timeout)


class Transport(MemoryTransport):
    def __init__(self):
        super().__init__()
        self.library = Library()

    def producer(self, config):
        return self.library


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def topics(transport):
    with Topics(transport) as topics:
        topics.create("t", partitions=4)
        yield topics


def recreate(topics, transport) -> None:
    topics.recreate("t", partitions=1)
    transport.library.partitions = 1


def keyed(count: int):
    """Tasks of one key that is not of partition 0."""
    return [new_task("k", number, key="one") for number in range(count)]


def values(tasks) -> list[bytes]:
    return [task.encode()[1] for task in tasks]


def test_all_that_come_back_go_to_a_partition_that_is_there_in_their_order(topics, transport):
    tasks = keyed(20)
    with Producer(topics.get("t"), settings=SETTINGS) as producer:
        recreate(topics, transport)
        receipts = producer.send_many(tasks)
    assert {receipt.partition for receipt in receipts} == {0}
    assert transport.library.sent == values(tasks)


def test_what_comes_back_in_another_order_is_put_into_its_own(topics, transport):
    """librdkafka first reports what it had not yet queued for a broker, which came last."""
    library, tasks = transport.library, keyed(20)
    with Producer(topics.get("t"), settings=SETTINGS) as producer:
        for task in tasks:
            producer.submit(task)
        recreate(topics, transport)
        library.open.reverse()
        producer.flush()
        assert not producer.receipts()["error"].notna().any()
    assert library.sent == values(tasks)


def test_what_comes_back_is_sent_though_nobody_flushes(topics, transport):
    library, tasks = transport.library, keyed(3)
    with Producer(topics.get("t"), settings=SETTINGS) as producer:
        for task in tasks[:2]:
            producer.submit(task)
        recreate(topics, transport)
        library.report()
        both = lambda: len(library.open) + len(library.sent) == 2  # noqa: E731
        wait_until(both, timeout=60, what="both were to be handed over again")
        producer.submit(tasks[2])
    assert library.sent == values(tasks)


def test_what_comes_behind_waits_until_the_others_have_their_partition(topics, transport):
    tasks = keyed(6)
    now = Clock(1_000_000.0)
    with Producer(topics.get("t"), settings=SETTINGS, clock=now) as producer:
        for task in tasks[:3]:
            producer.submit(task)
        recreate(topics, transport)
        now.advance(10)  # the number of partitions is looked at again
        for task in tasks[3:]:
            producer.submit(task)
    assert transport.library.sent == values(tasks)


def test_who_submits_in_a_callback_waits_for_nothing(topics, transport):
    tasks, now = keyed(2), Clock(1_000_000.0)

    def on_receipt(receipt):
        if receipt.task_id == tasks[0].id:
            recreate(topics, transport)
            now.advance(10)
            producer.submit(tasks[1])

    with Producer(topics.get("t"), settings=SETTINGS, clock=now, on_receipt=on_receipt) as producer:
        producer.submit(tasks[0])
        ends = threading.Thread(target=producer.flush, daemon=True)
        ends.start()
        ends.join(60)
        assert not ends.is_alive()
    assert transport.library.sent == values(tasks)


@pytest.mark.parametrize("how", ["twice", "late", "gone"])
def test_what_cannot_be_sent_is_not_acknowledged(topics, transport, how):
    now = Clock(0.0)
    with Producer(topics.get("t"), settings=SETTINGS, measure=now) as producer:
        transport.library.partitions = 0
        [task] = keyed(1)
        producer.submit(task)
        if how == "late":
            transport.library.partitions = 1
            now.advance(SETTINGS.delivery_timeout)
        if how == "gone":
            topics.delete("t")
        producer.flush()
        [error] = producer.receipts()["error"]
        assert GONE.args[0] in error
        assert ("could not be sent to another partition" in error) == (how == "gone")
        assert transport.library.sent == []
