"""The first start on a machine: caches are made, also after a first try that was killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from labkit.lab import Lab
from labkit.lab.aot_cache import prepare_kafka, read_note
from labkit.lab.condition import wait_for
from labkit.lab.jars import jar_folder, kafka_jars
from labkit.lab.process_id import process_id
from labkit.settings import Settings, environment_with

PREPARE = (
    "from labkit.settings import Settings; from labkit.lab.aot_cache import prepare_kafka; prepare_kafka(Settings())"
)


@pytest.mark.long
def test_a_first_start_makes_the_caches_even_after_one_that_was_killed(tmp_path: Path) -> None:
    tmp_path /= "a=b"
    settings = Settings(cache_dir=tmp_path)
    kafka_jars(Settings())
    shutil.copytree(jar_folder(Settings()), jar_folder(settings))

    killed = subprocess.Popen([sys.executable, "-c", PREPARE], env=environment_with(cache_dir=tmp_path))
    assert wait_for(lambda: bool(list(tmp_path.glob("made-*.part/training/server.log"))), 60)
    family = [process_id(child.pid) for child in psutil.Process(killed.pid).children(recursive=True)]
    assert len([member for member in family if member is not None]) >= 2, "a supervisor and Kafka"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert wait_for(lambda: not any(member is not None and member.alive() for member in family), 60)
    assert not [folder for folder in tmp_path.glob("made-*") if folder.suffix != ".part" and folder.is_dir()]

    with Lab(settings=settings) as lab:
        assert lab.kafka_pid is not None
        command = psutil.Process(lab.kafka_pid).cmdline()
    kafka = prepare_kafka(settings)
    assert f"-XX:AOTCache={kafka.aot}" in command
    assert read_note(kafka.template.parent) is not None
    assert [path.name for path in tmp_path.glob("*.part")] == []
