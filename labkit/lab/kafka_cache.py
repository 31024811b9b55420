"""What is made once for all labs: a formatted folder to copy, and the AOT cache that halves Kafka's start."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from labkit.errors import ServerFailed
from labkit.lab.folders import cache_folder
from labkit.lab.jars import kafka_jars
from labkit.lab.java import Java, find_java
from labkit.lab.kafka_server import CONFIG_VERSION, format_command, java_options, server_properties
from labkit.settings import Settings

CLUSTER_ID = "labkit-lab-of-one-node"[:22]


@dataclass(frozen=True, slots=True)
class Kafka:
    """Everything that a Kafka server is started from."""

    java: Java
    jars: list[Path]
    template: Path
    aot: Path | None


def prepare_kafka(settings: Settings) -> Kafka:
    """Find or make all that a start needs."""
    java = find_java(settings)
    jars = kafka_jars(settings)
    made = cache_folder(settings) / f"made-{_key(java, jars)}"
    template = made / "template"
    if not template.is_dir():
        made.mkdir(parents=True, exist_ok=True)
        with FileLock(made / "lock"):
            if not template.is_dir():
                _make_template(java, jars, template)
    return Kafka(java, jars, template, None)


def _key(java: Java, jars: Sequence[Path]) -> str:
    """A text that changes with everything that the template and the AOT cache depend on."""
    files = [f"{jar} {jar.stat().st_size} {jar.stat().st_mtime_ns}" for jar in jars]
    parts = [str(CONFIG_VERSION), str(java.home), java.release, *java_options(java), *files]
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def _make_template(java: Java, jars: Sequence[Path], template: Path) -> None:
    part = template.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    properties = template.with_suffix(".properties")
    properties.write_text(server_properties(data=part, port=9092, controller_port=9093), encoding="utf-8")
    command = format_command(java, jars, properties=properties, cluster_id=CLUSTER_ID)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerFailed(f"Kafka could not format its storage: {(done.stderr or done.stdout).strip()[-500:]}")
    part.replace(template)
