"""Making Java's AOT cache: Kafka runs once and does what it will do later, and Java keeps what it loaded and linked.

See JEP 483 and JEP 514. The cache holds for one build of Java, one class path and one set of options.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

from labkit.errors import ServerFailed
from labkit.lab.java import Java
from labkit.lab.kafka_server import HOST, class_path, java_options, kafka_command, server_properties
from labkit.lab.keeping import Keeping, ServerCommand, launch
from labkit.lab.ports import free_ports
from labkit.lab.probe import wait_for_kafka

#: Java can write a cache in the format used here from this version on.
OLDEST_WITH_CACHE = 25

#: How long each of the steps may take, in seconds.
DEADLINE = 120.0

#: How many records the training run produces and consumes.
RECORDS = 2000


def train(java: Java, jars: Sequence[Path], template: Path, folder: Path) -> Path:
    """Make an AOT cache in the empty folder and return its path.

    Everything runs under keepers, so nothing is left running if this process is killed. Raises `ServerFailed`.
    """
    recording, cache = folder / "recording", folder / "aot"
    _record(java, jars, template, folder, recording)
    if not recording.exists():
        raise ServerFailed("Java recorded nothing.")
    options = [*java_options(java), "-XX:AOTMode=create", f"-XX:AOTConfiguration={recording}", f"-XX:AOTCache={cache}"]
    _run(folder, "create", [str(java.program), *options, "-cp", class_path(jars)])
    recording.unlink()
    if not cache.exists():
        raise ServerFailed("Java made no cache.")
    return cache


def _record(java: Java, jars: Sequence[Path], template: Path, folder: Path, recording: Path) -> None:
    data, properties = folder / "kafka", folder / "server.properties"
    copytree(template, data)
    port, controller_port = free_ports(2)
    properties.write_text(server_properties(data=data, port=port, controller_port=controller_port), encoding="utf-8")
    record = ["-XX:AOTMode=record", f"-XX:AOTConfiguration={recording}"]
    keeping = _launch(
        folder,
        "record",
        kafka_command(java, jars, properties=properties, logs=folder, temporary=folder, extra_options=record),
        grace=DEADLINE,
    )
    try:
        wait_for_kafka(port, alive=keeping.servers["record"].alive, timeout=DEADLINE)
        _work(port)
    except BaseException:
        keeping.stop(at_once=True)
        raise
    keeping.stop()


def _run(folder: Path, name: str, argv: list[str]) -> None:
    keeping = _launch(folder, name, argv, grace=0.0)
    try:
        keeping.servers[name].wait(DEADLINE)
    finally:
        keeping.stop()


def _launch(folder: Path, name: str, argv: list[str], *, grace: float) -> Keeping:
    server = ServerCommand(name=name, argv=argv, folder=folder, output=folder / f"{name}.out", grace=grace)
    return launch([server], exits=folder / "exits.jsonl", log=folder / "keeper.log")


def _work(port: int) -> None:
    """What a lab does in its first minutes: topics, records, a group that shares them."""
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    config: dict[str, Any] = {"bootstrap.servers": f"{HOST}:{port}", "log_level": 0}
    admin = AdminClient(config)
    admin.create_topics([NewTopic("training", 2, 1)])["training"].result(DEADLINE)
    producer = Producer(config)
    for number in range(RECORDS):
        producer.produce("training", b"a record of some length " * 4, key=str(number % 50))
    if producer.flush(DEADLINE):
        raise ServerFailed("Kafka did not acknowledge the records of the training run.")
    consumer = Consumer({**config, "group.id": "training", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe(["training"])
        left = RECORDS
        while left > 0 and (batch := consumer.consume(left, DEADLINE)):
            left -= len(batch)
        consumer.commit(asynchronous=False)
    finally:
        consumer.close()
