"""One worker, in memory: what it records, what it commits, and what does not stop it."""

import asyncio
import threading
from contextlib import closing

import pytest

from labkit.errors import BrokerUnreachable, InProgress, NotAuthorized, SettingsError
from labkit.lab.condition import wait_for
from labkit.settings import Settings
from labkit.taskqueue.engine.fetcher import PAUSE_AFTER
from labkit.taskqueue.engine.group_dead_letter_writer import GroupDeadLetterWriter
from labkit.taskqueue.engine.handler import Work, check_time, time_left
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.engine.offset_tracker import OffsetTracker
from labkit.taskqueue.engine.partition_state import UNCLEAN_STARTS
from labkit.taskqueue.engine.worker_config import Retry, WorkerConfig
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import Task, stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, ProducerConfig, TopicPartition
from labkit.taskqueue.transport.memory import MemoryAdmin, MemoryConsumer, MemoryTransactions, MemoryTransport
from labkit.taskqueue.worker_group.group_metrics import GroupMetrics
from labkit.taskqueue.worker_group.worker import POLL_TIMEOUT, Worker
from tests.conditions import PATIENCE
from tests.unit.clock import Clock

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


AT_ONCE = Retry(first=0)
CONFIG = WorkerConfig(retry=Retry(attempts=1))


def make(topics: Topics, handler=lambda task: None, name="worker-1", **how):
    records = []
    config = WorkerConfig(**({"retry": AT_ONCE} | how))
    worker = Worker(topics.get("t"), name=name, group="g", work=Work(handler), config=config, on_record=records.append)
    return worker, records


def run_until_empty(topics: Topics, worker: Worker) -> None:
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: not sum(p.lag for p in topics.lag("t", group="g")), timeout=60, what="the queue was to empty")
    worker.stop()
    thread.join(60)
    assert not thread.is_alive()


def send(topics: Topics, tasks: list[Task]) -> None:
    with Producer(topics.get("t"), settings=SETTINGS) as producer:
        producer.send_many(tasks)


def test_every_task_leaves_one_record_with_its_times_in_order(topics):
    topics.create("t", partitions=2)
    tasks = stock_tasks(50, seed=1, keys=5)
    send(topics, tasks)
    worker, records = make(topics)
    run_until_empty(topics, worker)
    assert {r.task_id for r in records} == {task.id for task in tasks}
    assert len(records) == 50
    for r in records:
        assert r.received_at <= r.started_at <= r.finished_at
        assert (r.outcome, r.error, r.worker, r.topic, r.kind) == ("done", None, "worker-1", "t", "process_file")


def test_within_a_partition_tasks_are_worked_on_in_order(topics):
    topics.create("t", partitions=2)
    send(topics, stock_tasks(50, seed=1))
    worker, records = make(topics)
    run_until_empty(topics, worker)
    for partition in (0, 1):
        offsets = [r.offset for r in records if r.partition == partition]
        assert offsets == sorted(offsets)


def test_a_handler_that_raises_does_not_stop_the_worker(topics):
    topics.create("t", partitions=1)
    tasks = stock_tasks(3, seed=1)
    send(topics, tasks)

    def handler(task):
        if task.id == tasks[1].id:
            raise ValueError("no such file")

    worker, records = make(topics, handler)
    run_until_empty(topics, worker)
    assert [r.outcome for r in records] == ["done", "failed", "failed", "dead", "done"]
    assert [r.attempt for r in records] == [1, 1, 2, 3, 1]
    first, *further = [r.error for r in records[1:4]]
    assert further == ["ValueError: no such file"] * 2
    assert first.startswith("ValueError: no such file\n")
    assert 'raise ValueError("no such file")' in first, "the first failure of a kind is shown with the handler's line"
    assert topics.end_offsets("t.dead") == {0: 1}


def test_a_task_that_succeeds_in_the_end_is_no_dead_letter(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(2, seed=1))
    tries = []

    def handler(task):
        tries.append(task.id)
        if len(tries) < 3:
            raise ConnectionError("not yet")

    worker, records = make(topics, handler)
    run_until_empty(topics, worker)
    assert [r.outcome for r in records] == ["failed", "failed", "done", "done"]
    assert "t.dead" not in topics.names()


def test_a_bad_record_does_not_stop_the_worker(topics):
    topics.create("t", partitions=1)
    client = topics.transport.producer(ProducerConfig())
    client.send(
        "t", partition=0, key=None, value=b"\x00", headers=(), timestamp_ms=5, on_delivery=lambda delivery, error: None
    )
    client.close(5)
    send(topics, stock_tasks(1, seed=1))
    worker, records = make(topics)
    run_until_empty(topics, worker)
    assert [r.outcome for r in records] == ["bad", "done"]
    assert "t, partition 0, offset 0 is not a task" in records[0].error
    assert topics.end_offsets("t.dead") == {0: 1}


def test_a_stop_finishes_the_task_in_hand_and_commits_only_what_is_done(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(10, seed=1))
    begun, may_end = threading.Event(), threading.Event()

    def handler(task):
        begun.set()
        assert may_end.wait(60)

    worker, records = make(topics, handler)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert begun.wait(60)
    worker.stop()
    may_end.set()
    thread.join(60)
    (lag,) = topics.lag("t", group="g")
    assert (len(records), lag.committed) == (1, 1)
    assert topics.members("g") == {}


def test_nothing_is_committed_before_it_is_done(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(5, seed=1))
    seen = []

    def handler(task):
        (lag,) = topics.lag("t", group="g")
        seen.append(lag.committed)

    worker, records = make(topics, handler)
    run_until_empty(topics, worker)
    assert all(committed <= done for done, committed in enumerate(seen))
    assert len(records) == 5


def test_status_tells_partitions_and_counts(topics):
    topics.create("t", partitions=2)
    worker, _ = make(topics)
    assert worker.status().running is False
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: worker.status().partitions == (0, 1), timeout=60, what="the worker was to get its partitions")
    send(topics, stock_tasks(4, seed=1))
    wait_until(lambda: worker.status().done == 4, timeout=60, what="the tasks were to be done")
    worker.stop()
    thread.join(60)
    assert worker.status().partitions == ()


def run_in_thread(worker: Worker) -> threading.Thread:
    thread = threading.Thread(target=worker.run)
    thread.start()
    return thread


@pytest.mark.parametrize(("order", "at_once"), [("partition", 2), ("key", 4), ("none", 6)])
def test_how_many_run_at_once_depends_on_the_order(topics, order, at_once):
    topics.create("t", partitions=2)
    send(topics, [task.evolve(key=f"key-{n % 4}") for n, task in enumerate(stock_tasks(24, seed=1))])
    running, most, lock, full = set(), [0], threading.Lock(), threading.Event()

    def handler(task):
        with lock:
            running.add(task.id)
            most[0] = max(most[0], len(running))
            if len(running) == at_once:
                full.set()
        assert full.wait(60)
        with lock:
            running.discard(task.id)

    worker, records = make(topics, handler, order=order, concurrency=6)
    run_until_empty(topics, worker)
    assert most[0] == at_once
    assert len(records) == 24


@pytest.mark.parametrize("order", ["partition", "key"])
def test_the_order_is_kept_also_when_tasks_are_tried_again(topics, order):
    topics.create("t", partitions=2)
    send(topics, stock_tasks(60, seed=1, keys=7))
    failed = set()

    def handler(task):
        if task.id[0] in "0123" and task.id not in failed:
            failed.add(task.id)
            raise ValueError("once")

    worker, records = make(topics, handler, order=order, concurrency=8)
    run_until_empty(topics, worker)
    shards = {}
    for r in records:
        if r.outcome == "done":
            shards.setdefault(r.partition if order == "partition" else r.key, []).append(r.offset)
    assert sum(map(len, shards.values())) == 60
    assert all(offsets == sorted(offsets) for offsets in shards.values())


def test_a_task_that_waits_for_its_retry_does_not_hold_up_other_keys(topics):
    topics.create("t", partitions=1)
    tasks = [task.evolve(key=key) for task, key in zip(stock_tasks(3, seed=1), ("slow", "slow", "quick"), strict=True)]
    send(topics, tasks)
    quick_done, order = threading.Event(), []

    def handler(task):
        order.append(task.key)
        if task.key == "quick":
            quick_done.set()
        elif not quick_done.is_set():
            raise ValueError("the quick one is to go first")

    worker, records = make(topics, handler, order="key", retry=Retry(first=0.2, attempts=50))
    run_until_empty(topics, worker)
    assert order[:2] == ["slow", "quick"]
    assert [r.key for r in records if r.outcome == "done"] == ["quick", "slow", "slow"]


def test_coroutines_run_side_by_side(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(10, seed=1))
    running, all_there = [], None

    async def handler(task):
        nonlocal all_there
        all_there = all_there or asyncio.Event()
        running.append(task.id)
        if len(running) == 10:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 60)

    worker, records = make(topics, handler, order="none", executor="asyncio", concurrency=10)
    run_until_empty(topics, worker)
    assert [r.outcome for r in records] == ["done"] * 10


def test_a_coroutine_that_takes_too_long_is_cancelled(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(1, seed=1))
    cancelled = []

    async def handler(task):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(task.id)
            raise

    worker, records = make(topics, handler, executor="asyncio", timeout=0.02, retry=Retry(attempts=2, first=0))
    run_until_empty(topics, worker)
    assert [r.outcome for r in records] == ["failed", "dead"]
    assert records[0].error == "TaskTimedOut: It took longer than 0.02 s and was cancelled."
    assert len(cancelled) == 2


def test_a_handler_in_a_thread_may_ask_for_its_time(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(1, seed=1))

    def handler(task):
        assert time_left() <= 0.02
        while True:
            check_time()

    worker, records = make(topics, handler, timeout=0.02, retry=Retry(attempts=1))
    run_until_empty(topics, worker)
    assert [(r.outcome, r.error.split(":")[0]) for r in records] == [("dead", "TaskTimedOut")]
    assert time_left() is None


def test_a_coroutine_needs_the_executor_for_it(topics):
    topics.create("t", partitions=1)

    async def handler(task):
        pass

    with pytest.raises(SettingsError, match="asyncio"):
        make(topics, handler)
    with pytest.raises(SettingsError, match="asyncio"):
        make(topics, executor="asyncio")


def test_no_more_is_held_than_is_allowed(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(100, seed=1))
    may_go, first = threading.Event(), threading.Event()
    most = []

    def handler(task):
        first.set()
        assert may_go.wait(60)
        most.append(worker._in_flight)

    worker, records = make(topics, handler, max_in_flight=10)
    thread = run_in_thread(worker)
    assert first.wait(60)
    wait_until(lambda: worker._fetcher.paused, timeout=60, what="fetching was to pause")
    held = worker._in_flight
    assert 10 <= held <= 10 + PAUSE_AFTER / POLL_TIMEOUT + 1
    may_go.set()
    wait_until(lambda: len(records) == 100, timeout=60, what="all were to be done")
    worker.stop()
    thread.join(60)
    assert max(most) <= held


def test_what_is_finished_beyond_the_commit_point_is_not_done_again(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(20, seed=1))
    blocked = threading.Event()

    def handler(task):
        if task.payload.startswith("Task 1:"):
            blocked.wait(60)

    # the first worker is lost with its first task in hand and the others done
    lost, lost_records = make(topics, handler, order="none", concurrency=4)
    thread = run_in_thread(lost)
    committed = lambda: topics._client.committed("g", "t")  # noqa: E731
    wait_until(
        lambda: (
            len(lost_records) == 19 and len(list(OffsetMetadata.decode(committed()[0].metadata, 0).offsets())) == 19
        ),
        timeout=60,
        what="all but one were to be committed",
    )
    assert committed()[0].offset == 0
    start = committed()[0]

    done_again = OffsetTracker(start.offset, OffsetMetadata.decode(start.metadata, start.offset).done)
    assert [offset for offset in range(20) if done_again.receive(offset)] == [0]
    blocked.set()
    lost.stop()
    thread.join(60)
    assert topics.lag("t", group="g")[0].lag == 0


def test_what_waited_while_tasks_were_suspected_still_goes_before_what_came_later(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(200, seed=1, keys=1))
    with closing(topics.transport.consumer(ConsumerConfig(group="g"))) as died:
        died.commit({TopicPartition("t", 0): Position(0, OffsetMetadata(starts=UNCLEAN_STARTS).encode(0))})
    worker, records = make(topics, order="key", max_in_flight=20)
    run_until_empty(topics, worker)
    assert [r.offset for r in records] == list(range(200))


def test_a_handler_that_ends_the_thread_has_only_failed(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(2, seed=1))

    def handler(task):
        if task.payload.startswith("Task 1:"):
            raise SystemExit(3)

    worker, records = make(topics, handler, retry=Retry(attempts=1))
    run_until_empty(topics, worker)
    assert [r.outcome for r in records] == ["dead", "done"]


@pytest.mark.parametrize("error", [BrokenPipeError("nobody listens"), SystemExit(), KeyboardInterrupt()])
def test_a_worker_whose_records_nobody_takes_goes_on_and_says_so(topics, caplog, error):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(25, seed=1))

    def on_record(record):
        raise error

    worker = Worker(topics.get("t"), name="w", group="g", work=Work(len), config=CONFIG, on_record=on_record)
    run_until_empty(topics, worker)
    assert topics.end_offsets("t.dead") == {0: 25}, "the handler fails, and each task is a dead letter"
    said = [line.getMessage() for line in caplog.records if line.getMessage().startswith("on_record failed")]
    assert ["for the 1. time" in said[0], "for the 10. time" in said[1], len(said)] == [True, True, 2]


def test_further_failures_of_a_kind_are_counted(topics, caplog):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(25, seed=1))
    worker, _ = make(topics, len, retry=Retry(attempts=1))
    run_until_empty(topics, worker)
    (line,) = [line.getMessage() for line in caplog.records if "in the same way" in line.getMessage()]
    assert line.startswith("worker-1: 24 further attempts failed in the same way: TypeError")


def test_every_state_change_is_a_structured_log_line(topics, caplog):
    caplog.set_level("INFO", logger="labkit.task")
    topics.create("t", partitions=1)
    (task,) = stock_tasks(1, seed=1)
    send(topics, [task])
    tries = []

    def handler(task):
        tries.append(task)
        if len(tries) == 1:
            raise ValueError("no")

    worker, _ = make(topics, handler)
    run_until_empty(topics, worker)
    lines = [record for record in caplog.records if record.name == "labkit.task"]
    assert [line.getMessage() for line in lines] == ["received", "started", "failed", "started", "done"]
    assert {(line.worker, line.topic, line.partition, line.offset) for line in lines} == {("worker-1", "t", 0, 0)}
    assert [line.attempt for line in lines] == [0, 1, 1, 2, 2]
    assert lines[2].error == "ValueError: no"
    assert {line.task for line in lines[1:]} == {task.id}


def test_a_task_that_is_done_elsewhere_waits_and_uses_up_no_attempt(topics, monkeypatch):
    monkeypatch.setattr("labkit.taskqueue.engine.attempts.LOOK_AGAIN", 0.01)
    topics.create("t", partitions=1)
    send(topics, stock_tasks(1, seed=1))
    looks = []

    def handler(task):
        looks.append(task)
        if len(looks) < 5:
            raise InProgress("somebody else is at it")

    worker, records = make(topics, handler, retry=Retry(attempts=1))
    run_until_empty(topics, worker)
    assert [(r.outcome, r.attempt) for r in records] == [("done", 1)]
    assert len(looks) == 5


def test_no_task_begins_while_what_is_done_cannot_be_committed(topics, monkeypatch):
    """Whoever gets the partitions next would do all of it again."""
    monkeypatch.setattr("labkit.taskqueue.worker_group.worker.UNCOMMITTED_AT_MOST", 0.0)
    topics.create("t", partitions=1)
    tasks = stock_tasks(100, seed=1)
    send(topics, tasks)
    begun, tried, begun_at_tries = [], threading.Event(), []

    def handler(task):
        begun.append(task.id)
        assert len(begun) == 1 or tried.wait(60)

    commit = MemoryConsumer.commit

    def commit_when_there(consumer, positions):
        if begun and len(begun_at_tries) < 20:
            begun_at_tries.append(len(begun))
            tried.set()
            raise BrokerUnreachable
        commit(consumer, positions)

    monkeypatch.setattr(MemoryConsumer, "commit", commit_when_there)
    worker, _ = make(topics, handler)
    run_until_empty(topics, worker)
    assert len(begun_at_tries) == 20
    assert max(begun_at_tries) <= 2
    assert begun == [task.id for task in tasks]


def test_a_broker_away_after_three_deaths_makes_no_dead_letter_of_a_task_that_was_never_run(topics, monkeypatch):
    """Each task is announced by a commit then. One that fails may be tried as often as it takes."""
    topics.create("t", partitions=1)
    tasks = stock_tasks(3, seed=1)
    send(topics, tasks)
    with closing(topics.transport.consumer(ConsumerConfig(group="g"))) as died:
        died.commit({TopicPartition("t", 0): Position(0, OffsetMetadata(starts=UNCLEAN_STARTS).encode(0))})
    commit, failures = MemoryConsumer.commit, iter(range(20))

    def commit_when_there(consumer, positions):
        if next(failures, None) is not None:
            raise BrokerUnreachable
        commit(consumer, positions)

    monkeypatch.setattr(MemoryConsumer, "commit", commit_when_there)
    worker, records = make(topics)
    run_until_empty(topics, worker)
    assert next(failures, None) is None
    assert [(r.task_id, r.outcome) for r in records] == [(task.id, "done") for task in tasks]
    assert topics.names() == ["t"]


def test_a_topic_of_dead_letters_that_is_not_there_in_time_is_waited_for(topics, monkeypatch):
    """The brokers may have it later, or have it and not say so."""
    monkeypatch.setattr("labkit.taskqueue.engine.dead_letter_writer.RETRY_INTERVAL", 0.01)
    topics.create("t", partitions=1)
    send(topics, stock_tasks(3, seed=1))
    create, times = MemoryAdmin.create_topic, iter(range(4))

    def slow(admin, name, **how):
        number = next(times, None)
        if number is not None:
            if number == 3:
                create(admin, name, **how)
            raise BrokerUnreachable("it was to have 1 partition")
        return create(admin, name, **how)

    monkeypatch.setattr(MemoryAdmin, "create_topic", slow)
    worker, records = make(topics, len, retry=Retry(attempts=1))
    run_until_empty(topics, worker)
    assert next(times, None) is None
    assert [record.outcome for record in records] == ["dead"] * 3
    assert topics.end_offsets("t.dead") == {0: 3}


@pytest.mark.parametrize("executor", ["threads", "asyncio"])
def test_no_task_begins_once_an_error_has_ended_the_worker(topics, monkeypatch, executor):
    """What it would do then nobody could commit; and its clients may take long to close."""
    topics.create("t", partitions=1)
    send(topics, stock_tasks(50, seed=1))
    begun, in_hand, left = [], threading.Event(), threading.Event()
    poll, close = MemoryConsumer.poll, GroupDeadLetterWriter.close

    def refused_poll(consumer, *how):
        if in_hand.is_set():
            raise NotAuthorized("not any more")
        return poll(consumer, *how)

    def slow_close(letters):
        left.set()
        assert not wait_for(lambda: len(begun) > 1, 0.5)
        close(letters)

    def handler(task):
        begun.append(task.id)
        in_hand.set()
        assert left.wait(60)

    async def in_loop(task):
        await asyncio.to_thread(handler, task)

    monkeypatch.setattr(MemoryConsumer, "poll", refused_poll)
    monkeypatch.setattr(GroupDeadLetterWriter, "close", slow_close)
    how = {"executor": executor, "order": "none", "concurrency": 1}
    worker, _ = make(topics, in_loop if executor == "asyncio" else handler, **how)
    with pytest.raises(NotAuthorized):
        worker.run()
    assert len(begun) == 1


@pytest.mark.parametrize("call", ["letter", "announcement", "commit"])
def test_no_task_begins_while_the_broker_is_waited_for(topics, monkeypatch, call):
    """Whatever it was asked: nothing that is done meanwhile can be committed."""
    monkeypatch.setattr("labkit.taskqueue.worker_group.worker.UNCOMMITTED_AT_MOST", 0.0)
    topics.create("t", partitions=2)
    first, *others = [task.evolve(key="one") for task in stock_tasks(50, seed=1)]
    by_hand = lambda number: Producer(topics.get("t"), settings=SETTINGS, partitioner=lambda *_: number)  # noqa: E731
    with by_hand(0) as producer:
        producer.send_many([first, *others])
    begun, asked, more = [], threading.Event(), []
    write, commit = MemoryTransactions.write, MemoryConsumer.commit

    def wait_for_the_broker():
        if not asked.is_set():
            before = len(begun)
            asked.set()
            # one may have been taken just before
            more.append(wait_for(lambda: len(begun) > before + 1, 0.5))

    def slow_write(client, *how):
        wait_for_the_broker()
        return write(client, *how)

    def slow_commit(consumer, positions):
        is_announcement = any(place.partition == 1 for place in positions)
        if begun and call == ("announcement" if is_announcement else "commit"):
            wait_for_the_broker()
        commit(consumer, positions)

    def handler(task):
        begun.append(task.id)
        if len(begun) == 2:
            with by_hand(1) as producer:
                producer.send(others[0])
            assert asked.wait(60)
        if task.id == first.id and call == "letter":
            raise ValueError("no")

    if call == "letter":
        monkeypatch.setattr(MemoryTransactions, "write", slow_write)
    else:
        monkeypatch.setattr(MemoryConsumer, "commit", slow_commit)
    worker, records = make(topics, handler, retry=Retry(attempts=1))
    run_until_empty(topics, worker)
    assert more == [False]
    assert len(records) == 51


def test_how_long_tasks_have_been_running_is_told_by_a_clock_that_is_never_set(topics):
    topics.create("t", partitions=1)
    first, second = stock_tasks(2, seed=1)
    send(topics, [first, second])
    wall, measure, may_end = Clock(50_000.0), Clock(7.0), threading.Event()
    config = WorkerConfig(retry=AT_ONCE, order="none", concurrency=2)
    begun = []

    def handler(task):
        if not begun:  # the second is begun an hour earlier, by the clock
            wall.now -= 3600
            measure.now += 1
        begun.append(task.id)
        assert may_end.wait(PATIENCE)

    records = []
    metrics = GroupMetrics("t", "g", lag=list, workers=lambda: 1)
    worker = Worker(
        topics.get("t"),
        name="w",
        group="g",
        work=Work(handler),
        config=config,
        on_record=lambda record: (records.append(record), metrics.observe(record)),
        clock=wall,
        measure=measure,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_until(lambda: len(begun) == 2, timeout=PATIENCE, what="both were to begin")
        measure.now += 10
        found = worker.running()
        assert [(one.task_id, one.seconds) for one in found] in (
            [(begun[0], 11.0), (begun[1], 10.0)],
            [(begun[1], 11.0), (begun[0], 11.0)],  # it was begun before the handler of the first was
        )
    finally:
        may_end.set()
    wait_until(lambda: len(records) == 2, timeout=PATIENCE, what="both were to end")
    worker.stop()
    thread.join(PATIENCE)
    assert all(10 <= record.finished_at - record.started_at < 12 for record in records)
    assert 20 <= metrics.registry.get_sample_value("labkit_service_seconds_sum", {"topic": "t", "group": "g"}) < 24
