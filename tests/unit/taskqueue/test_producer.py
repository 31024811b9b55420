"""The producer, in memory: receipts, schedules, and what happens when the broker refuses."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest

from labkit.errors import (
    BrokerUnreachable,
    DeadlineExceeded,
    LabkitError,
    NotAcknowledged,
    TaskNotEncodable,
    TransportError,
    UnknownTopic,
)
from labkit.settings import Settings
from labkit.taskqueue import repeated_question
from labkit.taskqueue.arrivals import constant
from labkit.taskqueue.producer import PARTITIONS_MAX_AGE, Producer
from labkit.taskqueue.task import Task, new_task, stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ConsumerConfig, RecordMetadata, TopicPartition
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.conditions import PATIENCE

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def read(topics: Topics, topic: str) -> list[Task]:
    consumer = topics.transport.consumer(ConsumerConfig())
    ends = topics.end_offsets(topic)
    consumer.assign([TopicPartition(topics.prefix + topic, partition) for partition in ends])
    tasks: list[Task] = []
    while len(tasks) < sum(ends.values()):
        tasks += [Task.decode(record) for record in consumer.poll(1)]
    consumer.close()
    return tasks


def test_a_receipt_says_where_the_task_is(topics):
    topic = topics.create("t", partitions=2)
    with Producer(topic, settings=SETTINGS) as producer:
        receipts = [producer.send(task) for task in stock_tasks(4, seed=1)]
    assert [(r.partition, r.offset) for r in receipts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert all(r.acknowledged_at >= r.produced_at == r.scheduled_at for r in receipts)


def test_send_many_returns_receipts_in_the_order_of_the_tasks(topics):
    topic = topics.create("t", partitions=3)
    tasks = stock_tasks(100, seed=1)
    with Producer(topic, settings=SETTINGS) as producer:
        receipts = producer.send_many(iter(tasks))
        frame = producer.receipts()
    assert [r.task_id for r in receipts] == [task.id for task in tasks]
    assert list(frame["task_id"]) == [task.id for task in tasks]
    assert {task.id for task in read(topics, "t")} == {task.id for task in tasks}


def test_the_same_key_goes_to_the_same_partition(topics):
    topic = topics.create("t", partitions=4)
    with Producer(topic, settings=SETTINGS) as producer:
        receipts = producer.send_many(stock_tasks(200, seed=1, keys=10))
    keys = {task.id: task.key for task in stock_tasks(200, seed=1, keys=10)}
    homes = {(keys[r.task_id], r.partition) for r in receipts}
    assert len(homes) == 10


def test_a_refused_task_is_not_reported_as_sent(topics):
    topic = topics.create("t", partitions=1)
    too_large = new_task("k", "x" * 2_000_000)  # brokers take 1 MB
    with Producer(topic, settings=SETTINGS) as producer:
        with pytest.raises(NotAcknowledged, match="1 of 3 tasks"):
            producer.send_many([*stock_tasks(2, seed=1), too_large])
        frame = producer.receipts()
    assert list(frame["error"].isna()) == list(frame["acknowledged_at"].notna()) == [True, True, False]
    assert topics.end_offsets("t") == {0: 2}


def test_what_cannot_be_encoded_is_not_sent(topics):
    topic = topics.create("t", partitions=1)
    with Producer(topic, settings=SETTINGS) as producer, pytest.raises(TaskNotEncodable):
        producer.send(new_task("k", object()))
    assert topics.end_offsets("t") == {0: 0}


def test_a_schedule_is_kept_and_travels_with_the_task(topics):
    topic = topics.create("t", partitions=1)
    with Producer(topic, settings=SETTINGS) as producer:
        assert producer.submit_on_schedule(stock_tasks(5, seed=1), constant(500)) == 5
        producer.flush()
        frame = producer.receipts()
    due = list(frame["scheduled_at"])
    assert [round(1000 * (moment - due[0])) for moment in due] == [0, 2, 4, 6, 8]
    assert (frame["produced_at"] >= frame["scheduled_at"]).all()
    assert [task.scheduled_at for task in read(topics, "t")] == due


def test_a_late_generator_sends_at_once_and_keeps_the_scheduled_time(topics):
    topic = topics.create("t", partitions=1)
    now = [100.0]
    with Producer(topic, settings=SETTINGS, clock=lambda: now[0]) as producer:

        def slow():
            for task in stock_tasks(3, seed=1):
                now[0] += 1.0  # making the task takes a second; ten are due each second
                yield task

        producer.submit_on_schedule(slow(), constant(10))
        producer.flush()
        frame = producer.receipts()
    assert list(frame["scheduled_at"]) == pytest.approx([100.0, 100.1, 100.2])
    assert list(frame["produced_at"]) == pytest.approx([101.0, 102.0, 103.0])


@pytest.mark.parametrize("by", [-3600.0, 3600.0])
def test_a_clock_that_is_set_neither_stops_nor_rushes_a_schedule(topics, by):
    topic = topics.create("t", partitions=1)
    now, measured, waits = [5000.0], [0.0], []

    class Stop(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            measured[0] += timeout
            now[0] += timeout + (by if len(waits) == 3 else 0)
            return False

    with Producer(topic, settings=SETTINGS, clock=lambda: now[0], measure=lambda: measured[0]) as producer:
        assert producer.submit_on_schedule(stock_tasks(10, seed=1), constant(10), stop=Stop()) == 10
        producer.flush()
        frame = producer.receipts()
    assert waits == pytest.approx([0.1] * 9)
    assert list(frame["scheduled_at"]) == pytest.approx([5000 + number / 10 for number in range(10)])


def test_stop_ends_the_schedule_between_two_tasks(topics):
    topic = topics.create("t", partitions=1)
    stop = threading.Event()
    receipts = []

    def take(receipt):
        receipts.append(receipt)
        stop.set()

    with Producer(topic, settings=SETTINGS, on_receipt=take) as producer:
        sent = producer.submit_on_schedule(stock_tasks(1000, seed=1), constant(20), stop=stop)
    assert sent == len(receipts) < 1000


def test_a_topic_that_grew_is_noticed(topics):
    topic = topics.create("t", partitions=1)
    now = [0.0]
    with Producer(topic, settings=SETTINGS, measure=lambda: now[0]) as producer:
        topics.grow("t", partitions=4)
        producer.send_many(stock_tasks(8, seed=1))
        assert topics.end_offsets("t") == {0: 8, 1: 0, 2: 0, 3: 0}
        now[0] = PARTITIONS_MAX_AGE
        producer.send_many(stock_tasks(8, seed=1))
    assert topics.end_offsets("t") == {0: 10, 1: 2, 2: 2, 3: 2}


def test_a_topic_that_is_not_told_of_holds_up_nobody_and_is_noticed_later(topics, monkeypatch):
    monkeypatch.setattr(repeated_question, "MOMENT", 0)
    topic = topics.create("t", partitions=1)
    now, looks, may_answer = [0.0], [], threading.Event()
    with Producer(topic, settings=SETTINGS, measure=lambda: now[0]) as producer:
        get = producer._topics.get

        def slow_look(name):
            looks.append(name)
            assert may_answer.wait(PATIENCE)
            return get(name)

        monkeypatch.setattr(producer._topics, "get", slow_look)
        topics.grow("t", partitions=4)
        now[0] = PARTITIONS_MAX_AGE
        try:
            producer.send_many(stock_tasks(8, seed=1))
            now[0] += 10 * PARTITIONS_MAX_AGE
            producer.send_many(stock_tasks(8, seed=2))
            assert topics.end_offsets("t") == {0: 16, 1: 0, 2: 0, 3: 0}
            assert looks == ["t"], "one question at a time"
        finally:
            may_answer.set()
        wait_until(lambda: producer._known_partitions() == 4, timeout=PATIENCE, what="the answer was to come")
        producer.send_many(stock_tasks(8, seed=3))
    assert topics.end_offsets("t") == {0: 18, 1: 2, 2: 2, 3: 2}


@pytest.mark.parametrize("answers", [True, False])
def test_the_end_of_a_producer_lets_go_of_the_connection_also_where_kafka_does_not_answer(topics, monkeypatch, answers):
    topic = topics.create("t", partitions=1)
    now, closed, may_answer = [0.0], threading.Event(), threading.Event()
    with Producer(topic, settings=SETTINGS, measure=lambda: now[0]) as producer:
        close = producer._topics.close
        monkeypatch.setattr(producer._topics, "close", lambda: (close(), closed.set()))
        if not answers:
            monkeypatch.setattr(repeated_question, "MOMENT", 0)
            monkeypatch.setattr(producer._topics, "get", lambda name: may_answer.wait(PATIENCE) and topic)
        now[0] = PARTITIONS_MAX_AGE
        producer.send_many(stock_tasks(1, seed=1))
    assert closed.is_set() == answers, "not while it is asked"
    may_answer.set()
    assert closed.wait(PATIENCE)


def test_a_broker_that_is_away_does_not_end_the_sending(topics, monkeypatch):
    """The client waits for the broker; the look at the number of partitions may not fail before it."""
    topic = topics.create("t", partitions=2)
    now = [0.0]
    with Producer(topic, settings=SETTINGS, measure=lambda: now[0]) as producer:

        def away(name):
            raise BrokerUnreachable

        monkeypatch.setattr(producer._topics, "get", away)
        now[0] = PARTITIONS_MAX_AGE
        producer.send_many(stock_tasks(4, seed=1))
    assert topics.end_offsets("t") == {0: 2, 1: 2}


def test_another_partitioner_decides(topics):
    topic = topics.create("t", partitions=3)
    with Producer(topic, settings=SETTINGS, partitioner=lambda key, partitions: partitions - 1) as producer:
        producer.send_many([new_task("k", rng=random.Random(1)), new_task("k", key="a", rng=random.Random(2))])
    assert topics.end_offsets("t") == {0: 0, 1: 0, 2: 2}


@pytest.mark.parametrize("chosen", [2, -1, 0.0, None, "0"])
def test_what_is_no_partition_is_told_and_nothing_is_sent(topics, chosen):
    topic = topics.create("t", partitions=2)
    with (
        pytest.raises(LabkitError, match=f"The partitioner chose {chosen!r} where there are 2 partitions; .* 0 to 1"),
        Producer(topic, settings=SETTINGS, partitioner=lambda key, partitions: chosen) as producer,
    ):
        producer.send(new_task("k"))
    assert topics.end_offsets("t") == {0: 0, 1: 0}


def test_a_whole_number_of_numpy_is_a_partition(topics):
    topic = topics.create("t", partitions=2)
    with Producer(topic, settings=SETTINGS, partitioner=lambda key, partitions: np.int64(1)) as producer:
        assert producer.send(new_task("k")).partition == 1


def test_what_was_begun_is_settled_before_an_error_comes_out(topics):
    topic = topics.create("t", partitions=1)
    first, bad = stock_tasks(2, seed=1)
    with Producer(topic, settings=SETTINGS) as producer:
        with pytest.raises(TaskNotEncodable):
            producer.send_many([first, bad.evolve(kind=None)])
        assert list(producer.receipts()["task_id"]) == [first.id]
    assert [task.id for task in read(topics, "t")] == [first.id]


def test_a_topic_made_anew_with_fewer_partitions_gets_everything(topics):
    topic = topics.create("t", partitions=4)
    with Producer(topic, settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(8, seed=1))
        topics.recreate("t", partitions=1)
        receipts = producer.send_many(stock_tasks(8, seed=2))
        assert [receipt.partition for receipt in receipts] == [0] * 8
        topics.delete("t")
        with pytest.raises(UnknownTopic):
            producer.send_many(stock_tasks(1, seed=3))


def done_by(call, *arguments, timeout: float = 60) -> None:
    """Call this on a thread of its own, which must end in time; one that hangs keeps nobody from ending."""
    thread = threading.Thread(target=call, args=arguments, daemon=True)
    thread.start()
    thread.join(timeout)
    assert not thread.is_alive()


class Silent:
    """A client that never says what became of a record, until it is closed."""

    def __init__(self):
        self._open = []

    def send(self, topic, *, on_delivery, **record):
        self._open.append(on_delivery)

    def flush(self, timeout):
        raise DeadlineExceeded("in vain")

    def close(self, timeout):
        for on_delivery in self._open:
            on_delivery(None, NotAcknowledged("it was closed"))
        self._open.clear()


class Joining(Silent):
    """One that says it on a thread of its own, for whose end its close waits."""

    def close(self, timeout):
        done_by(super().close, timeout)


class SlowToClose(Silent):
    """One that gives up when two records are under way, takes its time to close, and takes nothing meanwhile."""

    def __init__(self):
        super().__init__()
        self.full, self.closes, self.may_close = threading.Event(), threading.Event(), threading.Event()

    def send(self, topic, *, on_delivery, **record):
        if self.closes.is_set():
            raise TransportError("it is closed")
        super().send(topic, on_delivery=on_delivery, **record)
        if len(self._open) == 2:
            self.full.set()

    def flush(self, timeout):
        assert self.full.wait(60)
        raise DeadlineExceeded("in vain")

    def close(self, timeout):
        self.closes.set()
        assert self.may_close.wait(60)
        super().close(timeout)


class Mute(Silent):
    """One that does not say what became of a record when it is closed either."""

    def close(self, timeout):
        self._open.clear()


class Interrupted(Silent):
    """One that has the first record when Ctrl-C ends the wait for the others."""

    def flush(self, timeout):
        self._open[0](RecordMetadata(0, 0), None)
        raise KeyboardInterrupt


def test_a_client_that_settles_nothing_is_made_anew(topics, monkeypatch):
    topic = topics.create("t", partitions=1)
    make = topics.transport.producer
    with monkeypatch.context() as patch:
        patch.setattr(topics.transport, "producer", lambda config: Silent())
        producer = Producer(topic, settings=SETTINGS)
        with pytest.raises(NotAcknowledged, match="2 of 2"):
            producer.send_many(stock_tasks(2, seed=1))
    assert topics.transport.producer == make
    with producer:
        producer.send_many(stock_tasks(2, seed=2))
        assert producer.receipts()["error"].notna().tolist() == [True, True, False, False]
    assert len(read(topics, "t")) == 2


@pytest.mark.parametrize("by", [lambda call, task: call(task), done_by], ids=["this thread", "another thread"])
@pytest.mark.parametrize("old", [Silent, Joining])
def test_what_a_client_that_is_given_up_refuses_may_be_sent_again_at_once(topics, monkeypatch, old, by):
    topic = topics.create("t", partitions=1)
    make, receipts = topics.transport.producer, []

    def send_again(receipt):
        receipts.append(receipt)
        if receipt.error is not None:
            by(producer.submit, tasks[receipt.task_id])
            producer.flush()

    monkeypatch.setattr(topics.transport, "producer", lambda config: old())
    producer = Producer(topic, settings=SETTINGS, on_receipt=send_again)
    monkeypatch.setattr(topics.transport, "producer", make)
    tasks = {task.id: task for task in stock_tasks(2, seed=1)}
    for task in tasks.values():
        producer.submit(task)
    done_by(producer.flush)
    done_by(producer.close)
    assert [receipt.error is None for receipt in receipts] == [False, True] * 2
    assert {task.id for task in read(topics, "t")} == set(tasks)


@pytest.mark.parametrize("more", [0, 1])
def test_what_another_thread_had_under_way_is_settled_before_it_goes_on(topics, monkeypatch, more):
    """Also if it has gone on to send over the new client before it waits."""
    topic = topics.create("t", partitions=1)
    old, make = SlowToClose(), topics.transport.producer
    monkeypatch.setattr(topics.transport, "producer", lambda config: old)
    producer = Producer(topic, settings=SETTINGS)
    monkeypatch.setattr(topics.transport, "producer", make)
    first, second, *others = stock_tasks(2 + more, seed=1)

    def slowly():
        yield second
        assert old.closes.wait(60)
        yield from others

    with producer, ThreadPoolExecutor(2) as threads:
        gives_up, comes_along = threads.submit(producer.send, first), threads.submit(producer.send_many, slowly())
        assert old.closes.wait(60)
        wait(
            [comes_along], timeout=0.2
        )  # it would be through if it did not wait; else this takes nothing from the test
        old.may_close.set()
        with pytest.raises(NotAcknowledged, match="1 of 1 tasks"):
            gives_up.result(60)
        with pytest.raises(NotAcknowledged, match=f"1 of {1 + more} tasks"):
            comes_along.result(60)
    assert sorted(producer.receipts()["task_id"]) == sorted(task.id for task in (first, second, *others))
    assert producer.receipts()["error"].isna().sum() == more == len(read(topics, "t"))


def test_a_client_that_does_not_close_holds_nobody_up_for_ever(topics, monkeypatch):
    """What is sent over the next one is acknowledged all the same."""
    topic = topics.create("t", partitions=1)
    old, make = Mute(), topics.transport.producer
    closes, may_close = threading.Event(), threading.Event()
    monkeypatch.setattr(old, "close", lambda timeout: closes.set() or may_close.wait(60))
    monkeypatch.setattr(topics.transport, "producer", lambda config: old)
    monkeypatch.setattr("labkit.taskqueue.producer.SETTLING_MARGIN", 0.1)
    producer = Producer(topic, settings=Settings(_env_file=None, delivery_timeout=0.1))
    monkeypatch.setattr(topics.transport, "producer", make)
    producer.submit(stock_tasks(1, seed=1)[0])
    with producer, ThreadPoolExecutor(1) as threads:
        gives_up = threads.submit(producer.flush)
        assert closes.wait(60)
        assert [receipt.error for receipt in producer.send_many(stock_tasks(1, seed=2))] == [None]
        with pytest.raises(DeadlineExceeded, match="to close"):
            producer.flush()
        may_close.set()
        gives_up.result(60)


def test_a_task_of_which_a_client_tells_nothing_has_a_receipt_that_says_so(topics, monkeypatch):
    topic = topics.create("t", partitions=1)
    monkeypatch.setattr(topics.transport, "producer", lambda config: Mute())
    with Producer(topic, settings=SETTINGS) as producer:
        with pytest.raises(NotAcknowledged, match=r"2 of 2.*not known whether the broker has it"):
            producer.send_many(stock_tasks(2, seed=1))
        assert producer.receipts()["acknowledged_at"].isna().tolist() == [True, True]


def test_ctrl_c_leaves_a_receipt_for_every_task_that_was_begun(topics, monkeypatch):
    topic = topics.create("t", partitions=1)
    monkeypatch.setattr(topics.transport, "producer", lambda config: Interrupted())
    tasks = stock_tasks(3, seed=1)
    with Producer(topic, settings=SETTINGS) as producer:
        with pytest.raises(KeyboardInterrupt):
            producer.send_many(tasks)
        frame = producer.receipts()
    assert frame["task_id"].tolist() == [task.id for task in tasks]
    assert frame["error"].isna().tolist() == [True, False, False]


def test_ctrl_c_during_a_close_ends_it_and_lets_go_of_the_topics(topics, monkeypatch):
    topic = topics.create("t", partitions=1)
    client, closed = Interrupted(), []
    monkeypatch.setattr(topics.transport, "producer", lambda config: client)
    monkeypatch.setattr(client, "close", client.flush)
    producer = Producer(topic, settings=SETTINGS)
    monkeypatch.setattr(producer._topics, "close", lambda: closed.append(True))
    producer.submit(*stock_tasks(1, seed=1))
    with pytest.raises(KeyboardInterrupt):
        producer.close()
    assert closed


def test_a_ctrl_c_while_a_receipt_is_told_comes_through(topics):
    def interrupted(receipt):
        raise KeyboardInterrupt

    producer = Producer(topics.create("t", partitions=1), settings=SETTINGS, on_receipt=interrupted)
    with producer, pytest.raises(KeyboardInterrupt):
        producer.send_many(stock_tasks(1, seed=1))


@pytest.mark.parametrize("away", [BrokerUnreachable, UnknownTopic])
def test_a_look_at_the_partitions_while_the_topic_is_away_costs_no_task(topics, monkeypatch, away):
    def get(name):
        raise away

    now = [0.0]
    with Producer(topics.create("t", partitions=1), settings=SETTINGS, measure=lambda: now[0]) as producer:
        monkeypatch.setattr(producer._topics, "get", get)
        now[0] += 2 * PARTITIONS_MAX_AGE
        producer.send_many(stock_tasks(1, seed=1))
    assert topics.end_offsets("t") == {0: 1}
