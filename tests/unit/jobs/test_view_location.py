"""Where the view of a topic is kept, and for how long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.jobs import open_view
from labkit.lab.connection import Connection
from labkit.settings import Settings
from labkit.taskqueue import Topic
from labkit.taskqueue.namespace import new_namespace


@pytest.fixture
def lab(tmp_path: Path) -> SimpleNamespace:
    return SimpleNamespace(data_folder=tmp_path / "lab", connection=Connection(bootstrap_servers="127.0.0.1:9092"))


def ended_program() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def test_views_of_what_a_program_had_alone_do_not_outlive_it(topic: Topic, lab: SimpleNamespace) -> None:
    mine, folder = new_namespace(), lab.data_folder / "jobs"
    theirs = mine.replace(f".{os.getpid()}.", f".{ended_program()}.")
    elsewhere = f"own.{'0' * 8}{theirs.removeprefix('own.')[8:]}"  # where the same number may be a program that runs
    kept = {f"{name}job-status.sqlite" for name in (mine, elsewhere, "class.", "owner.")}
    gone = {f"{theirs}job-status.sqlite{end}" for end in ("", "-wal", "-shm", "-following.lock", "-making.lock")}
    folder.mkdir(parents=True)
    for name in kept | gone:
        (folder / name).touch()
    with open_view(topic, lab, settings=Settings()):
        left = {file.name for file in folder.iterdir()}
    assert kept <= left
    assert not gone & left


def test_a_store_of_the_users_own_is_taken_as_it_is(topic: Topic, lab: SimpleNamespace, url: str) -> None:
    with open_view(topic, lab, settings=Settings(jobs_url=url)) as view:
        view.catch_up()
    assert not lab.data_folder.exists()
