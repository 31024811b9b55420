"""What is made once for all labs: a formatted folder to copy, and the AOT cache that halves Kafka's start.

Both stand in a folder of the user's cache that is named after all they depend on. A folder appears whole or not at
all; one that is damaged is set aside, and the next start makes it anew. For the AOT cache, Kafka runs once and does
what it will do later, and Java keeps what it loaded and linked (JEP 483 and JEP 514). The cache holds for one build of
Java, one class path and one set of options.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from shutil import copytree
from typing import Any, Self

from labkit.errors import ServerFailed
from labkit.lab.folders import cache_folder, check_space, make_folder
from labkit.lab.jar_lock import file_sha256
from labkit.lab.jars import kafka_jars, kafka_version
from labkit.lab.kafka_server import (
    CONFIG_VERSION,
    HOST,
    Java,
    class_path,
    find_java,
    format_command,
    java_options,
    kafka_command,
    server_properties,
)
from labkit.lab.probe import free_ports, wait_for_kafka
from labkit.lab.supervisor import ServerCommand, Supervisor, launch
from labkit.settings import Settings, environment_for_java

logger = logging.getLogger(__name__)

#: Every lab is a cluster of its own on this machine's loopback address, so they may share an id.
CLUSTER_ID = "labkit-labkit-labkit-A"

#: Room for the caches while they are made, in bytes.
ROOM = 300_000_000

#: A cache that no start has used for so long is deleted when another one is made, in seconds.
KEEP_UNUSED = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Kafka:
    """Everything that a Kafka server is started from. `aot` is None where Java cannot use a cache."""

    java: Java
    jars: list[Path]
    template: Path
    aot: Path | None

    @property
    def version(self) -> str:
        """The version of Kafka."""
        return kafka_version(self.jars)

    def without_aot(self) -> Self:
        """The same, to be started without the AOT cache."""
        return replace(self, aot=None)


def prepare_kafka(settings: Settings) -> Kafka:
    """Find or make all that a start needs.

    Raises `JavaNotFound`, `DownloadError`, `DiskFull`, or `ServerFailed` if Kafka's storage tool fails.
    """
    java = find_java(settings)
    jars = kafka_jars(settings)
    made = made_folder(settings, java, jars)
    if not _is_whole(made):
        _make(made, java, jars)
    else:
        os.utime(made)
    return Kafka(java, jars, made / "template", _usable_aot(made))


def made_folder(settings: Settings, java: Java, jars: Sequence[Path]) -> Path:
    """Where the template and the AOT cache for this Java and these jars are kept."""
    files = [f"{jar} {jar.stat().st_size} {jar.stat().st_mtime_ns}" for jar in jars]
    parts = [str(CONFIG_VERSION), str(java.home), java.release, *java_options(java), *files]
    key = sha256("\0".join(parts).encode()).hexdigest()[:16]
    return cache_folder(settings) / f"made-{key}"


def discard_aot(aot: Path) -> None:
    """Delete a cache that Java could not use; the next start makes it anew."""
    shutil.rmtree(aot.parent, ignore_errors=True)


def aot_is_intact(made: Path) -> bool | None:
    """Has the AOT cache the content that it was made with? None if there is none by design."""
    note = read_note(made)
    if note is None or note["aot"] is None:
        return None
    try:
        return bool(file_sha256(made / "aot") == note["aot"]["sha256"])
    except FileNotFoundError:
        return False


def _is_whole(made: Path) -> bool:
    return (made / "template" / "meta.properties").exists() and read_note(made) is not None


def _usable_aot(made: Path) -> Path | None:
    note = read_note(made)
    return None if note is None or note["aot"] is None else made / "aot"


def read_note(made: Path) -> dict[str, Any] | None:
    """What is noted about the caches in this folder; None if they are not complete."""
    try:
        note = json.loads((made / "note.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return note if isinstance(note, dict) and "aot" in note else None


def _make(made: Path, java: Java, jars: Sequence[Path]) -> None:
    from labkit.lab.cache_lock import cache_lock  # seldom needed, and a start is waited for

    make_folder(made.parent)
    check_space(made.parent, ROOM)
    alone = cache_lock(made.parent / "made.lock", "preparing Kafka")
    with alone, _status_line("Preparing Kafka for quick starts, once (about 15 s)"):
        if _is_whole(made):
            return  # another start has made it while this one waited
        part = made.with_suffix(".part")
        for folder in (part, made):
            shutil.rmtree(folder, ignore_errors=True)
        part.mkdir()
        _format(java, jars, part / "template")
        _write_note(part, _try_to_train(java, jars, part))
        part.replace(made)
        _delete_unused(made)


def _format(java: Java, jars: Sequence[Path], template: Path) -> None:
    properties = template.with_name("format.properties")
    text = server_properties(data=Path(template.name), port=9092, controller_port=9093)
    properties.write_text(text, encoding="utf-8")
    command = format_command(java, jars, properties=properties, cluster_id=CLUSTER_ID, logs=template.parent)
    done = subprocess.run(
        command, cwd=template.parent, env=environment_for_java(), capture_output=True, text=True, check=False
    )
    if done.returncode or not (template / "meta.properties").exists():  # no status is known where SIGCHLD is ignored
        raise ServerFailed(f"Kafka could not format its storage: {(done.stderr or done.stdout).strip()[-500:]}")


def _try_to_train(java: Java, jars: Sequence[Path], part: Path) -> Path | None:
    if java.major < OLDEST_WITH_CACHE:
        return None
    folder = part / "training"
    folder.mkdir()
    try:
        return train(java, jars, part / "template", folder).rename(part / "aot")
    except ServerFailed as failure:
        logger.warning("Kafka will start without an AOT cache, in about 3 s instead of 1 s: %s", failure)
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_note(part: Path, aot: Path | None) -> None:
    entry = None if aot is None else {"sha256": file_sha256(aot)}
    (part / "note.json").write_text(json.dumps({"aot": entry}) + "\n", encoding="utf-8")


def _delete_unused(newest: Path) -> None:
    for folder in newest.parent.glob("made-*"):
        if folder != newest and time.time() - folder.stat().st_mtime > KEEP_UNUSED:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _status_line(what: str) -> Iterator[None]:
    from rich.console import Console

    logger.info(what)
    with Console(stderr=True).status(what):
        yield


#: Java can write a cache in the format used here from this version on.
OLDEST_WITH_CACHE = 25

#: How long each of the steps may take, in seconds.
DEADLINE = 120.0

#: How many records the training run produces and consumes.
RECORDS = 2000


def train(java: Java, jars: Sequence[Path], template: Path, folder: Path) -> Path:
    """Make an AOT cache in the empty folder and return its path.

    Everything runs under supervisors, so nothing is left running if this process is killed. Raises `ServerFailed`.
    """
    recording, cache = folder / "recording", folder / "aot"
    _record(java, jars, template, folder, recording)
    if not recording.exists():
        raise ServerFailed("Java recorded nothing.")
    options = [*java_options(java), "-XX:AOTMode=create", f"-XX:AOTConfiguration={recording}", f"-XX:AOTCache={cache}"]
    _run_once(folder, "create", [str(java.program), *options, "-cp", class_path(jars)])
    recording.unlink()
    if not cache.exists():
        raise ServerFailed("Java made no cache.")
    return cache


def _record(java: Java, jars: Sequence[Path], template: Path, folder: Path, recording: Path) -> None:
    data, properties = folder / "kafka", folder / "server.properties"
    copytree(template, data)
    port, controller_port = free_ports(2)
    text = server_properties(data=Path(data.name), port=port, controller_port=controller_port)
    properties.write_text(text, encoding="utf-8")
    record = ["-XX:AOTMode=record", f"-XX:AOTConfiguration={recording}"]
    supervisor = _launch(
        folder,
        "record",
        kafka_command(java, jars, properties=properties, logs=folder, temporary=folder, extra_options=record),
        grace=DEADLINE,
    )
    try:
        kafka = supervisor.servers["record"]
        wait_for_kafka({port: kafka}, alive=kafka.alive, timeout=DEADLINE)
        _train(port)
    except BaseException:
        supervisor.stop(at_once=True)
        raise
    supervisor.stop()


def _run_once(folder: Path, name: str, argv: list[str]) -> None:
    supervisor = _launch(folder, name, argv, grace=0.0)
    try:
        supervisor.servers[name].wait(DEADLINE)
    finally:
        supervisor.stop()


def _launch(folder: Path, name: str, argv: list[str], *, grace: float) -> Supervisor:
    server = ServerCommand(
        name=name,
        argv=argv,
        folder=folder,
        output=folder / f"{name}.out",
        grace=grace,
        environment=environment_for_java(),
    )
    return launch([server], exits=folder / "exits.jsonl", log=folder / "supervisor.log")


def _train(port: int) -> None:
    from confluent_kafka import KafkaException

    try:
        _exercise(port)
    except (KafkaException, TimeoutError) as error:
        raise ServerFailed(f"Kafka did not do the work of the training run: {error!r}.") from error


def _exercise(port: int) -> None:
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
