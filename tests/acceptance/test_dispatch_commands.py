"""`labkit bridge`, `labkit dispatch` and `labkit demo`, as a user types them."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess

import pytest
import redis

from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch import CeleryWorker
from labkit.lab import Lab
from labkit.policies import POLICIES
from labkit.settings import load_settings
from labkit.taskqueue import DeadLetters, Producer, Topics, connect, new_task, stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import connect_transport
from tests.acceptance.commands import ended, further, said

SUM = r"It adds up: produced (\d+) = done (\d+) \+ waiting (\d+) .*\+ shed (\d+) \+ dead (\d+)\."


@pytest.fixture
def prefix(unique_name):
    """What the names of this test's topics, groups and keys in Redis begin with."""
    return f"{unique_name[-40:]}."


@pytest.fixture
def settings(prefix):
    return load_settings(topic_prefix=prefix)


@pytest.fixture
def environment(environment, prefix):
    return environment | {"LABKIT_TOPIC_PREFIX": prefix}


@pytest.fixture
def topics(lab, prefix):
    with Topics(connect_transport(lab.connection, "kafka-python"), prefix=prefix) as found:
        yield found


@pytest.fixture
def stream(lab, settings):
    """The records of what Celery's workers do."""
    with redis.Redis.from_url(lab.redis_url) as client:
        yield RecordStream(client, settings)


def wait_for(process: subprocess.Popen[str], condition, what: str) -> None:
    def holds() -> bool:
        assert process.poll() is None, process.communicate()
        return condition()

    wait_until(holds, timeout=120, what=what)


def wait_for_outcomes(process: subprocess.Popen[str], stream: RecordStream, count: int) -> list:
    found = []

    def all_came() -> bool:
        found.extend(stream.read())
        return len(found) >= count

    wait_for(process, all_came, f"{count} tasks were to come to an end")
    return found


@pytest.mark.long
def test_a_bridge_brings_messages_to_celery_until_ctrl_c(type_in, lab, settings, stream):
    said(type_in("produce", "--count", "30", "--rate", "1000"))
    bridge = type_in("bridge")
    with CeleryWorker(lab, pool="threads", settings=settings):
        records = wait_for_outcomes(bridge, stream, 30)
    assert {(record.topic, record.outcome) for record in records} == {("task_queue", "done")}
    out = ended(bridge)
    assert "30 tasks went from task_queue to Celery in " in out
    assert "Left on Kafka: bridge 0." in out


def test_handlers_that_were_forgotten_are_found_before_anything_is_sent(type_in, topics):
    topics.create("pictures", partitions=1)
    with Producer(topics.get("pictures")) as producer:
        producer.send_many(new_task("resize") for _ in range(3))
    out = said(type_in("bridge", "--topic", "pictures"), 1)
    assert "3 of the 3 oldest tasks that wait on pictures are of kinds that nothing handles: 'resize'" in out
    assert "LABKIT_CELERY_IMPORTS" in out
    assert sum(place.lag for place in topics.lag("pictures", group="celery_bridge.bridge")) == 3
    assert DeadLetters(topics, "pictures").list() == []


@pytest.mark.long
def test_a_bridge_waits_for_redis_and_for_kafka_and_says_so_once(type_in):
    with Lab() as own, connect(own) as topics:
        where = {"LABKIT_BOOTSTRAP_SERVERS": own.bootstrap_servers, "LABKIT_REDIS_URL": own.redis_url}
        bridge = type_in("bridge", "--topic", "t", "--group", "g", LABKIT_TOPIC_PREFIX="", **where)
        assert "There is no topic 't'" in said(bridge, status=1)

        topic = topics.create("t", partitions=2)
        bridge = type_in("bridge", "--topic", "t", "--group", "g", LABKIT_TOPIC_PREFIX="", **where)
        wait_for(bridge, lambda: topics.members("g.bridge") != {}, "the bridge was to join")

        def all_sent() -> bool:
            return not sum(partition.lag for partition in topics.lag("t", group="g.bridge"))

        own.kill_redis()
        with Producer(topic) as producer:
            producer.send_many(stock_tasks(10, seed=1))
        assert "waits for Redis, and the tasks wait in Kafka" in bridge.stderr.readline()
        own.restart_redis()
        assert "goes on: Redis answers again" in bridge.stderr.readline()
        wait_for(bridge, all_sent, "all tasks were to go to Celery")

        own.kill_broker()
        assert "Kafka does not answer" in bridge.stderr.readline()
        own.restart_broker()
        assert "Kafka answers again" in bridge.stderr.readline()
        with Producer(topic) as producer:
            producer.send_many(stock_tasks(5, seed=2))
        wait_for(bridge, all_sent, "the other tasks were to go to Celery, too")
        bridge.send_signal(signal.SIGINT)
        out, err = bridge.communicate(timeout=120)
    assert (bridge.returncode, err) == (0, "")
    assert int(re.search(r"(\d+) tasks went from t to Celery", out).group(1)) >= 15


@pytest.mark.long
def test_a_bridge_waits_for_its_topic_when_that_is_deleted(type_in, topics):
    def send(number: int) -> None:
        with Producer(topics.get("task_queue")) as producer:
            producer.send_many(stock_tasks(number, seed=1))
        wait_for(bridge, is_through, "all tasks were to go to Celery")

    def is_through() -> bool:
        return not sum(place.lag for place in topics.lag("task_queue", group="celery_bridge.bridge"))

    topics.create("task_queue", partitions=2)
    bridge = type_in("bridge")
    wait_for(bridge, lambda: topics.members("celery_bridge.bridge") != {}, "the bridge was to join")
    send(4)
    topics.delete("task_queue")
    assert any("the topic 'task_queue' is gone" in line for line in iter(bridge.stderr.readline, ""))
    topics.create("task_queue", partitions=4)
    send(3)
    out = ended(bridge)
    assert "7 tasks went from task_queue to Celery in " in out
    assert "Left on Kafka: bridge 0." in out


def test_a_dispatcher_shares_out_by_weight_until_ctrl_c(type_in, lab, settings, topics, stream):
    for name, seed in {"high": 1, "low": 2}.items():
        with Producer(topics.create(f"jobs.{name}", partitions=2)) as producer:
            producer.send_many([task.evolve(kind="sleep", payload=0) for task in stock_tasks(40, seed=seed)])
    dispatcher = type_in("dispatch", "--policy", "weighted", "--weights", "4,1", "--limit", "1")

    def has_both() -> bool:
        held = [topics.members(f"dispatcher.{name}").values() for name in ("high", "low")]
        return all(sum(map(len, places)) == 2 for places in held)

    wait_for(dispatcher, has_both, "it was to have the partitions of both classes")  # and nobody takes a task yet
    with CeleryWorker(lab, pool="threads", concurrency=1, settings=settings):
        records = sorted(wait_for_outcomes(dispatcher, stream, 80), key=lambda record: record.received_at)
    out = ended(dispatcher)
    assert re.search(r"Dispatched 80 tasks in .* s: high 40 sent, 0 shed, 0 dead; low 40 sent, 0 shed, 0 dead\.", out)
    assert "Left on Kafka: high 0, low 0." in out
    # four to one, as long as both wait: from when both have begun until the last of the first class
    order = [record.topic for record in records]
    begin = max(map(order.index, ("jobs.high", "jobs.low")))
    both = order[begin : len(order) - order[::-1].index("jobs.high")]
    high, low = both.count("jobs.high"), both.count("jobs.low")
    assert high >= 20
    assert abs(high / 4 - low) <= 1 + 1 / 4 + 1, "the bound of deficit round robin, see `Weighted`"


@pytest.mark.long
def test_what_waits_beyond_the_limit_of_its_class_is_shed_and_the_rest_stays_on_kafka(type_in, topics, stream):
    dispatcher = type_in("dispatch", "--classes", "gold,lead", "--limits", ",5", "--partitions", "1")
    wait_for(dispatcher, lambda: "jobs.lead" in topics.names(), "the topics were to be made")
    topic = topics.get("jobs.lead")
    assert topic.partitions == 1
    with Producer(topic) as producer:
        producer.send_many(stock_tasks(20, seed=1))
    records = wait_for_outcomes(dispatcher, stream, 15)
    out = ended(dispatcher)
    assert {record.outcome for record in records} == {"shed"}
    assert "gold 0 sent, 0 shed, 0 dead; lead 0 sent, 15 shed, 0 dead" in out
    assert "Left on Kafka: gold 0, lead 5." in out


@pytest.mark.long
def test_tasks_that_nobody_handles_are_dead_letters(type_in, topics, stream):
    with Producer(topics.create("jobs.high", partitions=1)) as producer:
        producer.send_many([new_task("unheard_of"), new_task("unheard_of")])
    dispatcher = type_in("dispatch", "--policy", "reserve")
    wait_for_outcomes(dispatcher, stream, 2)
    wait_for(dispatcher, lambda: "jobs.high.dead" in topics.names(), "a topic for dead letters was to be made")
    wait_for(dispatcher, lambda: len(DeadLetters(topics, "jobs.high").list()) == 2, "letters were to be written")
    assert "high 0 sent, 0 shed, 2 dead" in ended(dispatcher)


@pytest.mark.parametrize(
    "words", [("bridge",), pytest.param(("priority", "--policy", "weighted"), marks=pytest.mark.long)]
)
def test_a_demo_adds_up_and_leaves_nothing_behind(type_in, lab, topics, prefix, words):
    out = said(type_in("demo", *words, "--seconds", "3"))
    produced, *rest = map(int, re.search(SUM, out).groups())
    assert produced > 20
    assert produced == sum(rest)
    assert topics.names() == []
    with redis.Redis.from_url(lab.redis_url) as client:
        assert list(client.scan_iter(match=f"{prefix}*")) == []


@pytest.mark.long
def test_ctrl_c_ends_a_demo_sooner_with_its_sum(type_in, lab, prefix):
    demo = type_in("demo", "priority")

    def it_produces() -> bool:
        with connect(lab, prefix="") as everybody:
            found = [name for name in everybody.names() if name.startswith(f"{prefix}own.")]
            mine = [name for name in found if name.endswith("jobs.low")]
            return any(sum(everybody.end_offsets(name).values()) > 5 for name in mine)

    wait_for(demo, it_produces, "the demo was to produce")
    assert re.search(SUM, ended(demo))


@pytest.mark.long
def test_a_demo_that_has_lost_tasks_says_so_and_fails(type_in, lab, prefix):
    demo = type_in("demo", "priority")
    with redis.Redis.from_url(lab.redis_url) as client:

        def some_are_lost() -> bool:
            lost = 0
            for key in client.scan_iter(match=f"{prefix}own.*celery:labkit*", _type="list"):
                length, _ = client.pipeline().llen(key).delete(key).execute()
                lost += length
            return lost > 0

        wait_for(demo, some_are_lost, "tasks were to wait in Celery")
    demo.send_signal(signal.SIGINT)
    assert re.search(r"does not add up: produced \d+ is not .*: \d+ are missing", said(demo, status=1))


@pytest.mark.long
def test_on_a_terminal_a_live_view_is_drawn(type_in):
    mine, theirs = pty.openpty()
    with os.fdopen(mine, "rb", buffering=0) as terminal:
        demo = type_in("demo", "bridge", "--seconds", "3", stdout=theirs, COLUMNS="80", TERM="xterm")
        os.close(theirs)
        shown = b""
        while chunk := _read(terminal):
            shown += chunk
        assert demo.wait(30) == 0
    text = shown.decode()
    assert re.search(r"bridge +\d+ +\d+", text)
    assert "taken (concurrency 2)" in text
    assert "Beat: " in text
    assert "It adds up" in text


def _read(terminal) -> bytes:
    try:
        return terminal.read(4096)
    except OSError:  # so Linux tells that nobody writes any more
        return b""


@pytest.mark.parametrize("words", [("dispatch",), further(("demo", "priority"))])
def test_the_help_lists_every_policy(type_in, words):
    out = said(type_in(*words, "--help"))
    assert all(f"\n  {name} " in out for name in POLICIES)
    assert "Options: rate." in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("bridge", "--topic", "no-such-topic"), "no-such-topic"),
        further(("dispatch", "--policy", "best"), "there are aging, "),
        further(("dispatch", "--policy", "aging", "--option", "speed=1"), "has no option 'speed'"),
        further(("dispatch", "--weights", "4"), "one value for each of the 2 classes"),
        further(("dispatch", "--weights", "4,0"), "weight 0"),
        further(("demo", "priority", "--policy", "best"), "there are aging, "),
    ],
)
def test_mistakes_get_one_paragraph_and_leave_no_topic(type_in, topics, words, reason):
    err = said(type_in(*words), status=1)
    assert err.startswith("labkit: ")
    assert reason in err
    assert len(err.strip().splitlines()) == 1
    assert topics.names() == []


@pytest.mark.parametrize("command", ["bridge", further("dispatch")])
def test_without_a_lab_the_way_on_is_named(type_in, command):
    nowhere = {"LABKIT_BOOTSTRAP_SERVERS": "", "LABKIT_REDIS_URL": "", "LABKIT_LAB": "never-started"}
    assert "`labkit up --name never-started`" in said(type_in(command, **nowhere), status=1)


@pytest.mark.long
def test_the_classes_come_from_the_settings(type_in, topics):
    dispatcher = type_in("dispatch", LABKIT_CLASSES="express,normal,slow")
    made = ["jobs.express", "jobs.normal", "jobs.slow"]
    wait_for(dispatcher, lambda: topics.names() == made, "the topics of all classes were to be made")
    assert "express 0 sent" in ended(dispatcher)
