"""Suspicion: a task that kills its worker is found by the starts that it spoiled, and nobody else is blamed."""

from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.engine.partition_state import DELIVERIES, LONELY_STARTS, UNCLEAN_STARTS, PartitionState
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import Position, Record, TopicPartition

PLACE = TopicPartition("t", 0)


def take_over(committed: Position, *, offsets: range) -> PartitionState:
    """A new owner opens the partition and receives what is there."""
    state = PartitionState(PLACE, committed, suspects=10)
    for offset in offsets:
        if offset >= committed.offset and state.tracker.receive(offset):
            state.waiting.append(WorkItem(Record("t", 0, offset, None, b"", (), 0), 0.0))
    return state


def begin(state: PartitionState) -> Position:
    """Say that work begins; the broker takes it."""
    said = state.announcement()
    state.announced()
    return said


def deliveries_of_a_killer(at: int, *, tasks: int) -> tuple[int, Position]:
    """Workers take over from each other, each dies with the killer, until one blames it; how often it was delivered."""
    delivered, committed = 0, Position(0)
    while True:
        state = take_over(committed, offsets=range(tasks))
        if not state.alone:
            committed = begin(state)
            delivered += 1  # all at once, the killer among them: it dies before anything is finished
            continue
        while True:
            if state.to_blame():
                return delivered, committed
            committed = begin(state)
            offset = state.waiting.popleft().record.offset
            if offset == at:
                delivered += 1
                break
            state.tracker.finish(offset)


def test_a_killer_among_innocents_is_found_after_so_many_deliveries():
    for at in (0, 3, 9):
        delivered, committed = deliveries_of_a_killer(at, tasks=10)
        assert (delivered, committed.offset) == (DELIVERIES, at)


def test_a_worker_that_leaves_in_order_leaves_no_suspicion():
    committed = Position(0)
    for _ in range(20):
        state = take_over(committed, offsets=range(5))
        assert not state.alone
        begin(state)
        committed = state.leave()


def test_progress_ends_the_suspicion():
    committed = Position(0)
    for _ in range(20):
        state = take_over(committed, offsets=range(100))
        begin(state)
        state.tracker.finish(committed.offset)
        committed = state.position()
        assert not state.alone


def test_when_the_suspects_are_through_tasks_go_side_by_side_again():
    state = take_over(Position(0, OffsetMetadata(starts=UNCLEAN_STARTS).encode(0)), offsets=range(20))
    assert state.alone
    for offset in range(10):
        assert state.next_is_alone()
        begin(state)
        state.waiting.popleft()
        assert not state.next_is_alone()
        state.tracker.finish(offset)
    assert not state.alone


def test_a_start_counts_when_its_announcement_has_reached_the_broker_and_not_before():
    committed = Position(0, OffsetMetadata(starts=UNCLEAN_STARTS).encode(0))
    state = take_over(committed, offsets=range(5))
    assert state.alone
    for _ in range(10):  # the broker is away: each try is for the same start
        said = state.announcement()
        assert OffsetMetadata.decode(said.metadata, 0).starts == 1
        assert not state.to_blame()
    state.announced()
    assert OffsetMetadata.decode(state.announcement().metadata, 0).starts == 1
    assert not state.to_blame()


def test_its_own_start_that_it_could_not_take_back_makes_no_worker_blame_a_task():
    committed = Position(0, OffsetMetadata(starts=LONELY_STARTS, alone_until=10).encode(0))
    assert PartitionState(PLACE, committed, suspects=10).to_blame()
    mine = PartitionState(PLACE, committed, suspects=10, begun_before=True)
    assert not mine.to_blame()
    assert OffsetMetadata.decode(mine.announcement().metadata, 0).starts == LONELY_STARTS


def test_a_commit_names_the_topic_by_its_id():
    state = PartitionState(PLACE, None, topic_id="one", suspects=10)
    state.start_at(3)
    assert OffsetMetadata.decode(state.position().metadata, 3) == OffsetMetadata(topic_id="one")
