"""What clients of others write is a task, and the same one for everybody who meets it."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from pathlib import Path

import confluent_kafka
import kafka
from msgspec.json import decode

from labkit.faults import check, from_records
from labkit.lab import Lab
from labkit.lab.jars import kafka_jars
from labkit.lab.kafka_server import class_path, find_java
from labkit.settings import Settings
from labkit.taskqueue import Task, Topic, WorkerGroup, connect
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.worker_group.membership import Membership
from tests import handlers

SETTINGS = Settings(_env_file=None)

#: Java's own client, by what the server's jars hold: an appender for its log. The one line is that the server ends.
LOG4J = """
<Configuration status="warn">
  <Appenders>
    <Kafka name="kafka" topic="{topic}" key="from-java">
      <PatternLayout alwaysWriteExceptions="false" pattern='{{"kind": "java", "line": "%enc{{%m}}{{JSON}}"}}'/>
      <Property name="bootstrap.servers">{servers}</Property>
    </Kafka>
  </Appenders>
  <Loggers>
    <Root level="off"/>
    <Logger name="kafka.Kafka$" level="error" additivity="false"><AppenderRef ref="kafka"/></Logger>
  </Loggers>
</Configuration>
"""

#: Key, value and headers, by kafka-python and by librdkafka in turn.
WRITTEN = [
    (None, {"task": "Task 1: Process file A"}, []),
    (b"a", {"kind": "invoice", "number": 7}, [("trace", b"\xff\x00"), ("trace", b"")]),
    (b"a", {"kind": 7}, []),
    (None, [1, None, "ä", {"b": 1.5}], []),
    (b"\x00\x00\x00\xc8", 2**70, []),
    (None, None, [("labkit", b"1")]),
]


def write(servers: str, topic: Topic) -> None:
    """Each value is on its own partition behind those before it."""
    rdkafka = confluent_kafka.Producer({"bootstrap.servers": servers})
    with closing(kafka.KafkaProducer(bootstrap_servers=servers)) as python:
        for number, (key, value, headers) in enumerate(WRITTEN):
            content, partition = json.dumps(value).encode(), number % topic.partitions
            if number < len(WRITTEN) / 2:
                python.send(topic.full_name, key=key, value=content, headers=headers, partition=partition).get(60)
            else:
                rdkafka.produce(topic.full_name, key=key, value=content, headers=headers, partition=partition)
                assert rdkafka.flush(60) == 0


def write_by_java(servers: str, topic: Topic, folder: Path) -> None:
    """One record by Java's client."""
    config = folder / "log4j2.xml"
    config.write_text(LOG4J.format(topic=topic.full_name, servers=servers), encoding="utf-8")
    jars, options = class_path(kafka_jars(SETTINGS)), [f"-Dlog4j2.configurationFile={config}"]
    command = [str(find_java(SETTINGS).program), *options, "-cp", jars, "kafka.Kafka", str(folder / "none.properties")]
    subprocess.run(command, timeout=120, capture_output=True, check=False)


def test_records_of_three_clients_are_the_same_tasks_for_both_transports_and_a_share_group(
    lab: Lab, unique_name: str, tmp_path: Path
) -> None:
    seen = []
    for library, options in (
        ("kafka-python", {"executor": "processes"}),
        ("confluent-kafka", {}),
        ("confluent-kafka", {"mode": "share"}),
    ):
        with connect(lab, transport=library) as topics:
            if not seen:
                topic = topics.create(unique_name, partitions=2)
                write(lab.bootstrap_servers, topic)
                write_by_java(lab.bootstrap_servers, topic, tmp_path)
            topic, topic_id = topics.get(unique_name), topics.describe(unique_name).id
            got: list[Task] = []
            with WorkerGroup(
                topic,
                group=f"{unique_name}.{len(seen)}",
                handler=handlers.fail if "executor" in options else got.append,
                settings=SETTINGS,
                **options,
            ) as group:
                records = group.drain(timeout=120)
            log = list(read_topic(topic.transport, topic.full_name))
            if "executor" in options:
                assert check(from_records(records, written=log, topic_id=topic_id)).ok()
            seen.append((got, {(r.task_id, r.kind, r.partition, r.offset) for r in records.itertuples()}))
    (_, first), (got, second), (shared, third) = seen
    assert first == second == third
    assert {task_id for task_id, *_ in first} == {f"{topic_id}/{one.partition}/{one.offset}" for one in log}
    by_id = sorted(got, key=lambda task: task.id)
    assert sorted(shared, key=lambda task: task.id) == by_id
    found = [(task.kind, task.payload, task.key, list(task.headers)) for task in by_id]
    kinds = ["record", "invoice", "record", "record", "record", "record"]
    for kind, (key, value, headers) in zip(kinds, WRITTEN, strict=True):
        text = None if key is None else key.decode(errors="backslashreplace")
        assert (kind, value, text, headers) in found
    [java] = [task for task in by_id if task.kind == "java"]
    assert (java.payload["line"], java.key) == ("Exiting Kafka due to fatal exception", "from-java")


def test_after_a_crash_it_comes_again_as_the_same_task_over_another_client(
    lab: Lab, unique_name: str, tmp_path: Path
) -> None:
    file = tmp_path / "noted"
    with connect(lab, transport="kafka-python") as topics:
        topic = topics.create(unique_name, partitions=1)
        with closing(kafka.KafkaProducer(bootstrap_servers=lab.bootstrap_servers)) as client:
            value = json.dumps({"file": str(file)}).encode()
            client.send(topic.full_name, key=b"k", value=value, headers=[("trace", b"\xff")]).get(60)
        how = {
            "group": unique_name,
            "handler": handlers.note,
            "membership": Membership(processes=True),
            "settings": SETTINGS,
        }
        with WorkerGroup(topic, **how) as group:
            wait_until(lambda: file.exists() and file.stat().st_size, timeout=60, what="the task was to begin")
            group.kill("worker-1")
    with connect(lab, transport="confluent-kafka") as topics, WorkerGroup(topics.get(unique_name), **how) as group:
        assert set(group.drain(timeout=120)["outcome"]) == {"done"}
    before, after = (decode(line, type=Task) for line in file.read_bytes().splitlines())
    assert before == after
    assert (after.payload, after.key, after.headers) == ({"file": str(file)}, "k", (("trace", b"\xff"),))
