"""Brokers are handed out once, in a bounded number, as far as there is memory; those that fail are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from labkit.errors import BrokerFailed, ServerFailed
from labkit.grading import broker_pool
from labkit.grading.broker_pool import MEMORY, BrokerPool
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE


class FakeLab:
    """A lab without servers; `failures` are raised by the next ones, `made` are those there are."""

    failures: ClassVar[list[Exception]] = []
    made: ClassVar[list[FakeLab]] = []

    def __init__(self, **_: object) -> None:
        if self.failures:
            raise self.failures.pop()
        self.made.append(self)
        self.brokers: dict[int, int | None] = {1: len(self.made)}
        self.bootstrap_servers = f"127.0.0.1:{9000 + len(self.made)}"
        self.data_folder = Path("/nonexistent")

    def close(self) -> None:
        self.brokers[1] = None


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeLab]]:
    monkeypatch.setattr(broker_pool, "Lab", FakeLab)
    FakeLab.failures, FakeLab.made = [], []
    yield FakeLab
    assert [lab for lab in FakeLab.made if lab.brokers[1] is not None] == []


def wait_for_made(count: int) -> None:
    wait_until(lambda: len(FakeLab.made) >= count, timeout=PATIENCE, what=f"{count} labs")


def test_one_is_ready_ahead_and_none_is_given_out_twice() -> None:
    with BrokerPool(most=3) as pool:
        wait_for_made(1)
        first = pool.take(PATIENCE)
        wait_for_made(2)
        second = pool.take(PATIENCE)
        assert first.port != second.port
        first.close()
        first.close()
        assert pool.take(PATIENCE).port not in (first.port, second.port)


def test_no_more_than_so_many_are_there_at_one_time() -> None:
    with BrokerPool(most=1) as pool:
        with pool.take(PATIENCE) as broker, pytest.raises(BrokerFailed, match=r"within 0\.5 s"):
            pool.take(0.5)
        assert len(FakeLab.made) == 1
        assert pool.take(PATIENCE).port != broker.port


def test_a_further_one_waits_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = [10 * MEMORY]
    monkeypatch.setattr(broker_pool, "_free_memory", lambda: free[0])
    with BrokerPool(most=2, ahead=0) as pool, pool.take(PATIENCE):
        free[0] = 0
        with pytest.raises(BrokerFailed, match="No broker was free"):
            pool.take(0.5)
        free[0] = 10 * MEMORY
        pool.take(PATIENCE)


def test_without_memory_for_the_only_one_this_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_pool, "_free_memory", lambda: 0)
    with BrokerPool() as pool, pytest.raises(BrokerFailed, match="0 MiB of memory left"):
        pool.take(PATIENCE)


@pytest.mark.parametrize("failure", [ServerFailed("Kafka ended."), RuntimeError("something else")])
def test_a_start_that_fails_is_told_and_the_next_one_is_tried(failure: Exception) -> None:
    with BrokerPool(ahead=0) as pool:
        FakeLab.failures = [failure]
        with pytest.raises(BrokerFailed, match=f"No broker could be started for the submission: {failure}") as caught:
            pool.take(PATIENCE)
        assert caught.value.__cause__ is failure
        pool.take(PATIENCE)


def test_one_that_ends_by_itself_is_no_fault_of_the_submission() -> None:
    with BrokerPool() as pool, pool.take(PATIENCE) as broker:
        assert broker.used_up() is None
        FakeLab.made[0].close()
        with pytest.raises(BrokerFailed, match="Grade it again"):
            broker.used_up()


def test_one_that_cannot_be_ended_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(lab: FakeLab) -> None:
        end(lab)
        raise ServerFailed("It does not end.")

    end = FakeLab.close
    pool = BrokerPool(most=3, ahead=1).start()
    pool.take(PATIENCE), pool.take(PATIENCE)
    wait_for_made(3)
    monkeypatch.setattr(FakeLab, "close", fail)
    with pytest.raises(ServerFailed):
        pool.close()


def test_closing_ends_those_that_are_given_out_and_gives_out_no_more() -> None:
    pool = BrokerPool().start()
    broker = pool.take(PATIENCE)
    pool.close()
    pool.close()
    assert broker.pid is None
    with pytest.raises(BrokerFailed, match="closed"):
        pool.take(PATIENCE)
    BrokerPool().close()  # never begun
