"""What `@once` and `once_in` do without a server: names, settings, and the whole of SQLite."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import sys
import threading
from contextlib import closing

import pytest

from labkit.errors import LabNotRunning, RedisUnreachable, SettingsError, Unsupported
from labkit.taskqueue.once import create_once_table, once, once_in
from labkit.taskqueue.task import Task

TASK = Task(id="1", kind="pay")
NOWHERE = "unix:///nowhere/redis.sock"


@once
def plain(task):
    """Pays."""


@once(ttl=60, url=NOWHERE)
def unreachable(task):
    raise AssertionError("without a lease no handler runs")


@once(url=NOWHERE)
async def asynchronous(task):
    raise AssertionError("without a lease no handler runs")


def test_a_decorated_handler_can_still_be_named_and_imported():
    for handler in (plain, unreachable, asynchronous):
        assert getattr(sys.modules[handler.__module__], handler.__qualname__) is handler
    assert plain.__doc__ == "Pays."


def test_an_async_handler_stays_one():
    assert inspect.iscoroutinefunction(asynchronous)
    assert not inspect.iscoroutinefunction(plain)


def test_without_redis_the_handler_is_not_called_and_the_error_says_why():
    with pytest.raises(RedisUnreachable, match=r"/nowhere/redis\.sock"):
        unreachable(TASK)
    with pytest.raises(RedisUnreachable, match="labkit status"):
        asyncio.run(asynchronous(TASK))


def test_without_a_url_it_is_the_redis_of_the_lab(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LABKIT_LAB", "not-running")
    monkeypatch.delenv("LABKIT_REDIS_URL", raising=False)
    monkeypatch.delenv("LABKIT_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(LabNotRunning):
        plain(TASK)


@pytest.mark.parametrize(("lease", "ttl"), [(0, 60), (-1, 60), (5, 1)])
def test_times_that_cannot_be(lease, ttl):
    with pytest.raises(SettingsError, match="lease"):
        once(lease=lease, ttl=ttl)


def test_a_url_that_is_none():
    handler = once(url="localhost")(lambda task: None)
    with pytest.raises(SettingsError, match="'localhost'"):
        handler(TASK)


# --- in the handler's own database


@pytest.fixture
def connect(tmp_path):
    """Opens connections to one SQLite database, which has the table and an account with 0 in it."""
    opened = []

    def connect(**how):
        opened.append(sqlite3.connect(tmp_path / "bank.db", check_same_thread=False, **how))
        return opened[-1]

    with connect() as connection:
        create_once_table(connection)
        connection.execute("CREATE TABLE account (balance INTEGER)")
        connection.execute("INSERT INTO account VALUES (0)")
    yield connect
    for connection in opened:
        connection.close()


def pay(connection, task, *, fail=False, **how):
    with connection:
        if once_in(connection, task, **how):
            connection.execute("UPDATE account SET balance = balance + 10")
        if fail:
            raise OSError("the disk is gone")


def balance(connection):
    return connection.execute("SELECT balance FROM account").fetchone()[0]


def test_two_deliveries_have_one_effect(connect):
    connection = connect()
    pay(connection, TASK)
    pay(connection, TASK)
    assert balance(connect()) == 10


def test_creating_the_table_again_keeps_what_is_in_it(connect):
    pay(connect(), TASK)
    with connect() as connection:
        create_once_table(connection)
        assert not once_in(connection, TASK)


def test_a_handler_that_fails_takes_its_mark_back_with_its_effect(connect):
    connection = connect()
    with pytest.raises(OSError, match="disk"):
        pay(connection, TASK, fail=True)
    assert balance(connect()) == 0
    pay(connection, TASK)
    assert balance(connect()) == 10


def test_a_worker_that_dies_before_the_commit_leaves_neither_mark_nor_effect(connect):
    doomed = connect()
    assert once_in(doomed, TASK)
    doomed.execute("UPDATE account SET balance = balance + 10")
    doomed.close()  # what the end of its process does: no commit
    pay(connect(), TASK)
    assert balance(connect()) == 10


def test_the_second_of_two_deliveries_at_once_waits_for_the_first(connect):
    first, second = connect(), connect(timeout=60)
    waiting, results = threading.Event(), []
    second.set_trace_callback(lambda sql: waiting.set() if sql.startswith("INSERT") else None)

    def deliver_again():
        with second:
            results.append(once_in(second, TASK))

    with first:
        assert once_in(first, TASK)
        other = threading.Thread(target=deliver_again)
        other.start()
        assert waiting.wait(60)
        assert results == []
    other.join(60)
    assert results == [False]


def test_many_deliveries_at_once_have_one_effect(connect):
    start = threading.Barrier(8)

    def deliver():
        with closing(connect(timeout=60)) as connection:
            start.wait(60)
            pay(connection, TASK)

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert balance(connect()) == 10


def test_the_idempotency_key_goes_before_the_id(connect):
    connection = connect()
    pay(connection, Task(id="1", kind="pay", idempotency_key="order-17"))
    pay(connection, Task(id="2", kind="pay", idempotency_key="order-17"))
    assert balance(connection) == 10
    pay(connection, Task(id="order-17", kind="pay"))  # an id that looks like a key is still another task
    pay(connection, Task(id="1", kind="pay"))
    assert balance(connection) == 30


def test_effects_of_different_names_are_each_had_once(connect):
    connection = connect()
    for effect in ("debit", "mail", "debit", "mail"):
        pay(connection, TASK, effect=effect)
    assert balance(connection) == 20


def test_a_connection_that_commits_by_itself_is_refused_and_nothing_is_marked(connect):
    by_itself = connect(isolation_level=None)
    with pytest.raises(Unsupported, match="Begin a transaction"):
        once_in(by_itself, TASK)
    by_itself.execute("BEGIN")
    assert once_in(by_itself, TASK)
    by_itself.execute("ROLLBACK")
    pay(connect(), TASK)
    assert balance(connect()) == 10


if sys.version_info >= (3, 12):  # before, sqlite3 has no attribute autocommit

    def test_the_autocommit_of_newer_pythons_is_seen_too(connect):
        with pytest.raises(Unsupported, match="Begin a transaction"):
            once_in(connect(autocommit=True), TASK)
        assert once_in(connect(autocommit=False), TASK)


def test_a_subclass_of_the_drivers_connection_will_do(connect):
    class Named(sqlite3.Connection):
        pass

    pay(connect(factory=Named), TASK)
    assert balance(connect()) == 10


def test_what_is_no_connection_of_a_known_driver_is_refused(connect):
    class Wrapper:
        def cursor(self):
            return connect().cursor()

    with pytest.raises(Unsupported, match=r"Wrapper.*sqlite3"):
        once_in(Wrapper(), TASK)
