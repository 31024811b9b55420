"""The sum over all that was produced."""

from __future__ import annotations

from contextlib import closing

from labkit.dispatch.account import Account, Unsettled, account, unsettled
from labkit.measure.records import Receipt
from labkit.measure.task_record import DEAD, DONE, SHED
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, TopicPartition
from labkit.taskqueue.transport.memory import MemoryTransport


def receipt(task: str, offset: int, *, error: str | None = None) -> Receipt:
    return Receipt(
        task_id=task,
        topic="jobs.low",
        partition=None if error else 1,
        offset=None if error else offset,
        scheduled_at=0.0,
        produced_at=0.0,
        acknowledged_at=None if error else 0.0,
        error=error,
    )


LEFT = {"jobs.low": {0: Unsettled(0, 100, frozenset()), 1: Unsettled(4, 8, frozenset({5}))}}


def test_each_task_counts_once_by_the_best_that_is_known() -> None:
    receipts = [receipt(task, offset) for offset, task in enumerate("abcdefgh")]
    fates = {"a": DONE, "b": DEAD, "c": SHED, "f": DONE, "e": DONE}
    # e is still on Kafka as well, c in Celery: what has ended counts
    found = account(receipts, fates, {"c", "d"}, LEFT)
    assert found == Account(produced=8, done=3, on_kafka=2, in_celery=1, shed=1, dead=1)
    assert found.missing == 0
    assert str(found) == "produced 8 = done 3 + waiting 3 (on Kafka 2, in Celery 1) + shed 1 + dead 1"


def test_a_task_of_which_nothing_is_known_is_missing() -> None:
    places = {"before": 3, "there": 4, "between": 5, "after": 8}
    found = account([receipt(task, offset) for task, offset in places.items()], {}, (), LEFT)
    assert (found.on_kafka, found.missing) == (1, 3)
    assert str(found).endswith("3 are missing")


def test_nobody_else_s_tasks_make_up_for_a_missing_one() -> None:
    found = account([receipt("mine", 0)], {"other": DONE}, {"another"}, LEFT)
    assert (found.done, found.in_celery, found.missing) == (0, 0, 1)


def test_what_was_not_acknowledged_was_not_produced_and_what_was_sent_twice_only_once() -> None:
    found = account([receipt("a", 0, error="late"), receipt("b", 4), receipt("b", 6)], {"b": DONE}, (), LEFT)
    assert (found.produced, found.done, found.missing) == (1, 1, 0)


def test_a_group_has_left_what_it_has_neither_committed_nor_remembered() -> None:
    with Topics(MemoryTransport(), prefix="me.") as topics:
        topic = topics.create("jobs.low", partitions=2)
        partitions = iter((0, 1, 1, 1, 1, 1))
        with Producer(topic, partitioner=lambda key, count: next(partitions)) as producer:
            producer.send_many(stock_tasks(6, seed=1))
        place = TopicPartition(topic.full_name, 1)
        with closing(topic.transport.consumer(ConsumerConfig(group=topic.full_group("g")))) as consumer:
            consumer.assign([place])
            consumer.commit({place: Position(1, OffsetMetadata((range(3, 4),)).encode(1))})
        with closing(topic.transport.admin()) as admin:
            left = unsettled(admin, topic, "g")
    assert {partition: one.size for partition, one in left.items()} == {0: 1, 1: 3}
    assert [left[1].holds(offset) for offset in range(6)] == [False, True, True, False, True, False]
