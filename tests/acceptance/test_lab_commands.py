"""The commands about the lab, as they are typed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from labkit.lab.condition import wait_for
from labkit.settings import environment_with
from tests.acceptance.commands import further
from tests.ports import own_ports

LABKIT = Path(sys.executable).with_name("labkit")

Labkit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def port() -> int:
    return own_ports(1)[0]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, port: int) -> dict[str, str]:
    data = tmp_path_factory.mktemp("data")
    return environment_with(data_dir=data, port=port) | {"COLUMNS": "200", "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def labkit(environment: dict[str, str]) -> Iterator[Labkit]:
    """Runs a command and returns what it said; the labs are stopped at the end."""

    def run(*words: str, answer: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [LABKIT, *words],
            env=environment | changes,
            input=answer,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    yield run
    for name in ("default", "other"):
        run("down", "--name", name)


@pytest.fixture(scope="module")
def running(labkit: Labkit) -> subprocess.CompletedProcess[str]:
    """What `labkit up` said. The lab runs from here on."""
    return labkit("up")


def test_up_says_where_everything_is(running: subprocess.CompletedProcess[str], port: int) -> None:
    assert running.returncode == 0
    assert running.stderr == ""
    assert re.fullmatch(
        rf"The lab 'default' is ready after [\d.]+ s\.\nKafka  127\.0\.0\.1:{port}\nRedis  unix:///.*redis\.sock\n",
        running.stdout,
    )


@pytest.mark.usefixtures("running")
def test_up_again_says_that_it_is_running(labkit: Labkit, port: int) -> None:
    again = labkit("up")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith(f"The lab 'default' is running already.\nKafka  127.0.0.1:{port}\n")
    other_number = labkit("up", "--brokers", "3")
    assert other_number.returncode == 1
    assert other_number.stderr.startswith("labkit: This lab was made with 1 broker, which cannot be changed.")
    assert "labkit reset" in other_number.stderr
    assert labkit("up", "--brokers", "2").stderr.startswith("labkit: A lab has 1, 3 or 5 brokers, not 2.")


@pytest.mark.usefixtures("running")
def test_status_as_a_table(labkit: Labkit, port: int) -> None:
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    admin.create_topics([NewTopic("task_queue", 2, 1)])["task_queue"].result(60)
    found = labkit("status")
    assert (found.returncode, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert re.fullmatch(r"The lab 'default' has been running for \d+ s\.", lines[0])
    assert re.match(rf"Kafka +4\.4\.0 +\d+ +\d+ MB +127\.0\.0\.1:{port}", lines[2])
    assert re.match(r"(Redis|Valkey) +[\d.]+ +\d+ +\d+ MB +unix://", lines[3])
    assert "topics  1: task_queue (2)" in lines
    assert any(re.match(r"cache   45 of 45 jars, template ready, AOT cache ready, \d+ MB in ", line) for line in lines)
    assert any(re.match(r"data    [\d.]+ MB in ", line) for line in lines)


@pytest.mark.usefixtures("running")
def test_status_for_programs(labkit: Labkit, port: int) -> None:
    found = json.loads(labkit("status", "--json").stdout)
    assert found["name"] == "default"
    assert found["running"] is True
    kafka, redis, supervisor = found["servers"]
    assert (kafka["name"], kafka["address"]) == ("Kafka", f"127.0.0.1:{port}")
    assert (redis["name"], supervisor["name"]) == ("Redis", "supervisor")
    assert sum(server["memory"] for server in found["servers"]) < 700e6


@pytest.mark.usefixtures("running")
def test_logs_of_either_server(labkit: Labkit) -> None:
    assert "Kafka Server started" in labkit("logs").stdout
    assert "ready to accept connections" in labkit("logs", "--server", "redis").stdout
    assert labkit("logs", "--broker", "2").stderr.startswith("labkit: This lab has 1 broker, so there is no log of")
    refused = labkit("logs", "--server", "mysql")
    assert refused.returncode == 2
    assert "kafka" in refused.stderr


@pytest.mark.usefixtures("running")
def test_logs_are_followed_until_ctrl_c(environment: dict[str, str], port: int) -> None:
    following = subprocess.Popen([LABKIT, "logs", "-f"], env=environment, stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    following.stdout.readline()
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    admin.create_topics([NewTopic("seen-in-the-log", 1, 1)])["seen-in-the-log"].result(60)
    assert any("seen-in-the-log" in line for line in following.stdout)
    following.send_signal(signal.SIGINT)
    following.communicate()
    assert following.returncode == 130


@pytest.mark.long
@pytest.mark.usefixtures("running")
def test_another_name_another_lab_and_a_port_said_aloud(labkit: Labkit, port: int) -> None:
    other = labkit("up", "--name", "other")
    assert other.returncode == 0
    (free,) = re.findall(r"Kafka  (127\.0\.0\.1:\d+)", other.stdout)
    assert other.stderr == f"labkit: Port {port} is in use by another program, so Kafka is at {free}.\n"
    assert "LABKIT_LAB=other labkit topics list" in other.stdout
    assert "LABKIT_LAB" not in labkit("up").stdout
    assert json.loads(labkit("status", "--json").stdout)["running"] is True
    assert labkit("down", "--name", "other").returncode == 0
    assert json.loads(labkit("status", "--json").stdout)["running"] is True


@pytest.mark.usefixtures("running")
def test_a_port_that_was_asked_for_and_is_in_use(labkit: Labkit, port: int) -> None:
    refused = labkit("up", "--name", "other", "--port", str(port))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"labkit: Port {port} is in use by another program.")


@pytest.mark.long
@pytest.mark.usefixtures("running")
def test_a_crash_is_seen_and_mended(labkit: Labkit) -> None:
    before = json.loads(labkit("status", "--json").stdout)
    kafka = before["servers"][0]["pid"]
    subprocess.run(["kill", "-KILL", str(kafka)], check=True)
    assert wait_for(lambda: "SIGKILL" in labkit("status").stdout, 60)
    crashed = labkit("status")
    assert crashed.returncode == 1
    assert crashed.stdout.startswith("The lab 'default' is not running. Kafka was ended by SIGKILL. `labkit up` starts")
    mended = labkit("up")
    assert mended.returncode == 0
    assert mended.stderr == ("labkit: Kafka was ended by SIGKILL. The lab 'default' is started again with its data.\n")
    assert json.loads(labkit("status", "--json").stdout)["topics"] == before["topics"]


def test_down_and_down_again(labkit: Labkit) -> None:
    labkit("up")
    stopped = labkit("down")
    assert (stopped.returncode, stopped.stdout) == (
        0,
        "The lab 'default' is stopped. Its data stays; `labkit up` goes on with it.\n",
    )
    again = labkit("down")
    assert (again.returncode, again.stdout) == (0, "The lab 'default' is not running.\n")
    status = labkit("status")
    assert status.returncode == 1
    assert status.stdout.startswith("The lab 'default' is not running. Start it with `labkit up`.")


def test_reset_asks_first(labkit: Labkit) -> None:
    labkit("up")
    kept = labkit("reset", answer="n\n")
    assert kept.returncode == 1
    assert "Delete all topics, records and keys of the lab 'default'?" in kept.stdout
    assert labkit("status").returncode == 0
    assert labkit("reset", "--yes").stdout == "The lab 'default' is stopped and empty.\n"
    assert labkit("status").returncode == 1
    assert labkit("reset", "--yes").stdout == "The lab 'default' stores nothing.\n"


def test_the_doctor_finds_everything_in_order(labkit: Labkit) -> None:
    labkit("up")
    found = labkit("doctor")
    assert found.returncode == 0, found.stdout
    assert "✗" not in found.stdout
    for what in ("Python", "Java", "Kafka", "caches", "Redis", "disk", "memory", "port", "encoding"):
        assert re.search(rf"^[✓•]  {what}  ", found.stdout, re.MULTILINE), what


def test_the_doctor_names_what_is_wrong(labkit: Labkit, tmp_path: Path) -> None:
    (closed,) = own_ports(1)
    found = labkit(
        "doctor",
        LABKIT_JAVA_HOME=str(tmp_path),
        LABKIT_KAFKA_HOME=str(tmp_path),
        LABKIT_REDIS_URL=f"redis://127.0.0.1:{closed}",
    )
    assert found.returncode == 1
    for what, how in (
        ("Java", "LABKIT_JAVA_HOME"),
        ("Kafka", "LABKIT_KAFKA_HOME"),
        ("external Redis", "LABKIT_REDIS_URL"),
    ):
        assert re.search(rf"^✗  {what} .*{how}", found.stdout, re.MULTILINE), what


@pytest.mark.long
def test_a_mistake_is_one_paragraph_without_a_traceback(labkit: Labkit, tmp_path: Path) -> None:
    refused = labkit("up", LABKIT_JAVA_HOME=str(tmp_path), LABKIT_LAB="fresh")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"labkit: LABKIT_JAVA_HOME is {tmp_path}, but there is no Java in")
    assert len(refused.stderr.splitlines()) == 1
    assert labkit("status", LABKIT_PORT="many").stderr.startswith("labkit: These settings do not fit: LABKIT_PORT:")
    assert labkit("up", "--name", "../x").stderr.startswith("labkit: '../x' cannot be the name of a lab.")


@pytest.mark.parametrize("command", ["up", *map(further, ("down", "status", "logs", "reset", "doctor"))])
def test_every_command_explains_itself(labkit: Labkit, command: str) -> None:
    helped = labkit(command, "--help")
    assert helped.returncode == 0
    assert f"Usage: labkit {command}" in helped.stdout
    assert re.search(rf"^  {command}  +\w", labkit("--help").stdout, re.MULTILINE)
