"""Suspicion: a task that kills its worker is found by the starts that it spoiled, and nobody else is blamed."""

from labkit.taskqueue.engine.offset_tracker import OffsetMetadata
from labkit.taskqueue.engine.partition_state import DELIVERIES, PartitionState
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import Position, Record, TopicPartition

PLACE = TopicPartition("t", 0)


def take_over(committed: Position, *, offsets: range) -> PartitionState:
    """A new owner opens the partition and receives what is there."""
    holding = PartitionState(PLACE, committed, suspects=10)
    for offset in offsets:
        if offset >= committed.offset and holding.progress.receive(offset):
            holding.waiting.append(WorkItem(Record("t", 0, offset, None, b"", (), 0), 0.0, holding))
    return holding


def deliveries_of_a_killer(at: int, *, tasks: int) -> tuple[int, Position]:
    """Workers take over from each other, each dies with the killer, until one blames it; how often it was delivered."""
    delivered, committed = 0, Position(0)
    while True:
        holding = take_over(committed, offsets=range(tasks))
        if not holding.alone:
            committed = holding.begin()
            delivered += 1  # all at once, the killer among them: it dies before anything is finished
            continue
        while True:
            if holding.to_blame():
                return delivered, committed
            committed = holding.begin()
            offset = holding.waiting.popleft().record.offset
            if offset == at:
                delivered += 1
                break
            holding.progress.finish(offset)


def test_a_killer_among_innocents_is_found_after_so_many_deliveries():
    for at in (0, 3, 9):
        delivered, committed = deliveries_of_a_killer(at, tasks=10)
        assert (delivered, committed.offset) == (DELIVERIES, at)


def test_a_worker_that_leaves_in_order_leaves_no_suspicion():
    committed = Position(0)
    for _ in range(20):
        holding = take_over(committed, offsets=range(5))
        assert not holding.alone
        holding.begin()
        committed = holding.leave()


def test_progress_ends_the_suspicion():
    committed = Position(0)
    for _ in range(20):
        holding = take_over(committed, offsets=range(100))
        holding.begin()
        holding.progress.finish(committed.offset)
        committed = holding.position()
        assert not holding.alone


def test_when_the_suspects_are_through_tasks_go_side_by_side_again():
    holding = take_over(Position(0, OffsetMetadata(starts=3).encode(0)), offsets=range(20))
    assert holding.alone
    for offset in range(10):
        assert holding.next_is_alone()
        holding.begin()
        holding.waiting.popleft()
        assert not holding.next_is_alone()
        holding.progress.finish(offset)
    assert not holding.alone
