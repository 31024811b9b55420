"""The store lets go of every connection to its database, whatever happens while another thread has one.

Whatever keeps it from its files is `StoreFailed`: to those who use it, the store is away.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest
from filelock import FileLock
from sqlalchemy import event

from labkit.errors import StoreFailed
from labkit.jobs.store import Store, TopicId

TOPIC = TopicId("jobs", "an id")
READERS, ROUNDS, PATIENCE = 4, 50, 60.0


@pytest.fixture
def store(url):
    with closing(Store(url)) as store:
        yield store


@pytest.fixture
def opened(store):
    """The connections opened from here on."""
    opened: list[sqlite3.Connection] = []
    event.listen(store._database.engine, "connect", lambda connection, _record: opened.append(connection))
    return opened


def is_closed(connection):
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


def delete_and_ask(store, folder):
    for file in folder.glob("jobs.sqlite*"):
        file.unlink()
    store.counts(TOPIC)


MEANWHILE = {"it is closed": lambda store, _: store.close(), "its file is deleted": delete_and_ask}


@pytest.mark.parametrize("what", MEANWHILE)
def test_a_connection_in_use_is_closed_when_it_is_given_back(what, store, opened, tmp_path):
    with store._reading() as first, store._reading() as second:
        MEANWHILE[what](store, tmp_path)
        assert not first.closed
        assert not second.closed
    store.counts(TOPIC)  # who comes late is answered
    store.close()
    assert opened
    assert all(is_closed(connection) for connection in opened)


def test_when_several_find_the_file_deleted_at_once_no_connection_is_lost(store, opened, tmp_path):
    together = Barrier(READERS)

    def ask_each_time():
        for _ in range(ROUNDS):
            if together.wait(PATIENCE) == 0:
                (tmp_path / "jobs.sqlite").unlink()
            together.wait(PATIENCE)
            store.counts(TOPIC)

    with ThreadPoolExecutor(READERS) as readers:
        for asked in [readers.submit(ask_each_time) for _ in range(READERS)]:
            asked.result()
    store.close()
    assert len(opened) >= ROUNDS
    assert all(is_closed(connection) for connection in opened)


def file_in_the_way(folder):
    folder.rename(folder.with_name("aside"))
    folder.touch()


def link_to_itself(folder):
    folder.rename(folder.with_name("aside"))
    folder.symlink_to(folder)


IN_THE_WAY = {"a file": file_in_the_way, "a link to itself": link_to_itself}
CALLS = {
    "ask": lambda store: store.counts(TOPIC),
    "write": lambda store: store.begin(TOPIC),
    "take the lock": lambda store: store.follow_lock().acquire(),
    "open": lambda store: Store(f"sqlite:///{store.name}"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", IN_THE_WAY)
def test_a_store_whose_folder_is_no_folder_is_away(what, call, tmp_path):
    folder = tmp_path / "stores"
    with closing(Store(f"sqlite:///{folder / 'jobs.sqlite'}")) as store:
        IN_THE_WAY[what](folder)
        with pytest.raises(StoreFailed, match=r"jobs\.sqlite, cannot be used: .*LABKIT_JOBS_URL"):
            CALLS[call](store)


def test_a_store_that_another_makes_without_end_is_away(store, tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.jobs.database.BUSY_TIMEOUT", 0.1)
    with FileLock(f"{store.name}-making.lock"):
        (tmp_path / "jobs.sqlite").unlink()
        with pytest.raises(StoreFailed, match=r"making\.lock"):
            store.counts(TOPIC)
    store.counts(TOPIC)


def test_a_store_without_permission_is_away(store, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")  # as for a folder that may not be searched, which root may

    monkeypatch.setattr("labkit.jobs.database.Path.stat", refuse)
    with pytest.raises(StoreFailed, match="Permission denied"):
        store.counts(TOPIC)
