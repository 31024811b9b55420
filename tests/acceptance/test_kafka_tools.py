"""`labkit kafka`, as a user types it: Kafka's own tools on the lab."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import psutil
import pytest

from labkit.lab.jars import tool_jars
from labkit.lab.kafka_tools import KAFKA_TOOLS
from labkit.settings import load_settings
from labkit.taskqueue import Producer, connect, stock_tasks
from tests.acceptance.commands import TIMEOUT, outcome, said

DOCUMENT = Path(__file__).parents[2] / "docs" / "kafka_tools.md"
#: What the files in the document hold, and names in it that are to be the test's own.
FILES = {"tasks.txt": "Task 1\nTask 2\n", "keyed.txt": "a:Task 3\nb:Task 4\n"}
NAMES = {"--topic", "--group", "--entity-name"}


@pytest.fixture
def kafka(tmp_path, environment):
    """Run `labkit kafka …` with this input; returns its output and its complaints."""

    def run(*words: str, given: str = "") -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "labkit", "kafka", *words],
            cwd=tmp_path,
            # what is meant for another Java, and would be said
            env=environment | {"JAVA_TOOL_OPTIONS": "-Dmine=1", "CLASSPATH": "/none", "KAFKA_OPTS": "-Dmine=2"},
            input=given,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "JAVA_TOOL_OPTIONS" not in done.stderr
        return done.stdout, done.stderr

    return run


def test_a_topic_is_made_written_read_and_its_group_described(kafka, lab, unique_name):
    made, _ = kafka("topics", "--create", "--topic", unique_name, "--partitions", "1")
    assert made.endswith(f"Created topic {unique_name}.\n")
    kafka("console-producer", "--topic", unique_name, given="Task 1\nTask 2: Process file B\nAufgabe ä\n")
    group = f"{unique_name}-group"
    options = ("--from-beginning", "--max-messages", "3", "--group", group)
    read, counted = kafka("console-consumer", "--topic", unique_name, *options)
    assert read == "Task 1\nTask 2: Process file B\nAufgabe ä\n"
    assert "Processed a total of 3 messages\n" in counted
    described, _ = kafka("consumer-groups", "--describe", "--group", group)
    (line,) = (line.split() for line in described.splitlines() if unique_name in line)
    assert line[:6] == [group, unique_name, "0", "3", "3", "0"]
    with connect(lab) as topics:
        topics.delete(unique_name)


def test_a_topic_that_nobody_made_is_made_by_a_tool_and_never_by_labkit(kafka, type_in, lab, unique_name):
    missing = f"There is no topic '{unique_name}'. `labkit topics create {unique_name}` makes it."
    work = ("work", "--topic", unique_name, "--service", "constant:1ms", "--until-empty")
    for words in (work, ("bridge", "--topic", unique_name), ("topics", "describe", unique_name)):
        assert missing in said(type_in(*words), status=1)
    others = ("records", unique_name), ("dead", "list", "--topic", unique_name), ("topics", "delete", unique_name)
    for words in others:
        assert f"There is no topic '{unique_name}'" in said(type_in(*words), status=1)
    with connect(lab) as topics:
        assert unique_name not in topics.names()
        kafka("console-producer", "--topic", unique_name, given='{"task": "Task 1: Process file A"}\n')
        assert topics.get(unique_name).partitions == 2
        assert "1 tasks done" in said(type_in(*work))
        topics.delete(unique_name)


def test_a_tool_is_the_command_for_ctrl_c_and_a_closed_pipe(type_in, lab, unique_name):
    with connect(lab) as topics:
        with Producer(topics.create(unique_name, partitions=1)) as producer:
            producer.send_many(stock_tasks(1, seed=1))
        words = ("kafka", "console-consumer", "--topic", unique_name, "--from-beginning")
        stopped, cut_off = type_in(*words), type_in(*words)
        cut_off.stdout.close()
        assert "Task 1" in stopped.stdout.readline()
        assert psutil.Process(stopped.pid).name() == "java", "so that who kills the command has killed the tool"
        stopped.send_signal(signal.SIGINT)
        assert "Processed a total of 1 messages\n" in said(stopped, 130)
        assert cut_off.wait(TIMEOUT) == 0
        assert "Unable to write to standard out, closing consumer.\n" in cut_off.stderr.read()
        topics.delete(unique_name)


def test_the_tools_are_listed_and_their_own_help_and_status_are_shown(type_in, environment):
    listed = said(type_in("kafka"))
    assert [line.split()[0] for line in listed.splitlines()] == [tool.name for tool in KAFKA_TOOLS]
    nowhere = {"LABKIT_BOOTSTRAP_SERVERS": "", "LABKIT_REDIS_URL": ""}
    with_help = type_in("kafka", "topics", "--help", **nowhere)
    no_lab = type_in("kafka", "topics", "--list", **nowhere)
    assert outcome(with_help, 1)[1].startswith("This tool helps to create, delete, describe, or change a topic.\n")
    assert said(no_lab, 1) == "labkit: The lab 'default' is not running. Start it with `labkit up`.\n"
    assert said(type_in("kafka", "topic"), 1).startswith("labkit: There is no tool 'topic' of Kafka here. Did you ")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_line_of_the_document_works(kafka, unique_name):
    lines = re.findall(r"^\|.*`labkit kafka .*$", DOCUMENT.read_text(), re.MULTILINE)
    commands = [command for line in lines for command in re.findall(r"`labkit kafka ([^`]+)`", line)]
    assert len(commands) > 15
    for command in commands:
        typed, _, file = command.partition(" < ")
        words = re.sub(f"({'|'.join(NAMES)}) ([tgs])(?= |$)", rf"\1 {unique_name}-\2", typed).split()
        if words[0].startswith("console-") and words[0].endswith("consumer") and "--max-messages" not in words:
            words += ["--timeout-ms", "15000"]  # in the place of Ctrl-C
        kafka(*words, given=FILES.get(file, ""))


def test_each_tool_is_in_the_jar():
    with ZipFile(tool_jars(load_settings())[-1]) as jar:
        names = set(jar.namelist())
    missing = [
        tool.name for tool in KAFKA_TOOLS if f"org/apache/kafka/tools/{tool.main.replace('.', '/')}.class" not in names
    ]
    assert missing == []
