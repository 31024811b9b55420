"""Share groups where there are none, the orders that they do not keep, and what goes wrong between them and Kafka."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest

from labkit.errors import (
    BrokerUnreachable,
    CommitRefused,
    SettingsError,
    TransportError,
    TryAgainLater,
    Unsupported,
    WorkerFailed,
)
from labkit.lab.connection import Connection
from labkit.settings import Settings
from labkit.taskqueue import (
    Producer,
    Retry,
    Topics,
    WorkerGroup,
)
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine import record_origin
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.requeue import Requeue
from labkit.taskqueue.engine.topic_identity import TopicIdentity
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.groups import share_group_state
from labkit.taskqueue.task import Task, new_task, stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.transport import Record, TopicPartition, connect_transport
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.share_contract import DELIVERIES, ShareConfig, SharedRecord
from labkit.taskqueue.worker_group import done_elsewhere, share_worker
from labkit.taskqueue.worker_group.group_output import Output
from labkit.taskqueue.worker_group.membership import Membership
from labkit.taskqueue.worker_group.share_worker import POLL_TIMEOUT, ShareWorker
from tests import handlers
from tests.refused_threads import refuse_threads
from tests.unit.taskqueue.breakdown import break_down

SETTINGS = Settings(_env_file=None)
#: How long the first pause is before a record is given back whose letter cannot be written, in seconds.
PAUSE = 0.002


def test_the_other_transports_say_which_one_has_share_groups():
    transports = MemoryTransport(), connect_transport(Connection(bootstrap_servers="nowhere:1"), "kafka-python")
    for transport in transports:
        with pytest.raises(
            Unsupported, match=f"'{transport.name}' has no share groups.*LABKIT_TRANSPORT=confluent-kafka"
        ):
            transport.share_groups()


def test_a_group_says_it_before_anything_starts():
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        with pytest.raises(Unsupported, match="share groups"):
            WorkerGroup(topic, mode="share", settings=SETTINGS)


@pytest.mark.parametrize("order", ["partition", "key"])
def test_a_share_group_keeps_no_order(order):
    with pytest.raises(SettingsError, match=f"keeps no order, so the order '{order}' cannot be"):
        WorkerConfig(mode="share", order=order)


#: One of labkit's, of which nothing is left but its id; and how often a worker asks for its topic before it has one.
DAMAGED, ASKED_BEFORE = Record("t", 0, 0, None, b"no task", (("task-id", b"7"),), 0), 1


class ShareMember:
    """The one member of a share group without a broker: it gets what is put into `records`, so many per poll."""

    def __init__(self):
        self.records: list[Record] = []
        #: what has come meanwhile, asked when there are no others
        self.news = list[Record]
        self.per_poll = 1
        self.lock = 30.0
        self.verdicts: list[tuple[int, str]] = []
        self.refuses: set[int] = set()
        #: how often each record was delivered, by its offset; whether one that is released comes again
        self.counts: dict[int, int] = {}
        self.gives_again = False
        #: how long each record was in hand before it was released, in seconds
        self.held: list[float] = []
        self.polled_at = 0.0
        self.fails_to_close: TransportError | None = None

    def subscribe(self, topics):
        """There is one topic."""

    def poll(self, timeout):
        self.records = self.records or self.news()
        if not self.records:
            threading.Event().wait(timeout)
            return []
        records, self.records = self.records[: self.per_poll], self.records[self.per_poll :]
        self.counts |= {record.offset: self.counts.get(record.offset, 0) + 1 for record in records}
        self.polled_at = time.monotonic()
        return [SharedRecord(record, self.counts[record.offset]) for record in records]

    def acknowledge(self, record, verdict):
        if record.offset in self.refuses:
            raise CommitRefused("no verdict any more")
        self.verdicts.append((record.offset, verdict))
        if verdict == "release":
            self.held.append(time.monotonic() - self.polled_at)
            if self.gives_again:
                self.records.append(record)

    def commit(self):
        """Each verdict counts at once."""

    def close(self):
        if self.fails_to_close is not None:
            raise self.fails_to_close


class SharingTransport(MemoryTransport):
    """One with share groups, of which it is all in one."""

    def __init__(self):
        super().__init__()
        self.member, self.joined = ShareMember(), {}
        #: what another program has set
        self.group_lock: float | None = None
        #: how often nobody answers who wants to write letters
        self.outages = 0
        #: whether nobody answers who wants to write tasks
        self.takes_no_tasks = False

    def share_groups(self):
        return self

    def consumer(self, config):
        if not isinstance(config, ShareConfig):
            return super().consumer(config)
        self.joined = {config.client_id: frozenset({TopicPartition("t", 0)})}
        self.member.lock = self.group_lock or config.lock
        return self.member

    def producer(self, config):
        if self.takes_no_tasks:
            raise BrokerUnreachable("nobody answers")
        return super().producer(config)

    def members(self, group):
        return self.joined

    def lag(self, group, topic):
        return {}

    def close(self):
        """Nothing is open."""


@pytest.fixture
def transport(monkeypatch):
    transport, ask = SharingTransport(), TopicIdentity.ask

    def asked(identity, **how):
        if transport.outages:
            transport.outages -= 1
            raise BrokerUnreachable("nobody answers")
        return ask(identity, **how)

    monkeypatch.setattr(TopicIdentity, "ask", asked)  # which a worker does before it writes letters
    return transport


def share(topics: Topics, **options) -> WorkerGroup:
    return WorkerGroup(topics.get("t"), workers=1, mode="share", settings=SETTINGS, **options)


def deliver(transport: SharingTransport, count: int) -> None:
    deliver_tasks(transport, stock_tasks(count, seed=1))


def deliver_tasks(transport: SharingTransport, tasks: Sequence[Task]) -> None:
    for offset, task in enumerate(tasks):
        key, value, headers = task.encode()
        transport.member.records.append(Record("t", 0, offset, key, value, headers, 0))


def test_a_topic_that_was_deleted_for_good_is_named_once(transport, caplog):
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        with share(topics) as group:
            topics.delete("t")
            wait_until(lambda: "is gone" in caplog.text, timeout=60, what="it was to be said")
            topics.create("t", partitions=1)
            deliver(transport, 1)
            wait_until(lambda: group.attempts() == 1, timeout=60, what="its tasks were to be worked on")
    said = [record.getMessage() for record in caplog.records if "is gone" in record.getMessage()]
    assert said == [
        "worker-1: the topic 't' is gone, somebody has deleted it. If it is made anew, its tasks are worked on."
    ]


@pytest.mark.parametrize("handler", [handlers.misbehave, handlers.misbehave_later], ids=["threads", "asyncio"])
def test_whatever_comes_out_of_a_handler_is_a_failed_attempt(transport, handler):
    odd, records = [*handlers.RAISES, *handlers.RETURNS], []
    payloads = [payload for one in odd for payload in (one, "well")]
    retry = Retry(attempts=2, first=0.0)
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        with share(topics, handler=handler, retry=retry, output=Output(on_record=records.append)) as group:
            deliver_tasks(transport, [new_task("odd", payload) for payload in payloads])
            is_through = lambda: len(transport.member.verdicts) == len(payloads)  # noqa: E731
            wait_until(is_through, timeout=60, what="all were to have their verdicts")
            wait_until(lambda: group.attempts() == 3 * len(odd), timeout=60, what="all were to leave their records")
        verdicts = dict(transport.member.verdicts)
        assert [verdicts[offset] for offset in range(len(payloads))] == ["reject", "accept"] * len(odd)
        assert topics.end_offsets("t.dead") == {0: len(odd)}
    found = Counter((record.offset, record.outcome) for record in records)
    ends = {0: ("failed", "dead"), 1: ("done",)}
    assert found == {(offset, end): 1 for offset in range(len(payloads)) for end in ends[offset % 2]}


def test_a_task_of_which_kafka_takes_no_verdict_any_more_does_not_end_its_worker(transport, caplog):
    transport.member.refuses = {0}
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        with share(topics):
            deliver(transport, 3)
            wait_until(lambda: len(transport.member.verdicts) == 2, timeout=60, what="the others were to be accepted")
    assert transport.member.verdicts == [(1, "accept"), (2, "accept")]
    assert "a task will be delivered again: no verdict any more" in caplog.text


def test_who_leaves_while_the_broker_is_away_ends_in_order(transport, caplog):
    transport.member.fails_to_close = BrokerUnreachable("nobody answers")
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        with share(topics) as group:
            deliver(transport, 1)
            wait_until(lambda: group.attempts() == 1, timeout=60, what="it was to be done")
    assert "worker-1 leaves without the broker: nobody answers" in caplog.text
    assert [thread for thread in threading.enumerate() if thread.name.startswith("worker-1")] == []


@pytest.fixture
def stuck(transport, monkeypatch):
    """A group in which every task fails and no letter of it can be written, with a lock that outlasts the test."""
    monkeypatch.setattr(share_worker, "STUCK_PAUSE", PAUSE)
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        topics.create("t.dead", partitions=1, config={"max.message.bytes": "50"})

        def handler(task):
            if task.id == first.id:
                raise ValueError("no")

        first = stock_tasks(1, seed=1)[0]
        transport.member.gives_again = True
        yield share(topics, handler=handler, retry=Retry(attempts=1), membership=Membership(lock=60.0))


def test_a_letter_that_cannot_be_written_holds_up_nobody_for_the_whole_lock(transport, stuck):
    deliver(transport, 4)
    transport.member.counts[0] = -100
    with stuck:
        others = {(offset, "accept") for offset in (1, 2, 3)}
        wait_until(lambda: others <= set(transport.member.verdicts), timeout=30, what="the others were to be done")
    assert (0, "release") in transport.member.verdicts
    assert (0, "reject") not in transport.member.verdicts


def test_a_worker_stops_before_the_last_delivery_of_a_record_whose_letter_cannot_be_written(transport, stuck):
    deliver(transport, 1)
    stuck.start()
    wait_until(lambda: bool(stuck.dead()), timeout=60, what="the worker was to stop")
    with pytest.raises(WorkerFailed, match=r"offset 0 of .*next delivery is the last.*Mend the topic 't.dead'"):
        stuck.stop()
    assert transport.member.counts == {0: DELIVERIES - 1}
    assert transport.member.verdicts == [(0, "release")] * (DELIVERIES - 1)
    assert len(transport.member.held) == DELIVERIES - 1
    assert all(held >= PAUSE * 2**number for number, held in enumerate(transport.member.held))


def test_a_record_that_kafka_gives_up_without_a_letter_is_named(transport, stuck):
    deliver(transport, 1)
    transport.member.counts[0] = DELIVERIES - 1
    stuck.start()
    wait_until(lambda: bool(stuck.dead()), timeout=60, what="the worker was to stop")
    with pytest.raises(WorkerFailed, match=r"offset 0 of .*Kafka gives these records up.*send their tasks again"):
        stuck.stop()


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (2, "of offset 0 of partition 0, offset 1 of partition 0 of 't' could not be written"),
        (5, "of offset 0 of partition 0, offset 1 of partition 0, offset 2 of partition 0, … (5 in all) of 't' could"),
        (1, "of offset 1 of partition 0 of 't' cannot be written, and the next delivery is the last one"),
    ],
)
def test_all_records_that_end_without_a_letter_are_named(transport, stuck, last, words):
    """Records without a task: all of them fail."""
    count = max(2, last)
    transport.member.per_poll = count
    transport.member.counts = {offset: DELIVERIES - 1 - (offset >= last) for offset in range(count)}
    transport.member.records = [Record("t", 0, offset, None, b"no task", (), 0) for offset in range(count)]
    stuck.start()
    wait_until(lambda: bool(stuck.dead()), timeout=60, what="the worker was to stop")
    with pytest.raises(WorkerFailed, match=r"offset 0 of .*could not be written in the last delivery") as raised:
        stuck.stop()
    assert words in str(raised.value)


@pytest.mark.parametrize(("lock", "group_lock"), [(0.5, None), (3600.0, 0.5)])
def test_a_broker_that_is_away_is_no_letter_that_cannot_be_written(transport, lock, group_lock):
    """Before the last delivery the record is given back when the lock is over; in the last one it is written."""
    transport.outages, transport.group_lock = ASKED_BEFORE + 3, group_lock
    transport.member.gives_again = True
    transport.member.counts[0] = DELIVERIES - 2
    transport.member.records = [DAMAGED]
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        with share(topics, membership=Membership(lock=lock)):
            verdicts = [(0, "release"), (0, "reject")]
            wait_until(lambda: transport.member.verdicts == verdicts, timeout=60, what="the letter was to be written")
        assert topics.end_offsets("t.dead") == {0: 1}


def test_what_kafka_gives_up_when_its_worker_ends_in_an_outage_is_named(transport, monkeypatch):
    monkeypatch.setattr(share_worker, "HANDOVER_TIMEOUT", 0.1)
    transport.outages = many = 10**6
    transport.member.counts[0] = DELIVERIES - 1
    transport.member.records = [DAMAGED]
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        group = share(topics).start()
        wait_until(lambda: transport.outages < many - ASKED_BEFORE, timeout=60, what="the letter was to be tried")
        with pytest.raises(WorkerFailed, match=r"offset 0 of .*could not be written in the last delivery"):
            group.stop()


def put_on_topic(transport: SharingTransport, topics: Topics, count: int) -> list[Task]:
    """So many tasks on the topic, of which the member gets all that is written to it."""
    topic, tasks, seen = topics.create("t", partitions=1), stock_tasks(count, seed=1), set()

    def news():
        new = [record for record in read_topic(transport, topic.full_name) if record.offset not in seen]
        seen.update(record.offset for record in new)
        return new

    with Producer(topic, settings=SETTINGS) as producer:
        producer.send_many(tasks)
    transport.member.news, transport.member.gives_again, transport.member.per_poll = news, True, count
    return tasks


def test_what_is_away_for_longer_than_all_deliveries_last_makes_no_dead_letter(transport):
    calls, records = [], []

    def handler(task):
        calls.append(task.id)
        if len(calls) < 2 * DELIVERIES:
            raise TryAgainLater("something is away")

    with Topics(transport) as topics:
        [task] = put_on_topic(transport, topics, 1)
        with share(topics, handler=handler, membership=Membership(lock=0.1), output=Output(on_record=records.append)):
            is_done = lambda: any(record.outcome == "done" for record in records)  # noqa: E731
            wait_until(is_done, timeout=60, what="the task was to be done")
        assert DeadLetters(topics, "t").list() == []
    verdicts = transport.member.verdicts
    *before, last = (offset for offset, verdict in verdicts if verdict == "accept")
    assert last >= 2  # sent again twice, or more often where the time was too short to begin
    assert before == list(range(last))
    assert all(verdicts.count((offset, "release")) == DELIVERIES - 2 for offset in before)
    assert [(record.offset, record.outcome) for record in records] == [
        *((offset, "requeued") for offset in before),
        (last, "done"),
    ]
    assert {(record.task_id, record.produced_at) for record in records} == {(task.id, records[0].produced_at)}


class ShiftingClock:
    """It goes on when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def at_work(topics: Topics, handler, **options) -> Iterator[ShareWorker]:
    """One worker by itself, with a lock of 30 s."""
    config = WorkerConfig(mode="share", order="none")
    how = {"config": config, "on_record": lambda record: None, **options}
    worker = ShareWorker(topics.get("t"), name="w", group="g", work=Work(handler), **how)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(60)
        assert not thread.is_alive()


def test_a_batch_for_which_a_worker_has_no_time_in_all_deliveries_makes_no_dead_letters(transport):
    """Five tasks of three seconds in each half of a lock: 45 in nine deliveries."""
    clock, done = ShiftingClock(), []

    def handler(task):
        done.append(task.id)
        clock.now += 3.0

    with Topics(transport) as topics:
        tasks = put_on_topic(transport, topics, 50)
        with at_work(topics, handler, measure=clock):
            wait_until(lambda: len(done) >= 50, timeout=60, what="all were to be done")
        assert sorted(done) == sorted(task.id for task in tasks)
        assert topics.end_offsets("t") == {0: 55}
        assert DeadLetters(topics, "t").list() == []


def test_who_stops_in_the_last_delivery_but_one_sends_on_what_was_not_begun(transport):
    began, release = threading.Event(), threading.Event()

    def handler(task):
        began.set()
        assert release.wait(60)

    with Topics(transport) as topics:
        tasks = put_on_topic(transport, topics, 2)
        transport.member.counts = {1: DELIVERIES - 3, 0: DELIVERIES - 2}
        transport.member.records, transport.member.news = transport.member.news()[::-1], list
        with at_work(topics, handler) as worker:
            assert began.wait(60)
            worker.stop()
            wait_until(
                lambda: transport.member.verdicts == [(1, "release")], timeout=60, what="one was to be given back"
            )
            release.set()
        assert transport.member.verdicts == [(1, "release"), (0, "accept")]
        transport.member.verdicts.clear()
        transport.member.counts = {1: DELIVERIES - 2, 0: DELIVERIES - 2}
        transport.member.records = list(read_topic(transport, "t"))
        began.clear()
        release.clear()
        with at_work(topics, handler) as worker:
            assert began.wait(60)
            worker.stop()
            wait_until(lambda: transport.member.verdicts == [(1, "accept")], timeout=60, what="one was to be sent on")
            release.set()
        assert [record.value for record in read_topic(transport, "t")] == [tasks[n].encode()[1] for n in (0, 1, 1)]


def test_what_cannot_be_sent_again_ends_as_a_dead_letter_that_says_so(transport, caplog):
    def handler(task):
        raise TryAgainLater("something is away")

    with Topics(transport) as topics:
        put_on_topic(transport, topics, 1)
        transport.takes_no_tasks = True
        transport.member.counts[0] = DELIVERIES - 2
        with share(topics, handler=handler, membership=Membership(lock=0.5)):
            verdicts = [(0, "release"), (0, "reject")]
            wait_until(lambda: transport.member.verdicts == verdicts, timeout=60, what="the letter was to be written")
        [letter] = DeadLetters(topics, "t").list()
    assert letter.error.endswith("or it waited and could not be sent again.")
    assert caplog.text.count("tasks that it has not begun cannot be sent again: nobody answers") == 1


def test_a_task_that_is_due_is_waited_for_only_where_there_is_room_for_it(transport):
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        how = {"config": WorkerConfig(mode="share", order="none"), "on_record": lambda record: None}
        worker = ShareWorker(topics.get("t"), name="w", group="g", work=Work(handlers.misbehave), **how)
        item = WorkItem(Record("t", 0, 0, None, b"", (), 0), 0.0)
        worker._unbegun.postpone(item, 0.0)
        assert worker._patience() == 0.0
        worker._running.add(item)
        assert worker._patience() == POLL_TIMEOUT


def test_the_topic_is_read_only_for_those_who_want_it_and_not_while_a_task_is_in_hand(transport, monkeypatch):
    monkeypatch.setattr(share_group_state, "STILL", 0.0)
    began, release, looks = threading.Event(), threading.Event(), []

    def handler(task):
        began.set()
        assert release.wait(60)

    def read(*args, **how):
        looks.append(args)
        return read_topic(*args, **how)

    def left(look):
        return [place.lag for place in group.lag(look=look)]

    with Topics(transport) as topics:
        topic = topics.create("t", partitions=1)
        with Producer(topic, settings=SETTINGS) as producer:
            producer.send_many(stock_tasks(1, seed=1))
        transport.member.records = list(read_topic(transport, topic.full_name))
        monkeypatch.setattr(done_elsewhere, "read_topic", read)
        with share(topics, handler=handler) as group:
            assert began.wait(60)
            assert [left(look) for look in (False, True, True, True)] == [[1]] * 4
            release.set()
            wait_until(lambda: group.attempts() == 1, timeout=60, what="it was to be done")
            assert [left(look=False) for _ in range(3)] == [[1]] * 3
            assert not looks
            wait_until(lambda: left(look=True) == [0], timeout=60, what="nothing was to be left")
            assert len(looks) == 1


def test_a_worker_whose_executor_fails_ends_the_handlers_that_run(transport):
    transport.member.per_poll = 2
    deliver(transport, 2)
    with Topics(transport) as topics:
        how = {"config": WorkerConfig(mode="share", order="none", concurrency=2), "on_record": lambda record: None}
        topic = topics.create("t", partitions=1)
        worker = ShareWorker(topic, name="w", group="g", work=Work(handlers.misbehave), **how)
        assert break_down(worker).closed.is_set()


def test_a_worker_whose_executor_cannot_begin_ends_and_leaves_no_thread(transport, monkeypatch):
    """The first thread of two is there already."""
    refuse_threads(monkeypatch, "w-2")
    with Topics(transport) as topics:
        how = {"config": WorkerConfig(mode="share", order="none", concurrency=2), "on_record": lambda record: None}
        worker = ShareWorker(
            topics.create("t", partitions=1), name="w", group="g", work=Work(handlers.misbehave), **how
        )
        with pytest.raises(RuntimeError, match="can't start new thread"):
            worker.run()
    assert not worker.status().running
    assert worker._executor.join(60)


def test_what_others_have_written_waits_until_it_is_known_of_which_topic_it_is(transport, monkeypatch):
    """No delivery is lost to that: a worker does not ask for records that it would have to give back."""
    got: list[Task] = []
    asked = iter(range(2 * DELIVERIES))
    ask = TopicIdentity.ask

    def refuse_at_first(identity: TopicIdentity, **how: Any) -> Any:
        if next(asked, None) is not None:
            raise BrokerUnreachable
        return ask(identity, **how)

    monkeypatch.setattr(TopicIdentity, "ask", refuse_at_first)
    monkeypatch.setattr(share_worker, "POLL_TIMEOUT", 0.01)
    monkeypatch.setattr(record_origin, "ASK_INTERVAL", 0.0)
    transport.member.gives_again = True
    transport.member.records.append(Record("t", 0, 3, None, b"3", (), 0))
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        with at_work(topics, got.append):
            wait_until(lambda: len(got) == 1, timeout=60, what="it was to be done")
    assert transport.member.verdicts == [(3, "accept")]
    assert transport.member.counts == {3: 1}


def test_what_others_have_written_has_the_id_of_its_place_also_when_it_is_sent_again(transport):
    """Where the topic was made anew meanwhile, it may be of either, and is given back once."""
    got: list[Task] = []
    transport.member.gives_again = True
    transport.member.records.append(Record("t", 0, 3, None, b"3", (), 0))
    with Topics(transport) as topics:
        topics.create("t", partitions=1)
        with at_work(topics, got.append):
            wait_until(lambda: len(got) == 1, timeout=60, what="the first one was to be done")
            topics.delete("t")
            topics.create("t", partitions=1)
            transport.member.records.append(Record("t", 0, 4, None, b'{"kind": "a"}', (), 0))
            wait_until(lambda: len(got) == 2, timeout=60, what="the second one was to be done")
        with closing(transport.admin()) as admin:
            topic_id = admin.topic_ids(["t"])["t"]
        assert (got[1].id, got[1].kind) == (f"{topic_id}/0/4", "a")
        assert (got[0].id[-4:], got[0].id.startswith(topic_id)) == ("/0/3", False)
        assert transport.member.verdicts == [(3, "accept"), (4, "release"), (4, "accept")]
        requeue = Requeue(topics.get("t"), "w", lambda: None)
        requeue.put([WorkItem(Record("t", 0, 4, None, b'{"kind": "a"}', (), 0), 0.0, topic_id=topic_id)])
        wait_until(lambda: len(requeue.taken) == 1, timeout=60, what="it was to be sent again")
        requeue.close()
        [again] = read_topic(transport, "t")
        assert Task.decode(again, topic_id=topic_id, foreign="json").id == got[1].id
