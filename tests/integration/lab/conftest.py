"""Labs with data folders of their own, which are stopped whatever a test does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from labkit.lab import lifecycle
from labkit.lab.folders import LabFolders, data_folder, named_lab
from labkit.settings import Settings, environment_with
from tests.ports import own_ports


@pytest.fixture
def own_settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings whose labs keep their data in this test's folder; whatever still runs there at the end is stopped.

    The folder's name has what names of folders have: a space, letters that are not ASCII, signs that URLs use, and a
    comma and a colon, by which Kafka and Java separate folders.
    """
    settings = Settings(data_dir=tmp_path / "Jürgens, 100% a=b c:d Übungen 😀", port=own_ports(1)[0])
    yield settings
    labs = data_folder(settings) / "labs"
    for folder in labs.iterdir() if labs.exists() else ():
        lifecycle.stop(folder.name, LabFolders(folder))


@pytest.fixture
def folders(own_settings: Settings) -> LabFolders:
    """The folders of the lab that a test starts."""
    return named_lab(own_settings, own_settings.lab)


@pytest.fixture
def in_another_process(own_settings: Settings) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Runs Python code in a process of its own with the settings of this test; it is killed at the end."""
    environment = environment_with(data_dir=own_settings.data_dir, port=own_settings.port)
    started: list[subprocess.Popen[str]] = []

    def run(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def said_by_labkit(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What labkit itself has logged; on a busy computer client libraries say how busy it is."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("labkit.")]


def produce(bootstrap_servers: str, topic: str, *values: str) -> None:
    """Create the topic if need be and produce to its one partition, each value acknowledged by `all`."""
    config = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
    admin = AdminClient(config)
    if topic not in admin.list_topics(timeout=120).topics:
        admin.create_topics([NewTopic(topic, 1)])[topic].result(60)
    failed: list[object] = []
    producer = Producer({**config, "acks": "all"})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(120) == 0
    assert failed == []


def consume(bootstrap_servers: str, topic: str, count: int) -> list[str]:
    """The first records of the topic's one partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "none", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        records = consumer.consume(count, timeout=120)
        return [record.value().decode() for record in records]
    finally:
        consumer.close()


def pid_exists(pid: int) -> bool:
    """Is there such a process?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
