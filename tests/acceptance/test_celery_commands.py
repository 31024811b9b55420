"""`labkit celery worker`, `beat` and `status`, as a user types them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time

import psutil
import pytest

from labkit.celery_app.application import key_prefix, level_key, make_app
from labkit.celery_app.capacity import Capacity, connect
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.periodic_tasks import HEARTBEAT_TOPIC, lag_series
from labkit.dispatch.celery_sender import CelerySender
from labkit.lab import Lab
from labkit.settings import Settings
from labkit.taskqueue import Topics, WorkerGroup, new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import connect_transport
from tests.acceptance.commands import further, outcome

#: How long a command may take for what it was asked, in seconds.
TIMEOUT = 180.0
#: What a Beat says that a busy machine has kept from its turn, before it takes the schedule again.
LATE = "labkit: This Beat was silent for more than 5 s, so it has lost the schedule."


@pytest.fixture
def settings(lab, unique_name):
    return Settings(bootstrap_servers=lab.bootstrap_servers, redis_url=lab.redis_url, topic_prefix=f"{unique_name}.")


@pytest.fixture
def environment(environment, settings):
    """Names of their own on the session's servers."""
    return environment | {"LABKIT_TOPIC_PREFIX": settings.topic_prefix}


@pytest.fixture
def send(settings):
    """Put tasks into Celery's queue, as a dispatcher does."""
    sender = CelerySender(make_app(settings.redis_url, settings))

    def send(*tasks, rank=0):
        now = time.time()
        sender.send(
            [
                Envelope(task=task, topic="jobs", partition=0, offset=0, rank=rank, produced_at=now, sent_at=now)
                for task in tasks
            ]
        )

    yield send
    sender.close()


@pytest.fixture
def room(settings):
    return Capacity(connect(settings.redis_url), settings)


@pytest.fixture
def topics(lab, settings):
    with Topics(connect_transport(lab.connection, settings.transport), prefix=settings.topic_prefix) as topics:
        yield topics


def ended(process: subprocess.Popen[str], *, by: signal.Signals | None = None, status: int = 0) -> tuple[str, str]:
    if by is not None:
        process.send_signal(by)
    return outcome(process, status)


def is_empty(room):
    count = room.count()
    return not sum(count.waiting) and not count.unacknowledged


def ready(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    line = process.stdout.readline()
    expected = r"celery-\w+ is ready: \d at once \(\w+\)\. Ctrl-C ends it\.\n"
    assert re.fullmatch(expected, line), line or process.communicate(timeout=TIMEOUT)
    return process


def wait_for(condition, what):
    wait_until(condition, timeout=TIMEOUT, what=what)


def test_a_pool_that_was_grown_is_counted_with_all_its_processes(type_in, send, room, settings):
    """By Celery's own command, `pool_grow`."""
    worker = ready(type_in("celery", "worker", "--concurrency", "1"))
    with make_app(settings.redis_url, settings) as app:
        replies = app.control.pool_grow(2, reply=True, limit=1, timeout=TIMEOUT)
    assert [list(reply.values()) for reply in replies] == [[{"ok": "pool will grow"}]]
    wait_for(lambda: room.count().concurrency == 3, "dispatchers were to know of it")
    send(*(new_task("sleep", 0.5) for _ in range(9)))
    wait_for(lambda: is_empty(room), "the tasks were to be settled")
    out, err = ended(worker, by=signal.SIGINT)
    assert err == ""
    assert "has ended: 9 tasks done, 0 attempts failed, 0 tasks given up, 0 recognised as done before" in out


@pytest.mark.parametrize("pool", ["prefork", further("threads"), further("solo")])
def test_a_worker_performs_tasks_and_ctrl_c_ends_it_with_a_summary(type_in, send, room, topics, pool):
    topics.create("jobs", partitions=1)
    worker = ready(type_in("celery", "worker", "--pool", pool))
    send(new_task("message", "hello"), bad := new_task("sleep", "long"), twice := new_task("sleep", 0.01), twice)
    wait_for(lambda: is_empty(room), "the tasks were to be settled")
    out, err = ended(worker, by=signal.SIGINT)
    # nothing else, also where root is the user: no word of Celery's about that
    # but for the handler's own line, if the process of the pool that tried last had not failed so before
    line = r"(  File .*\n    .*\n)?"
    assert re.fullmatch(rf"labkit: task {bad.id} is given up after attempt 3: ValueError: .*\n{line}", err)
    first, *lines = out.splitlines()
    assert (first, lines[:-1]) == ("hello", [])
    assert re.fullmatch(
        r"celery-\w+ has ended: 2 tasks done, 2 attempts failed, 1 tasks given up, 1 recognised as done before, "
        r"0 periodic tasks\. They are dead letters: `labkit dead list --topic TOPIC` lists those of a topic\.",
        lines[-1],
    )


def test_sigterm_lets_the_task_that_runs_finish(type_in, send, room):
    worker = ready(type_in("celery", "worker"))
    send(new_task("sleep", 1.0))
    wait_for(lambda: room.count().unacknowledged == 1, "the task was to be taken")
    out, _ = ended(worker, by=signal.SIGTERM)
    assert "1 tasks done" in out
    count = room.count()
    assert (sum(count.waiting), count.unacknowledged, count.concurrency) == (0, 0, 0)


@pytest.mark.parametrize("pool", ["prefork", further("threads"), further("solo")])
def test_a_second_ctrl_c_gives_the_task_that_runs_back_to_the_front_of_the_queue(type_in, send, room, settings, pool):
    worker = ready(type_in("celery", "worker", "--pool", pool))
    send(runs := new_task("sleep", 600))
    wait_for(lambda: room.count().unacknowledged == 1, "the task was to be taken")
    worker.send_signal(signal.SIGINT)
    said = worker.stdout.readline()
    assert re.fullmatch(r"celery-\w+ ends when what it has taken is done \(1\); Ctrl-C again gives it back .*\n", said)
    send(new_task("sleep", 0.01))
    worker.send_signal(signal.SIGINT)
    out, _ = outcome(worker, 130)
    assert out.endswith("gave back to the queue what it had not done.\n")
    wait_for(lambda: room.count().unacknowledged == 0, "nothing was to be taken any more")
    assert sum(room.count().waiting) in (1, 2)
    next_one = connect(settings.redis_url).lindex(level_key(key_prefix(settings), 0), -1)
    assert json.loads(next_one)["headers"]["id"] == runs.id


def test_no_process_outlives_a_worker_that_is_killed(type_in, send, room):
    worker = ready(type_in("celery", "worker", "--concurrency", "3"))
    send(new_task("sleep", 600))
    wait_for(lambda: room.count().unacknowledged == 1, "the task was to be taken")
    children = psutil.Process(worker.pid).children(recursive=True)
    assert len(children) == 3
    worker.kill()
    wait_for(lambda: not any(child.is_running() for child in children), "the processes were to end")


def test_status_shows_workers_levels_and_capacity(type_in, send, room):
    send(new_task("sleep", 600), rank=0)
    send(new_task("sleep", 600), new_task("sleep", 600), rank=3)
    out, _ = ended(type_in("celery", "status", LABKIT_CELERY_LIMIT="5"))
    assert "No worker is running; `labkit celery worker` starts one." in out
    assert re.search(r"0 \(most urgent\) +1\n3 +2\n", out)
    assert "taken     3 of 0 (5 per task at once)" in out
    ready(type_in("celery", "worker", "--pool", "threads", "--concurrency", "1", "--name", "celery-mine"))
    wait_for(lambda: room.count().unacknowledged == 1, "a task was to be taken")
    out, _ = ended(type_in("celery", "status"))
    assert re.search(r"worker +tasks at once\ncelery-mine +1\n", out)
    assert "taken     3 of 2 (2 per task at once)" in out
    out, _ = ended(type_in("celery", "status", "--json"))
    found = json.loads(out)
    assert found.pop("broker").startswith("unix://")
    assert found == {
        "workers": {"celery-mine": 1},
        "waiting": [0, 0, 0, 2, 0, 0, 0, 0, 0, 0],
        "unacknowledged": 1,
        "reserved": 0,
        "taken": 3,
        "capacity": 2,
        "limit": 2,
    }


@pytest.mark.long
def test_worker_and_beat_wait_for_a_redis_that_went_away_and_say_so_once(type_in):
    with Lab() as own:
        settings = Settings(bootstrap_servers=own.bootstrap_servers, redis_url=own.redis_url)
        address = {"LABKIT_REDIS_URL": own.redis_url, "LABKIT_TOPIC_PREFIX": ""}
        worker = ready(type_in("celery", "worker", **address))
        beat = type_in("celery", "beat", LABKIT_BEAT_HEARTBEAT="1", LABKIT_BEAT_LAG="off", **address)
        assert beat.stdout.readline().startswith("This Beat has the schedule: labkit.heartbeat every 1 s.")
        own.kill_redis()
        assert "waits for Redis" in worker.stderr.readline()
        assert "Beat waits for Redis" in beat.stderr.readline()
        own.restart_redis()
        assert "goes on: Redis answers again" in worker.stderr.readline()
        assert beat.stdout.readline().startswith("This Beat has the schedule")
        room = Capacity(connect(own.redis_url), settings)
        wait_for(lambda: room.count().concurrency == 2, "the worker was to be back")
        out, err = ended(worker, by=signal.SIGINT)
        assert err == ""
        assert "has ended" in out
        out, err = ended(beat, by=signal.SIGINT)
        assert err == "labkit: Beat goes on: Redis answers again\n"
        assert "Beat has ended" in out


def heartbeats(topics):
    if HEARTBEAT_TOPIC not in topics.names():
        return 0
    return sum(topics.end_offsets(HEARTBEAT_TOPIC).values())


@pytest.mark.long
def test_beat_has_heartbeats_sent_and_the_lag_sampled(type_in, topics, settings):
    worker = ready(type_in("celery", "worker", "--pool", "threads"))
    beat = type_in("celery", "beat", LABKIT_BEAT_HEARTBEAT="1", LABKIT_BEAT_LAG="1")
    expected = "This Beat has the schedule: labkit.heartbeat every 1 s, labkit.lag every 1 s.\n"
    assert beat.stdout.readline() == expected
    wait_for(lambda: heartbeats(topics) >= 2 and len(lag_series(settings=settings)) >= 2, "Beat was to send both")
    out, err = ended(beat, by=signal.SIGINT)
    *again, last = out.splitlines(keepends=True)
    sent = int(re.fullmatch(r"Beat has ended: (\d+) periodic tasks sent\.\n", last).group(1))
    assert set(again) <= {expected}
    assert set(err.splitlines()) <= {LATE}
    out, err = ended(worker, by=signal.SIGINT)
    done = int(re.search(r"(\d+) periodic tasks\.$", out).group(1))
    assert 4 <= done <= sent
    assert err == ""


@pytest.mark.long
def test_of_two_beats_one_sends_and_the_other_takes_over(type_in, topics):
    """The first is frozen for longer than its lock lasts, then the second is killed."""
    ready(type_in("celery", "worker", "--pool", "threads"))
    schedule = {"LABKIT_BEAT_HEARTBEAT": "1", "LABKIT_BEAT_LAG": "off"}
    begin = time.monotonic()
    first = type_in("celery", "beat", **schedule)
    assert "This Beat has the schedule" in first.stdout.readline()
    second = type_in("celery", "beat", **schedule)
    assert "Another Beat has the schedule; this one waits" in second.stdout.readline()
    wait_for(lambda: heartbeats(topics) >= 3, "the first was to send")

    first.send_signal(signal.SIGSTOP)
    assert "This Beat has the schedule" in second.stdout.readline()
    first.send_signal(signal.SIGCONT)
    assert "was silent for more than 5 s, so it has lost the schedule" in first.stderr.readline()
    assert "Another Beat has the schedule; this one waits" in first.stdout.readline()

    second.kill()
    assert "This Beat has the schedule" in first.stdout.readline()
    before = heartbeats(topics)
    wait_for(lambda: heartbeats(topics) >= before + 2, "the first was to send again")
    ended(first, by=signal.SIGTERM)

    with WorkerGroup(topics.get(HEARTBEAT_TOPIC), group="readers") as group:
        found = group.drain(timeout=120)
    assert found["task_id"].is_unique
    # of what is due every second there is never more than seconds have passed
    assert len(found) <= time.monotonic() - begin


@pytest.mark.parametrize(
    ("command", "broker", "reason"),
    [
        ("worker", "amqp://user:secret@host", "has the scheme 'amqp'"),
        further("beat", "kafka://host", "has the scheme 'kafka'"),
        ("worker", "redis://:secret@127.0.0.1:1/0", "redis://:**@127.0.0.1:1/0 does not answer: "),
        further("beat", "redis://:secret@127.0.0.1:1/0", "redis://:**@127.0.0.1:1/0 does not answer: "),
        further("status", "redis://:secret@127.0.0.1:1/0", "redis://:**@127.0.0.1:1/0 does not answer: "),
        further("status", "redis://127.0.0.1:1/0?size=3", "does not fit"),
    ],
)
def test_a_broker_that_will_not_do_gets_one_paragraph(type_in, command, broker, reason):
    _, err = ended(type_in("celery", command, LABKIT_CELERY_BROKER_URL=broker), status=1)
    assert err.startswith("labkit: ")
    assert reason in err
    assert "secret" not in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "more", "reason"),
    [
        (("worker", "--pool", "gevent"), {}, "choose one of prefork, threads, solo"),
        further(("worker", "--pool", "solo", "--concurrency", "2"), {}, "one task at a time"),
        further(("worker",), {"LABKIT_CELERY_IMPORTS": "no.such.module"}, "'no.such.module'"),
        further(("beat",), {"LABKIT_BEAT_LAG": "61 * * * *"}, "LABKIT_BEAT_LAG is '61 * * * *', which is no schedule"),
        further(("beat",), {"LABKIT_BEAT_LAG": "off", "LABKIT_BEAT_HEARTBEAT": "off"}, "nothing to send"),
    ],
)
def test_mistakes_get_one_paragraph_and_status_1(type_in, words, more, reason):
    _, err = ended(type_in("celery", *words, **more), status=1)
    assert err.startswith("labkit: ")
    assert reason in err
    assert len(err.splitlines()) == 1
