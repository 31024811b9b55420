"""Which task may begin: the three orders, postponed tasks, and what is dropped."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.contract import Record


def items(*keys: str | None, partition: int = 0) -> list[WorkItem]:
    return [
        WorkItem(Record("t", partition, offset, key and key.encode(), b"", (), 0), 0.0)
        for offset, key in enumerate(keys)
    ]


def available(shards: Shards) -> list[WorkItem]:
    return list(iter(lambda: shards.take(wait=False), None))


@pytest.mark.parametrize(("order", "expected"), [("partition", [0]), ("key", [0, 2, 3, 4]), ("none", [0, 1, 2, 3, 4])])
def test_how_many_tasks_of_a_partition_may_run_at_once(order, expected):
    shards = Shards(order)
    shards.put(items("a", "a", "b", None, None))
    assert [item.record.offset for item in available(shards)] == expected


def test_the_next_of_a_key_begins_when_the_one_before_is_done():
    shards = Shards("key")
    first, second, other = put = items("a", "a", "b")
    shards.put(put)
    assert available(shards) == [first, other]
    shards.done(other)
    assert available(shards) == []
    shards.done(first)
    assert available(shards) == [second]
    shards.put(items("a"))
    assert available(shards) == []


def test_a_postponed_task_holds_back_its_own_key_only():
    now = [100.0]
    shards = Shards("key", clock=lambda: now[0])
    first, second, other = put = items("a", "a", "b")
    shards.put(put)
    assert available(shards) == [first, other]
    shards.postpone(first, 5)
    shards.done(other)
    assert shards.release_due() == 5
    assert available(shards) == []
    now[0] = 105.0
    assert shards.release_due() is None
    assert available(shards) == [first]
    shards.done(first)
    assert available(shards) == [second]


@pytest.mark.parametrize(("behind", "expected"), [(False, "DaEbFc"), (True, "abcDEF")])
def test_what_is_due_takes_turns_with_the_others_unless_it_is_to_come_behind_them(behind, expected):
    """A failed task would wait for all that are here, if they are thousands, and nothing could be committed."""
    shards = Shards("none", clock=lambda: 100.0)
    failed, fresh = items("D", "E", "F"), items("a", "b", "c")
    shards.put(failed)
    assert available(shards) == failed
    shards.put(fresh)
    for item in failed:
        shards.postpone(item, 0, behind=behind)
    shards.release_due()
    begun = "".join(item.record.key.decode() for item in available(shards))
    assert begun == expected
    assert available(shards) == []


def test_who_waits_gets_what_is_due():
    shards = Shards("none", clock=lambda: 100.0)
    (item,) = put = items("a")
    shards.put(put)
    assert shards.take() is item
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(shards.take)
        shards.postpone(item, 0)
        shards.release_due()
        assert waits.result(60) is item


def test_what_is_due_is_forgotten_with_the_rest():
    shards = Shards("none", clock=lambda: 100.0)
    put = items("a")
    shards.put(put)
    shards.take()
    shards.postpone(put[0], 0)
    shards.release_due()
    assert shards.drop(timeout=60)
    assert available(shards) == []
    again = items("b")
    shards.put(again)
    assert available(shards) == again


def test_nothing_begins_while_it_is_held():
    now = [100.0]
    shards = Shards("none", clock=lambda: now[0])
    woken = []
    shards.when_ready(lambda: woken.append(True))
    put = items("a", "b", "c")
    shards.put(put)
    shards.hold(5)
    assert shards.take() is put[0]
    now[0] += 5
    shards.hold(5)  # again, which is no later
    assert shards.take(wait=False) is None
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(shards.take)
        woken.clear()
        shards.go_on()
        assert {waits.result(60), shards.take()} == set(put[1:])
    assert woken


def test_it_may_go_on_while_somebody_looks_whether_it_is_held():
    looks = []

    def clock():
        looks.append(True)
        if len(looks) == 2:  # the first is that of `hold`, and this that of `take`
            shards.go_on()
        return 100.0

    shards = Shards("none", clock=clock)
    put = items("a")
    shards.put(put)
    shards.hold(5)
    assert shards.take() is put[0]
    assert len(looks) >= 2


def test_whoever_finds_it_held_at_the_moment_when_it_goes_on_is_told():
    now = [100.0]
    found, told = [], []

    def clock():
        moment = now[0]
        if moment == 104.9:  # it is looked at just before its time; in the same moment that has come
            now[0] = 105.0
            found.append(shards.take(wait=False))
        return moment

    shards = Shards("none", clock=clock)
    shards.when_ready(lambda: told.append(True))
    shards.put(items("a"))
    shards.hold(5)
    told.clear()
    now[0] = 104.9
    shards.go_on()
    assert found
    assert found[0] is not None or told


def test_what_is_held_begins_in_the_order_in_which_it_came():
    shards = Shards("none")
    shards.hold(0)
    put = items("a", "b", "c")
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(shards.take)
        shards.put(put)
        wait_until(lambda: shards._ready.qsize() == 2, timeout=60, what="the first was to be in hand")
        shards.go_on()
        assert [waits.result(60), *available(shards)] == put


def test_who_may_not_wait_looks_once_whether_it_is_held():
    times = iter([100.0, 104.0, 105.0, 106.0])  # of `hold`, twice of `take`, and of `go_on`
    shards = Shards("none", clock=lambda: next(times))
    put = items("a", "b")
    shards.put(put)
    shards.hold(5)
    assert shards.take(wait=False) is put[0]
    assert shards.take(wait=False) is None
    shards.go_on()
    assert shards.take(wait=False) is put[1]


def test_whoever_waits_while_it_is_held_ends_with_it():
    shards = Shards("none")
    shards.put(items("a"))
    shards.hold(0)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(shards.take)
        shards.drop(timeout=60)
        shards.close()
        assert waits.result(60) is None


def test_drop_waits_for_what_runs_and_forgets_the_rest():
    shards = Shards("none")
    first, *_ = put = items("a", "b")
    shards.put(put)
    assert shards.take() is first
    dropped = threading.Event()
    thread = threading.Thread(target=lambda: (shards.drop(timeout=10), dropped.set()))
    thread.start()
    assert not dropped.wait(0.05)
    shards.done(first)
    assert dropped.wait(60)
    thread.join()
    assert available(shards) == []


def test_what_outlasts_a_drop_is_ignored_when_it_ends():
    shards = Shards("key")
    (late,) = items("a")
    shards.put([late])
    assert shards.take() is late
    assert shards.drop(timeout=0) is False
    (again,) = items("a")
    shards.put([again])
    shards.done(late)
    shards.postpone(late, 0)
    assert available(shards) == [again]
    shards.done(again)
    assert shards.drop(timeout=0) is True


def test_after_close_nobody_waits():
    shards = Shards("none")
    ended = [threading.Event() for _ in range(3)]
    threads = [threading.Thread(target=lambda event=event: (shards.take(), event.set())) for event in ended]
    for thread in threads:
        thread.start()
    shards.close()
    assert all(event.wait(60) for event in ended)
    for thread in threads:
        thread.join()


def test_many_threads_keep_the_order_of_each_key():
    shards = Shards("key")
    seen: dict[bytes, list[int]] = {}
    running: set[bytes] = set()
    wrong = []

    def work():
        while (item := shards.take()) is not None:
            key = item.record.key
            if key in running:
                wrong.append(key)
            running.add(key)
            seen.setdefault(key, []).append(item.record.offset)
            running.discard(key)
            shards.done(item)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    shards.put(items(*(f"k{n % 17}" for n in range(2000))))

    def is_over():
        return bool(wrong) or sum(map(len, list(seen.values()))) == 2000

    wait_until(is_over, timeout=60, what="all items were to be through")
    assert not wrong
    shards.close()
    for thread in threads:
        thread.join()
    assert all(offsets == sorted(offsets) for offsets in seen.values())
