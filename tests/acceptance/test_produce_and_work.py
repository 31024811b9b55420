"""`labkit produce`, `labkit work` and `labkit topics`, as a user types them."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from kafka import KafkaProducer

from labkit.lab import Lab
from labkit.measure.records import read_records
from labkit.taskqueue import WorkerGroup, connect
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from tests.acceptance.commands import TIMEOUT, ended, further, outcome, said
from tests.ports import own_ports


def test_messages_are_sent_one_by_one(type_in, unique_name):
    out = said(type_in("produce", "hello", "world", "--topic", unique_name, "--rate", "1000"))
    # in the order in which the broker acknowledged them
    assert sorted(out.splitlines()[:2]) == ["hello -> partition 0, offset 0", "world -> partition 1, offset 0"]
    assert f"Sent 2 tasks to {unique_name}" in out
    assert "2 acknowledged, 0 refused (partition 0: 1, partition 1: 1)" in out


def test_stock_tasks_are_worked_on_until_none_is_left(type_in, unique_name, tmp_path):
    out = said(type_in("produce", "--topic", unique_name, "--rate", "1000", "--count", "30"))
    assert "30 acknowledged" in out
    out = said(
        type_in(
            "work",
            "--topic",
            unique_name,
            "--group",
            unique_name,
            "--workers",
            "2",
            "--service",
            "uniform:0.001,0.005",
            "--until-empty",
            "--records",
            "mine.parquet",
        )
    )
    assert "30 tasks done, 0 attempts failed" in out
    assert len(read_records(tmp_path / "mine.parquet")) == 30


def test_what_a_plain_producer_has_written_fails_is_replayed_and_is_done(lab, type_in, unique_name, tmp_path):
    (tmp_path / "bills.py").write_text("def pay(task):\n    raise ValueError(f'no money for {task.payload}')\n")
    bill, text = b'{ "kind": "bill", "n": 1 }', b"Task 1: Process file A"
    with connect(lab) as topics:
        topics.create(unique_name, partitions=1)
        topic_id = topics.describe(unique_name).id
        with closing(KafkaProducer(bootstrap_servers=lab.bootstrap_servers)) as client:
            client.send(unique_name, bill, key=b"customer-3", headers=[("trace", b"4bf9")]).get(60)
            client.send(unique_name, text).get(60)
        work = ("work", "--topic", unique_name, "--group", unique_name, "--until-empty")
        out = said(type_in(*work, "--handler", "bills:pay", "--attempts", "1"))
        assert "0 tasks done, 2 attempts failed" in out
        letters = json.loads(said(type_in("dead", "list", "--topic", unique_name, "--json")))
        assert [letter["id"] for letter in letters] == [f"{unique_name}/0/{offset}" for offset in (0, 1)]
        assert "no money for {'kind': 'bill', 'n': 1}" in letters[0]["error"]
        assert "neither of labkit nor JSON" in letters[1]["error"]
        assert "`labkit work --plain` takes it" in letters[1]["error"]
        shown = json.loads(said(type_in("dead", "show", letters[0]["id"])))
        assert (shown["key"], shown["value"], shown["headers"]) == ("customer-3", bill.decode(), [["trace", "4bf9"]])
        assert "2 put back" in said(type_in("dead", "replay", "--all", "--topic", unique_name))
        out = said(type_in(*work, "--plain", "--service", "constant:0.001", "--records", "mine.parquet"))
        assert "2 tasks done, 0 attempts failed" in out
        records = read_records(tmp_path / "mine.parquet").sort_values("offset")
        assert list(records["task_id"]) == [f"{topic_id}/0/{offset}" for offset in (0, 1)]
        assert list(records["kind"]) == ["bill", "record"]
        log = read_topic(topics.transport, unique_name)
        assert [(one.key, one.value) for one in log] == 2 * [(b"customer-3", bill), (None, text)]


@pytest.mark.parametrize("members", [[], further(["--processes"])], ids=["threads", "processes"])
def test_it_works_where_its_standard_streams_are_closed(type_in, environment, unique_name, tmp_path, members):
    said(type_in("produce", "--topic", unique_name, "--rate", "1000", "--count", "10"))
    words = [sys.executable, "-m", "labkit", "work", "--topic", unique_name, "--until-empty", "--records", "r.parquet"]
    closed = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *words, *members]
    subprocess.run(closed, cwd=tmp_path, env=environment, timeout=TIMEOUT, check=True)
    assert len(read_records(tmp_path / "r.parquet")) == 10


@pytest.mark.long
def test_each_run_sends_new_tasks_and_a_seed_repeats_them(type_in, unique_name, lab):
    words = ("produce", "one", "--topic", unique_name)
    for process in [type_in(*words), type_in(*words), type_in(*words, "--seed", "5"), type_in(*words, "--seed", "5")]:
        said(process)
    with connect(lab) as topics, WorkerGroup(topics.get(unique_name), group=unique_name) as group:
        ids = group.drain(timeout=120)["task_id"]
    assert (len(ids), ids.nunique()) == (4, 3)


def test_ctrl_c_stops_the_producer_with_a_summary(type_in, unique_name, lab):
    process = type_in("produce", "--topic", unique_name, "--rate", "200", "--forever")
    with connect(lab) as topics:

        def twenty_are_there() -> bool:
            assert process.poll() is None, process.communicate()
            return unique_name in topics.names() and sum(topics.end_offsets(unique_name).values()) >= 20

        wait_until(twenty_are_there, timeout=120, what="tasks were to arrive")
        out = ended(process)
        sent = int(re.search(r"Sent (\d+) tasks", out).group(1))
        assert sent == sum(topics.end_offsets(unique_name).values())
    assert f"{sent} acknowledged, 0 refused" in out


def test_two_terminals_share_a_group_and_ctrl_c_leaves_it(type_in, unique_name, lab, tmp_path):
    said(type_in("topics", "create", unique_name, "--partitions", "2"))
    words = ("work", "--topic", unique_name, "--group", unique_name, "--service", "constant:0.005")
    first, second = type_in(*words, "--records", "1.parquet"), type_in(*words, "--records", "2.parquet")
    with connect(lab) as topics:
        wait_until(
            lambda: [len(p) for p in topics.members(unique_name).values()] == [1, 1],
            timeout=120,
            what="both terminals were to have a partition",
        )
        said(type_in("produce", "--topic", unique_name, "--rate", "1000", "--count", "40"))
        wait_until(
            lambda: not sum(p.lag for p in topics.lag(unique_name, group=unique_name)),
            timeout=120,
            what="the tasks were to be done",
        )
        for process in (first, second):
            process.send_signal(signal.SIGINT)
        for process in (first, second):
            assert "20 tasks done, 0 attempts failed" in said(process)
        assert topics.members(unique_name) == {}
    assert len(read_records(tmp_path / "1.parquet", tmp_path / "2.parquet")) == 40


def test_work_by_a_function_of_ones_own(type_in, unique_name, tmp_path):
    (tmp_path / "chores.py").write_text(
        "from pathlib import Path\n\ndef keep(task):\n    Path(task.payload).touch()\n    print('done')\n"
    )
    said(type_in("produce", "one.txt", "two.txt", "--topic", unique_name))
    words = ("--topic", unique_name, "--group", unique_name, "--handler", "chores:keep", "--until-empty")
    assert "2 tasks done" in said(type_in("work", *words, "--processes", "--workers", "2"))
    assert {path.name for path in tmp_path.glob("*.txt")} == {"one.txt", "two.txt"}


def test_without_work_it_is_said_and_an_empty_handler_is_none(type_in, unique_name):
    said(type_in("produce", "one", "--topic", unique_name))
    process = type_in("work", "--topic", unique_name, "--group", unique_name, "--until-empty")
    out, err = process.communicate(timeout=TIMEOUT)
    assert "1 tasks done" in out
    assert "Nothing is worked on" in err
    assert "it is empty" in said(type_in("work", "--handler", ""), 2)


def test_what_was_done_is_told_also_where_its_records_could_not_be_written(type_in, unique_name, tmp_path):
    (tmp_path / "spoiler.py").write_text(
        "import pathlib, shutil\n"
        "def spoil(task):\n    shutil.rmtree('out', ignore_errors=True)\n    pathlib.Path('out').touch()\n"
    )
    said(type_in("produce", "one", "--topic", unique_name))
    words = ("--topic", unique_name, "--group", unique_name, "--until-empty", "--handler", "spoiler:spoil")
    out, err = outcome(
        type_in("work", *words, "--records", "out/mine.parquet", XDG_STATE_HOME=str(tmp_path / "state")), 1
    )
    assert "1 tasks done, 0 attempts failed" in out
    assert "Records: " not in out
    assert f"The records could not be written to {tmp_path / 'out' / 'mine.parquet'}" in err


def test_a_share_group_works_until_none_is_left(type_in, unique_name, tmp_path):
    said(type_in("topics", "create", unique_name, "--partitions", "1"))
    said(type_in("produce", "--topic", unique_name, "--rate", "1000", "--count", "30"))
    words = ("--topic", unique_name, "--group", unique_name, "--service", "constant:0.005", "--until-empty")
    share = ("--mode", "share", "--workers", "2", "--records", "mine.parquet")
    out = said(type_in("work", *words, *share, LABKIT_TRANSPORT="confluent-kafka"))
    assert "30 tasks done, 0 attempts failed" in out
    assert read_records(tmp_path / "mine.parquet")["task_id"].nunique() == 30


def test_prometheus_reads_what_a_worker_does(type_in, unique_name):
    (port,) = own_ports(1)
    said(type_in("produce", "one", "two", "three", "--topic", unique_name))
    work = type_in("work", "--topic", unique_name, "--group", unique_name, "--metrics-port", str(port))
    done = f'labkit_attempts_total{{group="{unique_name}",outcome="done",topic="{unique_name}"}} 3.0'

    def three_are_counted() -> bool:
        assert work.poll() is None, work.communicate()
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=120) as answer:
                return done in answer.read().decode()
        except URLError:
            return False  # it does not listen yet

    wait_until(three_are_counted, timeout=120, what="the tasks were to be counted")
    assert "3 tasks done" in ended(work)


@pytest.mark.long
def test_workers_wait_for_a_broker_that_went_away_and_say_so_once(type_in, tmp_path):
    with Lab() as own:
        address = {"LABKIT_BOOTSTRAP_SERVERS": own.bootstrap_servers}
        said(type_in("produce", "one", "--topic", "t", **address))
        work = type_in("work", "--topic", "t", "--service", "constant:0", "--records", "mine.parquet", **address)
        with connect(own) as topics:
            is_empty = lambda: not sum(p.lag for p in topics.lag("t", group="worker_group"))  # noqa: E731
            wait_until(is_empty, timeout=120, what="the first task was to be done")
            own.kill_broker(1)
            assert "The workers wait for it" in work.stderr.readline()
            own.restart_broker(1)
            said(type_in("produce", "two", "--topic", "t", **address))
            wait_until(is_empty, timeout=120, what="the second task was to be done")
        work.send_signal(signal.SIGINT)
        out, err = work.communicate(timeout=120)
    assert (work.returncode, err.count("The workers wait")) == (0, 0)
    assert "2 tasks done" in out


def test_topics_are_made_shown_grown_and_deleted(type_in, unique_name):
    assert said(type_in("topics", "create", unique_name)) == f"{unique_name} has 2 partitions.\n"
    assert unique_name in said(type_in("topics", "list"))
    assert "3 partitions now" in said(type_in("topics", "grow", unique_name, "--partitions", "3"))
    assert re.search(r"2 +0 +0 +0", said(type_in("topics", "describe", unique_name)))
    assert "is deleted" in said(type_in("topics", "delete", unique_name, "--yes"))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("work", "--topic", "no-such-topic"), "no-such-topic"),
        further(("work", "--service", "fast"), "not a service time"),
        further(("work", "--service", "constant:0.001", "--handler", "a:b"), "not both"),
        further(("work", "--mode", "shared"), "choose one of group, share"),
        (("produce", "--arrivals", "never"), "choose one of constant, poisson, burst"),
        further(("produce", "--partitioner", "best"), "there are key_hash"),
        further(("topics", "delete", "no-such-topic", "--yes"), "no-such-topic"),
        (("topics", "delete", "__consumer_offsets", "--yes"), "Kafka's own"),
        further(("topics", "create", "__mine"), "Kafka's own"),
        further(("topics", "grow", "__consumer_offsets", "--partitions", "99"), "Kafka's own"),
        further(("produce", "--topic", "__consumer_offsets"), "Kafka's own"),
        further(("work", "--topic", "__consumer_offsets"), "Kafka's own"),
    ],
)
def test_mistakes_get_one_paragraph_and_status_1(type_in, words, reason):
    err = said(type_in(*words), status=1)
    assert err.startswith("labkit: ")
    assert reason in err
    assert len(err.strip().splitlines()) == 1


def test_without_a_broker_the_way_on_is_named(type_in, tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "labkit", "produce", "hello"],
        cwd=tmp_path,
        env={**os.environ, "LABKIT_LAB": "never-started"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 1
    assert "labkit up" in process.stderr
    assert "Traceback" not in process.stderr
