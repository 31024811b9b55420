"""What a worker commits and does not, what it believes of what is committed, and what it keeps in mind."""

import logging
import random

import pytest

from labkit.errors import BrokerUnreachable, CommitRefused, MetadataTooLarge, UnknownTopic
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.engine.partition_state import UNCLEAN_STARTS
from labkit.taskqueue.engine.topic_identity import Identity
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import Position, Record, TopicPartition

PLACE = TopicPartition("t", 0)


class Broker:
    """The calls that matter, on a broker that may be away, and a topic that may become another."""

    def __init__(self) -> None:
        self.kept: Position | None = Position(0)
        self.error = None
        self.topic_id = "first"
        self.end = 10_000
        self.takes = 4096
        self.sought = []
        self.read_up_to = None

    def committed(self, places):
        return dict.fromkeys(places, self.kept)

    def commit(self, positions):
        if self.error is not None:
            raise self.error
        if len(positions[PLACE].metadata) > self.takes:
            raise MetadataTooLarge
        self.kept = positions[PLACE]

    def position(self, place):
        return self.read_up_to

    def seek(self, place, offset):
        self.sought.append((place, offset))

    def ask(self, *, timeout, with_ends=False):
        if isinstance(self.error, BrokerUnreachable):
            raise self.error
        return Identity(self.topic_id, {0: self.end} if with_ends else {})


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def partitions(broker):
    return worker_on(broker)


def worker_on(broker: Broker) -> AssignedPartitions:
    return AssignedPartitions(broker, broker, suspects=10)


def adopt(partitions: AssignedPartitions):
    partitions.adopt([PLACE])
    return partitions.by_partition[0]


def work(partitions: AssignedPartitions, offsets, *, until: int) -> list[int]:
    """Receive and finish these offsets; those that were new."""
    tracker = adopt(partitions).tracker
    new = [offset for offset in offsets if tracker.receive(offset)]
    for offset in new[:until]:
        tracker.finish(offset)
    return new


def committed(broker: Broker) -> OffsetMetadata:
    return OffsetMetadata.decode(broker.kept.metadata, broker.kept.offset)


@pytest.mark.parametrize("error", [BrokerUnreachable, CommitRefused])
def test_what_was_finished_and_not_committed_is_not_done_again(broker, partitions, error):
    assert work(partitions, range(10), until=6) == list(range(10))
    broker.error = error()
    partitions.leave()
    broker.error = None
    assert broker.kept.offset == 0
    assert work(partitions, range(10), until=10) == [6, 7, 8, 9]
    partitions.leave()
    assert broker.kept.offset == 10


def test_it_is_not_done_again_either_where_nothing_was_ever_committed(broker, partitions):
    broker.kept = None
    adopt(partitions)
    broker.error = BrokerUnreachable()
    with pytest.raises(BrokerUnreachable):
        partitions.begin({0: 3})
    tracker = partitions.by_partition[0].tracker
    for offset in (3, 4, 5):
        assert tracker.receive(offset)
    tracker.finish(4)
    partitions.leave()
    broker.error = None
    assert work(partitions, range(3, 6), until=2) == [3, 5]


def test_a_group_that_was_set_back_does_its_work_again(broker, partitions):
    broker.kept = Position(5)
    work(partitions, range(5, 10), until=5)
    broker.error = BrokerUnreachable()
    partitions.leave()
    broker.error = None
    broker.kept = Position(0)
    assert work(partitions, range(10), until=10) == list(range(10))


def test_what_was_done_on_another_topic_of_the_same_name_does_not_count(broker, partitions):
    work(partitions, range(5), until=5)
    broker.error = BrokerUnreachable()
    partitions.leave()
    broker.error = None
    broker.topic_id, broker.kept = "second", None
    assert work(partitions, range(5), until=5) == list(range(5))


def test_an_offset_of_another_topic_of_the_same_name_is_not_believed(broker, partitions, caplog):
    work(partitions, range(10), until=10)
    partitions.leave()
    assert broker.kept.offset == 10
    assert committed(broker).topic_id == "first"

    broker.topic_id = "second"
    for worker in (partitions, worker_on(broker)):
        broker.sought.clear()
        state = adopt(worker)
        assert (state.known, broker.sought) == (False, [(PLACE, 0)])
    assert "another topic of that name" in caplog.text
    partitions.begin({0: 0})
    assert (broker.kept.offset, committed(broker).topic_id) == (0, "second")
    assert not adopt(worker_on(broker)).tracker.receive(-1)
    assert adopt(worker_on(broker)).tracker.receive(0)


def test_a_client_that_has_heard_of_a_commit_on_another_topic_reads_from_the_beginning(broker, partitions):
    """What was committed there goes with the topic, between the client's look at it and the worker's."""
    broker.kept, broker.read_up_to = None, 10
    assert adopt(partitions).known is False
    assert broker.sought == [(PLACE, 0)]


@pytest.mark.parametrize("metadata", ["", "a note of somebody else", "labkit1 0 0 eAEDAAAAAAE="])
def test_an_offset_that_does_not_say_its_topic_is_believed_if_it_can_be(broker, partitions, metadata):
    broker.kept, broker.end = Position(10, metadata), 10
    assert adopt(partitions).tracker.commit_point == 10
    assert broker.sought == [(PLACE, 10)]  # where the client stands is not known
    broker.end = 9
    assert adopt(partitions).known is False
    assert broker.sought[1:] == [(PLACE, 0)]


@pytest.mark.parametrize(("read_up_to", "sought"), [(10, []), (7, [(PLACE, 10)]), (12, [(PLACE, 10)])])
def test_it_is_read_from_where_the_group_is(broker, partitions, read_up_to, sought):
    broker.kept, broker.read_up_to = Position(10), read_up_to
    adopt(partitions)
    assert broker.sought == sought


def records(*offsets, timestamp=0):
    return [Record("t", 0, offset, None, b"", (), timestamp) for offset in offsets]


@pytest.mark.parametrize(
    ("offsets", "read_up_to", "is_lost"),
    [
        ([15, 16], 17, False),
        ([*range(500)], 500, True),  # as many at once as if nothing had happened, before anything was received
        ([9], 10, True),
    ],
)
def test_what_comes_from_before_the_start_fills_a_partition_anew(broker, partitions, offsets, read_up_to, is_lost):
    broker.kept, broker.read_up_to = Position(10), read_up_to
    adopt(partitions)
    assert partitions.are_filled_anew(records(*offsets)) is is_lost


@pytest.mark.parametrize(
    ("again", "read_up_to", "is_lost"),
    [
        (records(12), 20, False),  # once more, and then what was to come
        (records(12, 20, 21), 22, False),
        (records(19), 20, False),
        (records(19, timestamp=1), 20, True),
        (records(12), 13, True),
        (records(12), None, True),
        (records(*range(10, 30)), 30, True),
        (records(20, 21, 12), 22, False),
    ],
)
def test_one_record_that_comes_twice_is_no_loss(broker, partitions, again, read_up_to, is_lost):
    broker.kept = Position(10)
    state = adopt(partitions)
    for record in records(*range(10, 20)):
        assert state.receive(record)
    broker.read_up_to = read_up_to
    assert partitions.are_filled_anew(again) is is_lost


@pytest.mark.parametrize("is_given_up", [False, True])
def test_a_group_is_set_back_on_the_topic_where_the_loss_was_seen(broker, partitions, is_given_up):
    broker.kept, broker.read_up_to = Position(10), 6
    adopt(partitions)
    assert partitions.are_filled_anew(records(5))
    partitions.abandon()
    if is_given_up:
        partitions.leave()
    else:
        adopt(partitions)
    assert (broker.kept.offset, committed(broker).topic_id) == (5, "first")
    broker.topic_id = "second"
    assert adopt(partitions).known is False


def test_a_group_that_cannot_be_set_back_is_told(broker, partitions, caplog):
    broker.kept, broker.read_up_to = Position(10), 6
    adopt(partitions)
    assert partitions.has_lost({0: 9})
    partitions.abandon()
    broker.error = CommitRefused()
    partitions.leave()
    assert "tasks may be taken for done" in caplog.text
    broker.error = None
    assert adopt(partitions).start == 10


def test_a_topic_that_is_not_there_is_not_adopted(broker, partitions):
    broker.topic_id = None
    with pytest.raises(UnknownTopic, match="'t'"):
        partitions.adopt([PLACE])
    assert not partitions.by_partition


def test_whether_the_topic_is_the_same_is_asked_before_something_is_committed_in_leaving(broker, partitions):
    assert partitions.is_same_topic()  # nothing is held
    adopt(partitions)
    assert partitions.is_same_topic()
    for topic_id in ("second", None):
        broker.topic_id = topic_id
        assert not partitions.is_same_topic()
    broker.error = BrokerUnreachable()
    assert partitions.is_same_topic()  # the commit that follows will tell


def test_nothing_is_kept_in_mind_of_a_topic_that_was_abandoned(broker, partitions):
    work(partitions, range(10), until=6)
    partitions.abandon()
    assert work(partitions, range(10), until=6) == list(range(10))


def test_a_partition_in_doubt_keeps_no_other_task_waiting(broker, partitions):
    """Nothing can be committed for it, so nothing would end the wait."""
    work(partitions, range(10), until=6)
    state = partitions.by_partition[0]
    state.dirty = True
    broker.error = BrokerUnreachable()
    partitions._committed_at -= 10
    partitions.commit_if_due(idle=True)
    assert partitions.commit_waits
    state.in_doubt = True
    assert not partitions.commit_waits


def test_nothing_is_committed_for_a_partition_in_doubt(broker, partitions):
    work(partitions, range(10), until=6)
    state = partitions.by_partition[0]
    state.dirty = state.in_doubt = True
    partitions.commit_if_due(idle=True)
    partitions.begin({0: 0})
    partitions.begin_alone(state)
    partitions.leave()
    assert broker.kept == Position(0)
    assert work(partitions, range(10), until=0) == [6, 7, 8, 9]


@pytest.mark.parametrize("before", [0, None])
def test_a_partition_in_which_everything_was_given_up_is_empty(broker, partitions, before):
    """The position of the client is past a transaction that was aborted, or at the beginning of a log that was cut."""
    broker.kept = None if before is None else Position(before)
    adopt(partitions)
    for read_up_to, expected in ((None, before), (0, before), (7, 7)):
        broker.read_up_to = read_up_to
        partitions.skip_gaps()
        partitions._committed_at -= 10
        partitions.commit_if_due(idle=True)
        assert (broker.kept.offset if broker.kept else None) == expected


def test_items_of_an_earlier_assignment_have_no_owner(partitions):
    old = WorkItem(Record("t", 0, 0, None, b"", (), 0), 0.0, adopt(partitions).epoch)
    assert partitions.owner(old) is partitions.by_partition[0]
    assert partitions.owner(WorkItem(Record("t", 1, 0, None, b"", (), 0), 0.0, old.epoch)) is None
    adopt(partitions)
    assert partitions.owner(old) is None


def starts(broker) -> int:
    """How many starts stand on the broker that did not end in order."""
    return committed(broker).starts


def test_a_start_counts_with_the_first_record_and_not_before(broker, partitions):
    adopt(partitions)
    assert starts(broker) == 0
    partitions.begin({0: 0})
    assert starts(broker) == 1
    partitions.leave()
    assert starts(broker) == 0


def test_a_worker_that_lives_is_not_taken_for_one_that_died_here(broker, partitions):
    for _ in range(10):
        broker.error = None
        assert not adopt(partitions).alone
        partitions.begin({0: 0})
        broker.error = BrokerUnreachable()
        partitions.leave()
    assert starts(broker) == 1


def test_those_that_died_here_count_beside_one_that_lives(broker, partitions):
    adopt(partitions)
    partitions.begin({0: 0})
    broker.error = BrokerUnreachable()
    partitions.leave()
    broker.error = None
    for _ in range(2):
        died = worker_on(broker)
        adopt(died)
        died.begin({0: 0})
    assert starts(broker) == 3
    assert adopt(partitions).alone


@pytest.mark.parametrize("is_alone", [False, True])
def test_starts_that_the_broker_did_not_take_make_no_task_suspected(broker, is_alone):
    """However often the broker was away, and even if it has heard of the start: it is one, and of one that lives."""
    if is_alone:
        broker.kept = Position(0, OffsetMetadata(starts=UNCLEAN_STARTS, topic_id="first").encode(0))
    partitions = worker_on(broker)

    def begin(state):
        if is_alone:
            partitions.begin_alone(state)
        else:
            partitions.begin({0: 0})

    for _ in range(10):
        state = adopt(partitions)
        broker.error = BrokerUnreachable()
        for _ in range(3):
            with pytest.raises(BrokerUnreachable):
                begin(state)
            assert not state.begun
            assert not state.to_blame()
        partitions.leave()
        broker.error = None
    state = adopt(partitions)
    begin(state)
    assert state.begun
    assert starts(broker) == 1
    assert not state.to_blame()


def test_that_commits_have_to_wait_is_said_once_for_each_outage(broker, partitions, caplog):
    with caplog.at_level(logging.INFO, "labkit.worker"):
        for error in (BrokerUnreachable(), BrokerUnreachable(), None, BrokerUnreachable()):
            work(partitions, range(10), until=1)
            broker.error = error
            partitions.leave()
            broker.error = None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]


class Overtaken(Broker):
    """A client that gives the partitions up while it is asked, once: whoever asked has been overtaken then."""

    def __init__(self) -> None:
        super().__init__()
        self.partitions = None

    def give_up(self):
        if self.partitions is not None:
            partitions, self.partitions = self.partitions, None
            partitions.leave()

    def committed(self, places):
        return dict.fromkeys(places, Position(0))

    def commit(self, positions):
        self.give_up()
        for self.kept in positions.values():
            if self.error is not None:
                raise self.error

    def position(self, place):
        self.give_up()
        return 7


@pytest.mark.parametrize("error", [None, CommitRefused(), BrokerUnreachable()])
@pytest.mark.parametrize("call", ["commit", "begin", "begin_alone", "end_alone", "position"])
def test_partitions_that_are_taken_during_a_call_end_no_worker(call, error):
    broker = Overtaken()
    partitions = worker_on(broker)
    partitions.adopt([PLACE, TopicPartition("t", 1)])
    state = partitions.by_partition[0]
    for held in partitions.by_partition.values():
        held.tracker.receive(0)
        held.tracker.finish(0)
        held.dirty = True
    broker.partitions, broker.error = partitions, error
    partitions._committed_at -= 10
    calls = {
        "commit": lambda: partitions.commit_if_due(idle=True),
        "begin": lambda: partitions.begin({0: 0}),
        "begin_alone": lambda: partitions.begin_alone(state),
        "end_alone": partitions.end_alone,
        "position": partitions.skip_gaps,
    }
    if error is None or call in ("commit", "position"):
        calls[call]()
    else:
        with pytest.raises(type(error)):
            calls[call]()
    assert not partitions.by_partition


@pytest.mark.parametrize("takes", [512, 100, 61, 60, 0])
def test_a_broker_that_takes_less_metadata_gets_less_which_is_said_once(broker, partitions, caplog, takes):
    """Down to none at all: then what is done beyond the commit point is done again after a crash."""
    broker.takes, broker.topic_id = takes, "4a6ff2f7-4c2c-4f0a-9a34-0d0b0a3a3a51"
    done = set(random.Random(1).sample(range(1, 8000), 4000)) | {1}
    state = adopt(partitions)
    partitions.begin({0: 0})
    for offset in range(8000):
        state.tracker.receive(offset)
    for offset in done:
        state.tracker.finish(offset)
    for last in (2, 3):
        state.tracker.finish(last)
        state.dirty = True
        partitions._committed_at -= 10
        partitions.commit_if_due(idle=True)
        assert not partitions.commit_waits
        assert len(broker.kept.metadata) <= takes
        assert set(committed(broker).offsets()) <= {*done, 2, 3}
        assert takes < 100 or committed(broker).is_done(1)
        assert (committed(broker).topic_id == broker.topic_id) is (takes >= 61)
    partitions.begin_alone(state)
    state.tracker.finish(0)
    partitions.leave()
    assert broker.kept.offset >= 4
    assert len(broker.kept.metadata) <= takes
    assert caplog.text.count("offset.metadata.max.bytes") == 1
    assert adopt(worker_on(broker)).tracker.commit_point >= 4
