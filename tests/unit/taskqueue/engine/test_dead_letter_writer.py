"""Dead letters when the broker refuses, does not answer, or answers with a lost answer: each once, none in the way."""

from __future__ import annotations

import logging
import random

import pytest

from labkit.errors import BrokerUnreachable, CommitRefused, Fenced, NotAuthorized, TransportError
from labkit.taskqueue.dead_letter import dead_topic
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine import refused_letters
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.engine.dead_letter_writer import RETRY_INTERVAL, ShareDeadLetterWriter
from labkit.taskqueue.engine.group_dead_letter_writer import GroupDeadLetterWriter
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.engine.refused_letters import (
    MAX_BYTES,
    MAX_LETTERS,
    MAX_SILENCES,
    MAX_SINGLE,
    STUCK_INTERVAL,
)
from labkit.taskqueue.engine.topic_identity import Identity, TopicIdentity
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, ProducerConfig, TopicPartition
from labkit.taskqueue.transport.memory import MemoryTransport

TOPIC = "t"


class Transactions:
    """A client for transactions that loses requests or answers, as `plan` says: one entry per transaction."""

    def __init__(self, client, transport) -> None:
        self._client = client
        self._transport = transport

    def write(self, records, positions=None, consumer=None):
        self._transport.batches.append(list(records))
        error, happens = self._transport.plan.pop(0) if self._transport.plan else (None, True)
        if happens:
            self._client.write(records, positions, consumer)
        if error is not None:
            raise error

    def close(self):
        self._client.close()


class Transport(MemoryTransport):
    """In memory, with transactions that fail as planned."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[tuple[Exception | None, bool]] = []
        self.batches: list[list] = []
        self.is_away, self.refused = False, 0

    def transactions(self, transactional_id):
        if self.is_away:
            self.refused += 1
            raise BrokerUnreachable("it is gone.")
        return Transactions(super().transactions(transactional_id), self)


class Scene:
    """A worker's writer, its partitions and a clock that is moved by hand."""

    def __init__(self, transport: Transport, *, partitions: int = 2) -> None:
        self.now = 0.0
        self.transport = transport
        self.topics = Topics(transport)
        self.topic = self.topics.create(TOPIC, partitions=partitions)
        self.client = transport.consumer(ConsumerConfig(group="g"))
        self.places = [TopicPartition(TOPIC, number) for number in range(partitions)]
        self.client.subscribe([TOPIC], on_assigned=lambda _: None, on_revoked=lambda _: None)
        self.client.poll(0)
        self.identity = TopicIdentity(self.topic, clock=self.clock)
        self.assigned = AssignedPartitions(self.client, self.identity, suspects=10, clock=self.clock)
        self.assigned.adopt(self.places)
        self.writer = GroupDeadLetterWriter(self.topic, worker="w", group="g", wall_clock=lambda: 1.5, clock=self.clock)
        self.writer.serve(self.client, self.assigned, self.identity)

    def clock(self) -> float:
        return self.now

    def dead(self, *values: bytes, partition: int = 0) -> list[WorkItem]:
        """Records that were given up."""
        producer = self.transport.producer(ProducerConfig())
        for value in values:
            place = {"partition": partition, "key": b"k", "headers": (), "timestamp_ms": 5}
            producer.send(TOPIC, value=value, on_delivery=lambda *_: None, **place)
        producer.close(5)
        records = [record for record in self.client.poll(0) if record.partition == partition]
        state = self.assigned.by_partition[partition]
        if not state.known:
            self.assigned.begin({partition: records[0].offset})
        assert all(state.tracker.receive(record.offset) for record in records)
        items = [WorkItem(record, 0.0, state.epoch) for record in records]
        for item in items:
            item.error = ValueError("no")
            item.attempt = 3
        return items

    def write(self, items: list[WorkItem]) -> list[WorkItem]:
        """One go; those that are left."""
        written = self.writer.write(items)
        for item in written:
            self.assigned.finish(item)
        self.commit()
        return [item for item in items if item not in written]

    def commit(self) -> None:
        self.now += 1.0
        self.assigned.commit_if_due(idle=True)

    def committed(self, partition: int = 0) -> int:
        place = TopicPartition(TOPIC, partition)
        return self.client.committed([place])[place].offset

    def letters(self) -> list[tuple[str, bytes | None]]:
        return [(letter.id, letter.value) for letter in DeadLetters(self.topics, TOPIC).list()]

    def records_of_letters(self) -> int:
        return sum(self.topics.end_offsets(dead_topic(TOPIC)).values())


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def scene(transport):
    scene = Scene(transport)
    yield scene
    scene.writer.close()
    scene.identity.close()
    scene.client.close()


def test_letters_are_written_in_bounded_batches(scene):
    left = scene.dead(*(b"%d" % n for n in range(2 * MAX_LETTERS + 50)))
    sizes = []
    while left:
        before = len(left)
        left = scene.write(left)
        sizes.append(before - len(left))
    assert sizes == [MAX_LETTERS, MAX_LETTERS, 50]
    assert scene.committed() == len(scene.letters()) == 250


def test_a_batch_is_bounded_by_its_bytes_and_a_large_letter_goes_by_itself(scene):
    large = b"x" * (MAX_BYTES // 2 - 1000)
    items = scene.dead(large, large, b"small", large)
    while items:
        items = scene.write(items)
    assert [len(batch) for batch in scene.transport.batches] == [3, 1]
    assert max(sum(len(letter.value) for letter in batch) for batch in scene.transport.batches) <= MAX_BYTES


@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("error", [BrokerUnreachable(), TransportError("the broker said something odd"), Fenced()])
def test_while_it_is_open_whether_a_letter_was_written_nothing_is_committed_and_then_there_is_one(
    scene, happened, error
):
    items = scene.dead(b"a", b"b", b"c")
    scene.transport.plan = [(error, happened)]
    left = scene.write(items[:1])
    assert left == items[:1]
    assert scene.writer.in_doubt
    before = scene.committed()
    assert before == (1 if happened else 0)

    # the worker goes on with other tasks of that partition, and the broker stays away for transactions only
    scene.transport.is_away = True
    scene.assigned.finish(items[2])
    for _ in range(3):
        left = scene.write(left)
        assert scene.committed() == before
    scene.transport.is_away = False
    while left:
        scene.now += RETRY_INTERVAL
        left = scene.write(left)
    assert not scene.writer.in_doubt
    assert scene.letters() == [("t/0/0", b"a")]
    assert scene.records_of_letters() == 1
    scene.assigned.finish(items[1])
    scene.commit()
    assert scene.committed() == 3


def test_who_leaves_while_it_is_open_whether_a_letter_was_written_does_not_commit_over_it(scene):
    items = scene.dead(b"a", b"b")
    scene.transport.plan = [(BrokerUnreachable(), True)]
    scene.write(items[:1])
    scene.assigned.finish(items[1])
    scene.assigned.leave()
    assert scene.committed() == 1
    # who takes over, or the same worker again, begins where the transaction ended
    assert scene.writer.settle() == []
    scene.assigned.adopt(scene.places)
    state = scene.assigned.by_partition[0]
    assert state.tracker.commit_point == 2
    assert not state.in_doubt
    assert scene.records_of_letters() == 1


def test_other_partitions_are_committed_meanwhile(scene):
    mine, other = scene.dead(b"a"), scene.dead(b"b", partition=1)
    scene.transport.plan = [(BrokerUnreachable(), False)]
    scene.write(mine)
    scene.assigned.finish(other[0])
    scene.commit()
    assert (scene.committed(0), scene.committed(1)) == (0, 1)


def test_a_group_that_has_moved_on_is_no_doubt(scene):
    items = scene.dead(b"a")
    scene.transport.plan = [(CommitRefused(), False)]
    assert scene.write(items) == items
    assert not scene.writer.in_doubt


def small_dead_topic(scene, largest: int) -> None:
    """Somebody has made the topic of dead letters, for small ones."""
    scene.topics.create(dead_topic(TOPIC), partitions=1, config={"max.message.bytes": str(largest)})


def write_all(scene, items, *, rounds: int) -> list[WorkItem]:
    for _ in range(rounds):
        items = scene.write(items)
    return items


def test_a_letter_that_is_refused_does_not_hold_up_the_others_and_is_written_without_its_record(scene, caplog):
    small_dead_topic(scene, 1000)
    items = scene.dead(*(b"x" * 5000 if n in (3, 7) else b"%d" % n for n in range(10)))
    assert write_all(scene, items, rounds=4) == []
    letters = dict(scene.letters())
    assert len(letters) == scene.committed() == 10
    assert letters["t/0/4"] == b"4"
    whole = {letter.id: letter for letter in DeadLetters(scene.topics, TOPIC).list()}
    assert {name for name, letter in whole.items() if letter.omitted} == {"t/0/3", "t/0/7"}
    assert (whole["t/0/3"].value, whole["t/0/3"].key, whole["t/0/3"].error) == (None, None, "ValueError: no")
    assert {letter.group for letter in whole.values()} == {"g"}
    assert "offset 3 of partition 0 is refused" in caplog.text
    assert not scene.assigned.stopped()


def test_only_some_are_tried_by_themselves_in_one_go(scene):
    small_dead_topic(scene, 1000)
    items = scene.dead(*(b"x" * 5000 for _ in range(MAX_LETTERS)))
    left = scene.write(items)
    scene.transport.batches.clear()
    scene.write(left)
    assert [len(batch) for batch in scene.transport.batches] == [1] * MAX_SINGLE


def test_a_letter_that_cannot_be_written_stops_its_partition_and_no_other(scene, caplog):
    small_dead_topic(scene, 100)
    stuck, others = scene.dead(b"a"), scene.dead(b"b", partition=1)
    scene.assigned.finish(others[0])
    left = write_all(scene, stuck, rounds=4)
    assert left == scene.writer.stuck() == stuck
    assert scene.assigned.stopped() == [TopicPartition(TOPIC, 0)]
    assert (scene.committed(0), scene.committed(1)) == (0, 1)
    (said,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the dead letter of offset 0 of partition 0 of 't' cannot be written" in said.getMessage()
    assert "A partition with such a letter is stopped until it can" in said.getMessage()


def test_when_the_topic_has_been_mended_it_goes_on(scene, caplog):
    small_dead_topic(scene, 100)
    left = write_all(scene, scene.dead(b"a"), rounds=4)
    scene.topics.delete(dead_topic(TOPIC))
    assert scene.write(left) == left  # it is not tried all the time
    scene.now += STUCK_INTERVAL
    left = scene.write(left)
    scene.now += RETRY_INTERVAL  # the topic is gone, and made anew
    assert scene.write(left) == []
    assert not scene.assigned.stopped()
    assert not scene.writer.stuck()
    assert scene.committed() == 1
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1


def test_a_topic_of_dead_letters_that_cannot_be_made_stops_what_needs_it(scene, caplog):
    scene.topics.create("t_dead", partitions=1)
    stuck, other = scene.dead(b"a"), scene.dead(b"b", partition=1)
    scene.assigned.finish(other[0])
    assert write_all(scene, stuck, rounds=2) == stuck
    assert scene.assigned.stopped() == [TopicPartition(TOPIC, 0)]
    assert (scene.committed(0), scene.committed(1)) == (0, 1)
    assert "'t_dead'" in caplog.text


def test_what_the_broker_refuses_in_its_own_words_is_refused_too(scene):
    """It is settled first: after such an error nobody knows whether the letter was written."""
    items = scene.dead(b"a", b"b")
    scene.transport.plan = [(NotAuthorized(), False)] * 100
    left = items
    for _ in range(20):
        scene.now += RETRY_INTERVAL
        left = scene.write(left)
    assert left == items
    assert len(scene.writer.stuck()) == 2
    assert scene.committed() == 0


def test_what_was_refused_and_is_now_somebody_elses_is_forgotten(scene):
    small_dead_topic(scene, 100)
    write_all(scene, scene.dead(b"a"), rounds=4)
    scene.assigned.leave()
    scene.assigned.adopt(scene.places)
    assert scene.writer.write([]) == []
    assert scene.writer.stuck() == []
    assert not scene.assigned.stopped()


def test_how_long_a_stuck_letter_waits_is_said_in_the_words_of_the_log():
    assert f"{refused_letters.STUCK_INTERVAL:g} s" in GroupDeadLetterWriter._CONSEQUENCE


def test_a_commit_point_stays_before_a_letter_in_doubt_also_in_the_metadata(scene):
    items = scene.dead(b"a", b"b", b"c")
    scene.transport.plan = [(BrokerUnreachable(), False)]
    scene.write(items[1:2])
    scene.assigned.finish(items[0])
    scene.commit()
    place = scene.places[0]
    assert scene.client.committed([place])[place] != Position(1)
    assert scene.committed() == 0


class LaggingIdentity:
    """What brokers say, one after the other, of which topic bears the name: the first one lags behind."""

    def __init__(self, *topic_ids: str | None) -> None:
        self._topic_ids = list(topic_ids)

    def ask(self, *, timeout: float) -> Identity:
        return Identity(self._topic_ids.pop(0), {})


def test_letters_of_a_share_group_wait_until_their_topic_is_known_which_is_asked_once_each_time(scene):
    items = scene.dead(*(b"%d" % n for n in range(3)))
    writer = ShareDeadLetterWriter(scene.topic, worker="w", group="g", wall_clock=lambda: 1.5, clock=scene.clock)
    writer.serve(LaggingIdentity(None, "first", "second"))
    assert writer.write(items) == []
    assert scene.transport.batches == []
    scene.now += RETRY_INTERVAL
    scene.transport.plan = [(ValueError("no"), False)]
    assert writer.write(items[:2]) == []  # each is tried by itself then
    assert writer.write(items[:3]) == [items[2], *items[:2]]
    writer.close()
    assert [letter.key.split(b"/")[-1] for batch in scene.transport.batches for letter in batch] == [
        *(b"first", b"first"),
        *(b"second", b"second", b"second"),
    ]


def with_full_metadata(scene) -> list[WorkItem]:
    """Two letters of partition 0, next to the commit point and far beyond it; between them more than a commit names."""
    items = scene.dead(*(b"%d" % n for n in range(400)))
    for number in random.Random(1).sample(range(3, 398), 200):
        scene.assigned.finish(items[number])
    return [items[1], items[399]]


def test_a_letter_whose_task_the_commit_would_not_name_waits_and_stops_its_partition_alone(scene):
    near, far = with_full_metadata(scene)
    scene.assigned.limit.bytes = 120
    [elsewhere] = scene.dead(b"b", partition=1)
    left = scene.write([near, far, elsewhere])
    assert left == [far]
    assert scene.write(left) == [far]
    assert scene.writer.waiting() == 1
    assert scene.assigned.stopped() == [TopicPartition(TOPIC, 0)]
    assert sorted(scene.letters()) == [("t/0/1", b"1"), ("t/1/0", b"b")]
    for offset in list(scene.assigned.by_partition[0].tracker._incomplete)[:-1]:
        scene.assigned.by_partition[0].tracker.finish(offset)
    assert scene.write(left) == []
    assert (scene.writer.waiting(), scene.committed(), scene.records_of_letters()) == (0, 400, 3)
    assert not scene.assigned.stopped()


def test_for_letters_without_room_it_is_looked_once_a_batch_and_when_there_may_be_room(scene, monkeypatch):
    """To make a commit of thousands of runs and to read it takes milliseconds."""
    scene.assigned.limit.bytes = 120
    items = scene.dead(*(b"%d" % n for n in range(400)))
    for number in random.Random(1).sample(range(3, 298), 150):
        scene.assigned.finish(items[number])
    far = items[300:]
    read = []
    real = OffsetMetadata.decode
    monkeypatch.setattr(OffsetMetadata, "decode", lambda *args: read.append(args) or real(*args))
    assert scene.writer.write(far) == []
    assert len(read) == 1
    for _ in range(20):
        assert scene.writer.write(far) == []
    assert (len(read), scene.writer.waiting()) == (1, 100)
    scene.assigned.finish(items[0])
    assert scene.writer.write(far) == []
    assert len(read) == 2, "the commit point has moved"
    scene.now += RETRY_INTERVAL
    assert scene.writer.write(far) == []
    assert len(read) == 3
    assert scene.writer.stuck() == []


def test_a_letter_that_is_refused_and_has_no_room_then_counts_once(scene):
    _near, far = with_full_metadata(scene)
    small_dead_topic(scene, 100)
    left = write_all(scene, [far], rounds=4)
    assert left == scene.writer.stuck() == [far]
    scene.assigned.limit.bytes = 120
    scene.now += STUCK_INTERVAL
    assert scene.write(left) == scene.writer.stuck() == [far]
    assert scene.writer.waiting() == 1


def test_letters_are_written_to_a_broker_that_takes_less_metadata(scene):
    near, far = with_full_metadata(scene)
    scene.client._cluster.max_metadata = 120
    left = [near, far]
    for _ in range(10):
        scene.now += RETRY_INTERVAL
        left = scene.write(left)
    assert left == [far]
    assert scene.writer.waiting() == 1
    assert scene.letters() == [("t/0/1", b"1")]
    place = scene.places[0]
    assert OffsetMetadata.decode(scene.client.committed([place])[place].metadata, scene.committed()).is_done(1)


@pytest.mark.parametrize("is_shut", [False, True])
def test_a_topic_of_dead_letters_that_does_not_answer_is_waited_for_some_times_and_then_now_and_then(
    scene, caplog, is_shut
):
    """While all else answers; also where no other client can be opened, as long as a transaction cannot end."""
    scene.transport.plan = [(BrokerUnreachable("it is gone."), False)] * 100
    left = scene.dead(*(b"%d" % n for n in range(MAX_LETTERS + 20)))

    def waits(seconds: int) -> int:
        """How often the broker is waited for in so many seconds."""
        nonlocal left
        before = len(scene.transport.batches) + scene.transport.refused
        for _ in range(seconds):
            left = scene.write(left)
        return len(scene.transport.batches) + scene.transport.refused - before

    assert waits(1) == 1
    scene.transport.is_away = is_shut
    assert waits(20) == MAX_SILENCES - 1
    assert len(scene.writer.stuck()) == scene.writer.waiting() == MAX_LETTERS + 20
    assert scene.assigned.stopped() == [TopicPartition(TOPIC, 0)]
    late = scene.dead(b"late", partition=1)
    left = [*left, *late]
    assert waits(int(3 * STUCK_INTERVAL)) <= 4
    assert len(scene.assigned.stopped()) == 2
    assert scene.writer.in_doubt == is_shut
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    places = ", ".join(f"offset {n} of partition 0" for n in range(3))
    assert [text.partition(" cannot be")[0] for text in said] == [
        f"w: the dead letters of {places}, … ({MAX_LETTERS + 20} in all) of 't'",
        "w: the dead letters of offset 0 of partition 1 of 't'",
    ]

    scene.transport.plan, scene.transport.is_away = [], False
    scene.transport.batches.clear()
    while not waits(1):
        assert len(scene.assigned.stopped()) == 2
    assert scene.writer.stuck() == []
    waits(1)
    assert left == []
    assert [len(batch) for batch in scene.transport.batches] == [MAX_LETTERS, 21]
    assert dict(scene.letters()) == {f"t/0/{n}": b"%d" % n for n in range(MAX_LETTERS + 20)} | {"t/1/0": b"late"}
    assert not scene.assigned.stopped()
    assert not scene.writer.in_doubt


def test_while_no_client_can_be_opened_partitions_are_adopted_though_it_is_open_what_became_of_a_letter(scene):
    scene.transport.plan = [(BrokerUnreachable(), True)]
    left = scene.write(scene.dead(b"a"))
    scene.transport.is_away = True
    for _ in range(MAX_SILENCES):
        left = scene.write(left)
    scene.assigned.leave()
    assert scene.writer.settle() == []  # as its worker does before it adopts
    scene.assigned.adopt(scene.places)
    assert scene.assigned.by_partition[0].tracker.commit_point == 1
    scene.transport.is_away = False
    scene.now += STUCK_INTERVAL
    assert scene.write([]) == []
    assert not scene.writer.in_doubt
    assert scene.records_of_letters() == 1


def test_a_broker_that_is_away_is_no_topic_that_does_not_answer(scene, monkeypatch):
    def away(*, timeout):
        raise BrokerUnreachable

    monkeypatch.setattr(scene.identity, "ask", away)
    left = scene.dead(b"a")
    scene.transport.is_away = True
    assert write_all(scene, left, rounds=3 * MAX_SILENCES) == left
    assert scene.writer.stuck() == []
    assert not scene.assigned.stopped()
    scene.transport.is_away = False
    assert write_all(scene, left, rounds=2) == []


def test_what_had_no_topic_for_its_letter_keeps_what_its_record_held(scene):
    scene.topics.create("t_dead", partitions=1)
    left = write_all(scene, scene.dead(b"a"), rounds=2)
    assert scene.writer.stuck() == left
    scene.topics.delete("t_dead")
    scene.now += STUCK_INTERVAL
    assert scene.write(left) == []
    assert scene.letters() == [("t/0/0", b"a")]
