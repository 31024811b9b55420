"""A disk that fills up while Kafka writes: it is recognised, said, and after freeing space nothing is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from confluent_kafka import Producer

from labkit.errors import DiskFull
from labkit.lab import lifecycle
from labkit.lab.condition import wait_for
from labkit.lab.folders import named_lab
from labkit.lab.lab_status import look
from labkit.settings import Settings
from tests.integration.lab.conftest import consume, produce
from tests.ports import own_ports


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 150 MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=150m", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"only root on Linux can make a small disk: {error}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_is_explained_and_nothing_acknowledged_is_lost(small_disk: Path) -> None:
    settings = Settings(data_dir=small_disk, port=own_ports(1)[0])
    folders = named_lab(settings, "default")
    state, _ = lifecycle.up("default", folders, settings)
    try:
        address = f"127.0.0.1:{state.port}"
        produce(address, "kept", "a record")
        fill(small_disk / "filling")
        producer = Producer({"bootstrap.servers": address, "log_level": 0, "message.timeout.ms": 5000})
        producer.produce("kept", b"x" * 500_000)
        assert wait_for(lambda: bool(producer.poll(0)) or not state.running(), 60)
        assert wait_for(lambda: not state.running(), 60), "Kafka ends when it cannot write"
        assert "disk is full" in (look("default", settings).problem or "")
        with pytest.raises(DiskFull, match="MB left; 100 MB are needed"):
            lifecycle.up("default", folders, settings)

        (small_disk / "filling").unlink()
        again, _ = lifecycle.up("default", folders, settings)
        assert consume(f"127.0.0.1:{again.port}", "kept", 1) == ["a record"]
    finally:
        lifecycle.stop("default", folders)


def fill(path: Path) -> None:
    """Write until the disk refuses."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left on device"):
        _write_for_ever(file)


def _write_for_ever(file: IO[bytes]) -> None:
    while True:
        file.write(bytes(100_000))
