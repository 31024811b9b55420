"""Whether the computer was calm while something was measured, on a clock that the test holds."""

from __future__ import annotations

import pytest

from labkit.measure.idle_processors import CALM, STILL, IdleProcessors, idle_seconds
from labkit.taskqueue.timeouts import wait_until
from tests.refused_threads import refuse_threads

#: So long that its own thread never looks, in seconds: only the last look counts.
INTERVAL = 3600.0


class Computer:
    """Its clock stands until somebody works or idles on it."""

    def __init__(self) -> None:
        self.now = self.idle = 0.0

    def passes(self, seconds: float, *, idle: float) -> None:
        self.now += seconds
        self.idle += idle


def watch(computer: Computer) -> IdleProcessors:
    return IdleProcessors(interval=INTERVAL, idle=lambda: computer.idle, clock=lambda: computer.now)


@pytest.mark.parametrize(("idle", "calm"), [(0.0, False), (CALM * 0.9, False), (CALM * 1.1, True), (7.5, True)])
def test_a_computer_is_calm_when_processors_were_idle(idle: float, calm: bool) -> None:
    computer = Computer()
    with watch(computer) as processors:
        computer.passes(20.0, idle=20.0 * idle)
    assert processors.seen == [pytest.approx(idle)]
    assert processors.calm is calm


def test_one_busy_interval_is_enough() -> None:
    computer = Computer()
    with watch(computer) as processors:
        for idle in (1.0, 0.0, 1.0):
            computer.passes(1.0, idle=idle)
            processors._look()
    assert processors.seen == [1.0, 0.0, 1.0]
    assert not processors.calm


@pytest.mark.parametrize(("still", "calm"), [(STILL * 0.9, True), (STILL * 1.1, False)])
def test_who_stood_still_has_not_measured_in_calm_however_idle_the_processors_were(still: float, calm: bool) -> None:
    computer = Computer()
    with watch(computer) as processors:
        computer.passes(still * INTERVAL, idle=still * INTERVAL)
    assert processors.seen == [1.0]
    assert processors.calm is calm


def test_before_the_first_look_nothing_is_known() -> None:
    assert not watch(Computer()).calm


def test_a_run_without_any_duration_is_no_error() -> None:
    with watch(Computer()) as processors:
        pass
    assert not processors.calm


def test_it_looks_by_itself() -> None:
    with IdleProcessors(interval=0.01) as processors:
        wait_until(lambda: len(processors.seen) >= 3, timeout=60, what="it was to look three times")
    assert idle_seconds() >= 0


def test_one_that_could_not_begin_says_why(monkeypatch) -> None:
    refuse_threads(monkeypatch, "idle-processors")
    with pytest.raises(RuntimeError, match="can't start new thread"), watch(Computer()):
        pytest.fail("it looks")
