"""The store lets go of every connection to its database, whatever happens while another thread has one."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import event

from labkit.jobs.store import Store, TopicId

TOPIC = TopicId("jobs", "an id")


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
