"""The tables of a gradebook: all or none, whoever is killed while it makes them, and however many make them at once."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from alembic.script import ScriptDirectory
from nbgrader.api import Base
from nbgrader.dbutil import ALEMBIC_DIR
from sqlalchemy import create_engine

from labkit.grading.course.course_gradebook import _make_tables
from tests.conditions import PATIENCE

TABLES = {table.name for table in Base.metadata.sorted_tables} | {"alembic_version"}

#: Kills itself when so many tables are made.
KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from labkit.grading.course.course_gradebook import _make_tables

left = int(sys.argv[2])

@event.listens_for(Engine, "after_cursor_execute")
def count(connection, cursor, statement, *_):
    global left
    left -= statement.lstrip().startswith("CREATE TABLE")
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

_make_tables(sys.argv[1])
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gradebook.db"


def tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def versions(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [version for (version,) in connection.execute("SELECT version_num FROM alembic_version")]


def is_whole(file: Path) -> bool:
    return tables(file) == TABLES and versions(file) == [ScriptDirectory(ALEMBIC_DIR).get_current_head()]


@pytest.mark.parametrize(
    "made", [len(TABLES) // 2, *(pytest.param(n, marks=pytest.mark.long) for n in (1, len(TABLES)))]
)
def test_one_that_is_killed_in_the_middle_leaves_none(file: Path, made: int) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, f"sqlite:///{file}", str(made)], timeout=PATIENCE, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert tables(file) == set()
    _make_tables(f"sqlite:///{file}")
    assert is_whole(file)


@pytest.mark.parametrize("made", [1, len(TABLES) // 2, len(TABLES) - 1])
def test_one_that_was_left_half_made_is_finished(file: Path, made: int) -> None:
    engine = create_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine, tables=Base.metadata.sorted_tables[:made])
    engine.dispose()
    for _ in range(2):
        _make_tables(f"sqlite:///{file}")
        assert is_whole(file)


def test_one_without_its_version_is_finished(file: Path) -> None:
    _make_tables(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM alembic_version")
    _make_tables(f"sqlite:///{file}")
    assert is_whole(file)


def test_that_of_an_old_nbgrader_is_left_alone(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE assignment (id VARCHAR(32) NOT NULL, name VARCHAR(128))")
    _make_tables(f"sqlite:///{file}")
    assert tables(file) == {"assignment"}


def test_several_make_them_at_once(file: Path) -> None:
    barrier = Barrier(4)

    def make(_: int) -> None:
        barrier.wait(PATIENCE)
        _make_tables(f"sqlite:///{file}")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(make, range(4))) == [None] * 4
    assert is_whole(file)
