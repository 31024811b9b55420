"""A worker group, in memory: sharing, joining, leaving, draining."""

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from labkit.errors import (
    BrokerUnreachable,
    DeadlineExceeded,
    HandlerNotFound,
    UnknownTopic,
    Unsupported,
    WorkerFailed,
)
from labkit.measure.records import read_records
from labkit.settings import Settings
from labkit.taskqueue.engine.handler import describe_handler, find_handler
from labkit.taskqueue.groups.group_state import ConsumerGroupState
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.service_time import constant
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.worker_group import members, worker
from labkit.taskqueue.worker_group.group import WorkerGroup
from labkit.taskqueue.worker_group.group_output import Output
from labkit.taskqueue.worker_group.membership import Membership

SETTINGS = Settings(_env_file=None)
#: Conditions usually come within a second; the computer may be busy.
LONG = 60


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def send(topic, count):
    with Producer(topic, settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(count, seed=1))


@pytest.mark.parametrize(
    ("workers", "shares"), [(1, [(0, 1)]), (2, [(0,), (1,)]), (3, [(0,), (1,), ()]), (4, [(0,), (1,), (), ()])]
)
def test_two_partitions_are_shared_round_robin(topics, workers, shares):
    topic = topics.create("t", partitions=2)
    with WorkerGroup(topic, workers=workers, settings=SETTINGS) as group:
        assert list(group.assignment().values()) == shares
        assert list(group.assignment()) == [f"worker-{n + 1}" for n in range(workers)]


def test_drain_returns_one_row_per_task(topics):
    topic = topics.create("t", partitions=2)
    with WorkerGroup(topic, workers=2, settings=SETTINGS) as group:
        send(topic, 100)
        records = group.drain(timeout=60)
    assert len(records) == records["task_id"].nunique() == 100
    assert records.groupby("worker").size().to_dict() == {"worker-1": 50, "worker-2": 50}
    assert records["finished_at"].is_monotonic_increasing


def test_drain_gives_up_at_its_deadline(topics):
    topic = topics.create("t", partitions=1)
    release = threading.Event()
    with WorkerGroup(topic, handler=lambda task: release.wait(60), settings=SETTINGS) as group:
        send(topic, 1)
        with pytest.raises(DeadlineExceeded, match="finish all tasks on 't'"):
            group.drain(timeout=0.2)
        release.set()
        assert len(group.drain(timeout=60)) == 1


def test_a_worker_joins_and_another_leaves_while_tasks_flow(topics):
    topic = topics.create("t", partitions=4)
    with WorkerGroup(topic, workers=1, handler=constant(0.001), settings=SETTINGS) as group:
        send(topic, 100)
        assert group.add() == "worker-2"
        assert group.assignment() == {"worker-1": (0, 2), "worker-2": (1, 3)}
        send(topic, 100)
        group.stop_worker("worker-1")
        assert group.assignment() == {"worker-2": (0, 1, 2, 3)}
        records = group.drain(timeout=60)
    assert len(records) == 200  # nothing lost and, with clean stops, nothing twice


def test_members_of_another_object_share_the_group(topics):
    topic = topics.create("t", partitions=2)
    with (
        WorkerGroup(topic, membership=Membership(name="left"), settings=SETTINGS) as left,
        WorkerGroup(topic, membership=Membership(name="right"), settings=SETTINGS) as right,
    ):
        left.wait_until_balanced()
        assert (left.assignment(), right.assignment()) == ({"left-1": (0,)}, {"right-1": (1,)})


@pytest.mark.parametrize("away", [BrokerUnreachable, UnknownTopic])
def test_a_group_is_waited_for_while_kafka_is_away_for_a_look(topics, monkeypatch, away):
    looks = iter([away, away])
    is_balanced = ConsumerGroupState.is_balanced

    def look(state, *mine, **killed):
        error = next(looks, None)
        if error is not None:
            raise error
        return is_balanced(state, *mine, **killed)

    monkeypatch.setattr(ConsumerGroupState, "is_balanced", look)
    with WorkerGroup(topics.create("t", partitions=2), settings=SETTINGS) as group:
        assert group.assignment() == {"worker-1": (0, 1)}
    assert next(looks, None) is None


def test_groups_do_not_share(topics):
    topic = topics.create("t", partitions=2)
    with WorkerGroup(topic, group="a", settings=SETTINGS) as a, WorkerGroup(topic, group="b", settings=SETTINGS) as b:
        send(topic, 10)
        assert len(a.drain(timeout=60)) == len(b.drain(timeout=60)) == 10


def test_records_are_left_where_the_settings_say(topics, tmp_path):
    topic = topics.create("t", partitions=1)
    with WorkerGroup(topic, settings=Settings(_env_file=None, records_dir=tmp_path)) as group:
        send(topic, 3)
        records = group.drain(timeout=60)
    (path,) = tmp_path.glob("t.worker_group.*.parquet")
    assert read_records(path).equals(records)


def test_records_are_on_disk_while_the_group_works(topics, tmp_path):
    topic = topics.create("t", partitions=1)
    target = tmp_path / "mine.parquet"
    with WorkerGroup(topic, output=Output(records=target), settings=SETTINGS) as group:
        send(topic, 50)
        records = group.drain(timeout=LONG)
        assert read_records(tmp_path / "mine.parts").equals(records)
        assert not target.exists()
        assert group.attempts() == 50
    assert read_records(target).equals(records)
    assert group.records().equals(records)
    assert group.outcomes() == ({"done": 50}, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.parquet"]


def test_two_groups_with_one_target_leave_the_records_of_both(topics, tmp_path, caplog):
    target = tmp_path / "mine.parquet"
    target.write_text("of an earlier run")
    groups = [
        WorkerGroup(topics.create(name, partitions=1), output=Output(records=target), settings=SETTINGS)
        for name in ("one", "two")
    ]
    with groups[0], groups[1]:
        for number, group in enumerate(groups, 1):
            send(group.topic, number)
            assert len(group.drain(timeout=LONG)) == number
    assert [len(group.records()) for group in groups] == [1, 2]
    assert {len(read_records(group.target)) for group in groups} == {1, 2}
    assert groups[1].target == target  # which was the first to end
    assert groups[0].target.parent == tmp_path
    assert str(groups[0].target) in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(group.target.name for group in groups)


def test_a_group_is_drained_where_a_killed_run_with_its_target_has_left_records(topics, tmp_path):
    topic = topics.create("t", partitions=1)
    with WorkerGroup(
        topic, group="killed", output=Output(records=tmp_path / "mine.parquet"), settings=SETTINGS
    ) as killed:
        send(topic, 5)
        left = killed.drain(timeout=LONG)
        shutil.copytree(tmp_path / "mine.parts", tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", tmp_path / "mine.parts")
    for journal in (tmp_path / "mine.parts").iterdir():
        with journal.open("ab") as lines:
            lines.write(b'{"task_id": "cut o')
    with WorkerGroup(topic, group="next", output=Output(records=tmp_path / "mine.parquet"), settings=SETTINGS) as group:
        send(topic, 3)
        assert len(group.drain(timeout=LONG)) == 8
    assert len(read_records(tmp_path / "mine.parquet")) == 8
    assert read_records(tmp_path / "mine.parts").equals(left)


def test_records_are_left_there_also_when_a_handler_changes_the_working_directory(topics, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)  # and back at the end
    topic = topics.create("tasks", partitions=1)
    send(topic, 3)
    target = Path("left.parquet")
    with WorkerGroup(
        topic, handler=lambda _: os.chdir(elsewhere), output=Output(records=target), settings=SETTINGS
    ) as group:
        group.drain(timeout=LONG)
    assert Path.cwd() == elsewhere
    assert len(read_records(tmp_path / "left.parquet")) == 3
    assert list(elsewhere.iterdir()) == []


def test_a_group_that_did_nothing_leaves_nothing(topics, tmp_path):
    with WorkerGroup(
        topics.create("t", partitions=1), output=Output(records=tmp_path / "none.parquet"), settings=SETTINGS
    ) as group:
        pass
    assert list(tmp_path.iterdir()) == []
    assert group.records().empty


def test_drain_returns_in_time_and_names_what_has_been_running_where(topics):
    topic = topics.create("t", partitions=2)
    release = threading.Event()
    with WorkerGroup(topic, workers=2, handler=lambda task: release.wait(LONG), settings=SETTINGS) as group:
        send(topic, 3)
        wait_until(lambda: len(running(group)) == 2, timeout=LONG, what="two tasks were to begin")
        with pytest.raises(DeadlineExceeded) as caught:
            group.drain(timeout=0.3)
        release.set()
        group.drain(timeout=LONG)
    assert "3 are left" in str(caught.value)
    for name in ("worker-1", "worker-2"):
        assert f"In {name}, task " in str(caught.value)
    assert "has been running for" in str(caught.value)


def running(group):
    return [task for member in group._members.values() for task in member.running(1)]


def test_drain_returns_in_time_when_kafka_does_not_answer(topics):
    topic = topics.create("t", partitions=1)
    answer = threading.Event()
    with WorkerGroup(topic, settings=SETTINGS) as group:
        send(topic, 1)
        lag, group._standing.lag = group._standing.lag, lambda **_: answer.wait(LONG) and []
        with pytest.raises(DeadlineExceeded, match="How many are left is not known"):
            group.drain(timeout=0.3)
        answer.set()
        group._standing.lag = lag
        assert len(group.drain(timeout=LONG)) == 1


@pytest.mark.parametrize("error", [BrokerUnreachable, UnknownTopic])
def test_a_broker_or_a_topic_that_is_away_for_a_moment_does_not_end_drain(topics, error):
    """As a topic is for a moment while it is made anew."""
    topic = topics.create("t", partitions=1)
    with WorkerGroup(topic, settings=SETTINGS) as group:
        send(topic, 5)
        lag, calls = group._standing.lag, []

        def away(*, look):
            calls.append(1)
            if len(calls) < 3:
                raise error
            return lag(look=look)

        group._standing.lag = away
        assert len(group.drain(timeout=LONG)) == 5


@pytest.mark.slow
def test_stop_ends_in_bounded_time_whatever_a_handler_does_and_says_what_it_has_left(topics, monkeypatch):
    monkeypatch.setattr(worker, "HANDOVER_TIMEOUT", 0.2)
    topic = topics.create("t", partitions=2)
    release = threading.Event()
    group = WorkerGroup(topic, workers=2, handler=lambda task: release.wait(LONG), settings=SETTINGS)
    group.start()
    send(topic, 2)
    wait_until(lambda: len(running(group)) == 2, timeout=LONG, what="two tasks were to begin")
    with pytest.raises(WorkerFailed, match=r"worker-1 has left tasks that would not end.*worker-2 has left"):
        group.stop()
    with WorkerGroup(topic, settings=SETTINGS) as next_one:
        assert len(next_one.drain(timeout=LONG)) == 2, "what was left is done by others"
    release.set()


@pytest.mark.slow
def test_what_came_first_is_the_error_and_what_stop_says_is_a_note(topics, monkeypatch):
    monkeypatch.setattr(worker, "HANDOVER_TIMEOUT", 0.2)
    topic = topics.create("t", partitions=1)
    release = threading.Event()
    with (  # noqa: PT012 - it comes from the end of the block
        pytest.raises(DeadlineExceeded) as caught,
        WorkerGroup(topic, handler=lambda task: release.wait(LONG), settings=SETTINGS) as group,
    ):
        send(topic, 1)
        wait_until(lambda: bool(running(group)), timeout=LONG, what="the task was to begin")
        group.drain(timeout=0.2)
    release.set()
    assert "has left tasks that would not end" in caught.value.__notes__[0]


def test_an_interrupt_does_not_cut_stop_short(topics):
    topic = topics.create("t", partitions=1)
    release = threading.Event()
    group = WorkerGroup(topic, handler=lambda task: release.wait(LONG), settings=SETTINGS).start()
    send(topic, 1)
    wait_until(lambda: bool(running(group)), timeout=LONG, what="the task was to begin")

    def interrupt():
        member = next(iter(members))
        wait_until(member._worker._stop.is_set, timeout=LONG, what="stop was to be under way")
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        release.set()

    members = list(group._members.values())
    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        group.stop()
    helper.join()
    assert not any(member.alive() for member in members)
    assert len(group.records()) == 1


def test_threads_cannot_be_killed(topics):
    topic = topics.create("t", partitions=1)
    with WorkerGroup(topic, settings=SETTINGS) as group, pytest.raises(Unsupported, match="processes=True"):
        group.kill("worker-1")


def test_processes_need_a_broker_outside_this_process(topics):
    topic = topics.create("t", partitions=1)
    with pytest.raises(Unsupported, match="must be threads"):
        WorkerGroup(topic, membership=Membership(processes=True), settings=SETTINGS).start()


def test_an_importable_handler_is_named_and_found():
    assert find_handler(describe_handler(stock_tasks)) is stock_tasks


@pytest.mark.parametrize("handler", [lambda task: None, type("C", (), {"__call__": lambda self, task: None})()])
def test_a_handler_that_cannot_be_imported_is_refused(handler):
    with pytest.raises(HandlerNotFound, match="module of its own"):
        describe_handler(handler)


@pytest.mark.parametrize(
    "name", ["", "json", "no_such_module:f", "json:no_such_function", "json:__name__", ".:f", "..json:loads"]
)
def test_a_name_that_is_no_handler_is_refused(name):
    with pytest.raises(HandlerNotFound):
        find_handler(name)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("1 / 0", r"ZeroDivisionError: division by zero \(\S*labkit_test_broken.py, line 2\)"),
        ("def f(:", r"SyntaxError: invalid syntax \(labkit_test_broken.py, line 2\)"),
        ("import sys; sys.exit('enough')", r"SystemExit: enough \(\S*labkit_test_broken.py, line 2\)"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)
def test_a_module_that_fails_when_it_is_imported_is_told_in_a_line(monkeypatch, tmp_path, code, why):
    (tmp_path / "labkit_test_broken.py").write_text(f"def f(task): ...\n{code}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HandlerNotFound, match=rf"^The handler 'labkit_test_broken:f' could not be imported: {why}\.$"):
        find_handler("labkit_test_broken:f")


def test_a_worker_that_cannot_be_started_is_no_member(topics, monkeypatch):
    topic = topics.create("t", partitions=2)
    with WorkerGroup(topic, settings=SETTINGS) as group:
        with monkeypatch.context() as patched:
            patched.setattr(members.ThreadMember, "start", refuse)
            with pytest.raises(RuntimeError, match="new thread"):
                group.add()
        assert list(group.assignment().values()) == [(0, 1)]
        send(topic, 4)
        assert len(group.drain(timeout=LONG)) == 4


def refuse(_):
    raise RuntimeError("can't start new thread")
