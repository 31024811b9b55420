"""Which task may begin: the three orders, postponed tasks, and what is dropped."""

import threading

import pytest

from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.contract import Record


def items(*keys: str | None, partition: int = 0) -> list[WorkItem]:
    return [
        WorkItem(Record("t", partition, offset, key and key.encode(), b"", (), 0), 0.0, None)
        for offset, key in enumerate(keys)
    ]


def available(lanes: Shards) -> list[WorkItem]:
    return list(iter(lambda: lanes.take(wait=False), None))


@pytest.mark.parametrize(("order", "expected"), [("partition", [0]), ("key", [0, 2, 3, 4]), ("none", [0, 1, 2, 3, 4])])
def test_how_many_tasks_of_a_partition_may_run_at_once(order, expected):
    lanes = Shards(order)
    lanes.put(items("a", "a", "b", None, None))
    assert [item.record.offset for item in available(lanes)] == expected


def test_the_next_of_a_key_begins_when_the_one_before_is_done():
    lanes = Shards("key")
    first, second, other = put = items("a", "a", "b")
    lanes.put(put)
    assert available(lanes) == [first, other]
    lanes.done(other)
    assert available(lanes) == []
    lanes.done(first)
    assert available(lanes) == [second]
    lanes.put(items("a"))
    assert available(lanes) == []


def test_a_postponed_task_holds_back_its_own_key_only():
    now = [100.0]
    lanes = Shards("key", clock=lambda: now[0])
    first, second, other = put = items("a", "a", "b")
    lanes.put(put)
    assert available(lanes) == [first, other]
    lanes.postpone(first, 5)
    lanes.done(other)
    assert lanes.release_due() == 5
    assert available(lanes) == []
    now[0] = 105.0
    assert lanes.release_due() is None
    assert available(lanes) == [first]
    lanes.done(first)
    assert available(lanes) == [second]


def test_drop_waits_for_what_runs_and_forgets_the_rest():
    lanes = Shards("none")
    first, *_ = put = items("a", "b")
    lanes.put(put)
    assert lanes.take() is first
    dropped = threading.Event()
    thread = threading.Thread(target=lambda: (lanes.drop(timeout=10), dropped.set()))
    thread.start()
    assert not dropped.wait(0.05)
    lanes.done(first)
    assert dropped.wait(5)
    thread.join()
    assert available(lanes) == []


def test_what_outlasts_a_drop_is_ignored_when_it_ends():
    lanes = Shards("key")
    (late,) = items("a")
    lanes.put([late])
    assert lanes.take() is late
    assert lanes.drop(timeout=0) is False
    (again,) = items("a")
    lanes.put([again])
    lanes.done(late)
    lanes.postpone(late, 0)
    assert available(lanes) == [again]
    lanes.done(again)
    assert lanes.drop(timeout=0) is True


def test_after_close_nobody_waits():
    lanes = Shards("none")
    ended = [threading.Event() for _ in range(3)]
    threads = [threading.Thread(target=lambda event=event: (lanes.take(), event.set())) for event in ended]
    for thread in threads:
        thread.start()
    lanes.close()
    assert all(event.wait(5) for event in ended)
    for thread in threads:
        thread.join()


def test_many_threads_keep_the_order_of_each_key():
    lanes = Shards("key")
    seen: dict[bytes, list[int]] = {}
    running: set[bytes] = set()
    wrong = []

    def work():
        while (item := lanes.take()) is not None:
            key = item.record.key
            if key in running:
                wrong.append(key)
            running.add(key)
            seen.setdefault(key, []).append(item.record.offset)
            running.discard(key)
            lanes.done(item)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    lanes.put(items(*(f"k{n % 17}" for n in range(2000))))

    def is_over():
        return bool(wrong) or sum(map(len, list(seen.values()))) == 2000

    wait_until(is_over, timeout=10, what="all items were to be through")
    assert not wrong
    lanes.close()
    for thread in threads:
        thread.join()
    assert all(offsets == sorted(offsets) for offsets in seen.values())
