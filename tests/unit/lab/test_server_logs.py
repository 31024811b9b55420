"""Reading logs: the last lines, and new ones as they come, through a rotation."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from labkit.errors import LabError, LabNotRunning
from labkit.lab.folders import LabFolders
from labkit.lab.server_logs import follow, last_lines


@pytest.fixture
def folders(tmp_path: Path) -> LabFolders:
    folders = LabFolders(tmp_path)
    folders.make()
    return folders


def test_the_last_lines_of_each_file(folders: LabFolders) -> None:
    (folders.logs / "kafka.out").write_text("a warning of Java\n")
    (folders.logs / "server.log").write_text("".join(f"line {number}\n" for number in range(10)))
    assert last_lines(folders, "kafka", 2) == ["a warning of Java", "line 8", "line 9"]


def test_a_lab_that_never_ran(folders: LabFolders) -> None:
    with pytest.raises(LabNotRunning, match="never run"):
        last_lines(folders, "redis", 2)


def test_each_broker_has_a_log_of_its_own(folders: LabFolders) -> None:
    for node in (1, 2, 3):
        own = folders.broker(node)
        own.make()
        (own.kafka / "meta.properties").touch()
        (own.logs / "server.log").write_text(f"said by {node}\n")
    assert last_lines(folders, "kafka", 2) == ["said by 1"]
    assert last_lines(folders, "kafka", 2, broker=3) == ["said by 3"]
    with pytest.raises(LabError, match="has 3 brokers, so there is no log of broker 4"):
        last_lines(folders, "kafka", 2, broker=4)


def test_half_a_line_is_left_for_later(folders: LabFolders) -> None:
    (folders.logs / "redis.log").write_text("whole\nhalf")
    assert last_lines(folders, "redis", 2) == ["whole"]


def test_new_lines_are_followed_through_a_rotation(folders: LabFolders) -> None:
    log = folders.logs / "server.log"
    log.write_text("older\nold\n")
    read: list[str] = []
    first = threading.Event()

    def reader() -> None:
        for line in follow(folders, "kafka", 1):
            read.append(line)
            first.set()
            if line == "last":
                return

    thread = threading.Thread(target=reader, daemon=True)
    thread.start()
    assert first.wait(60)
    with log.open("a") as writer:
        writer.write("half a ")
        writer.flush()
        writer.write("line\n")
    log.rename(folders.logs / "server.log.1")
    log.write_text("in the new file\nlast\n")
    thread.join(60)
    assert not thread.is_alive()
    assert read == ["old", "half a line", "in the new file", "last"]
