"""What several commands share."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterator

import pytest
import typer

from labkit.cli.common import confirm, stop_on_signal
from labkit.errors import LabkitError
from tests.conditions import PATIENCE


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_programs_ends_work_in_order(number: signal.Signals) -> None:
    with stop_on_signal() as stop:
        signal.raise_signal(number)
        assert stop.wait(PATIENCE)


def test_a_closed_terminal_ends_nothing_that_nohup_has_started() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signal():
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_ctrl_c_ends_also_what_a_shell_has_started_in_the_background() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_on_signal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(PATIENCE)


@pytest.mark.parametrize("given", [io.StringIO(""), None], ids=["nothing", "closed"])
def test_where_nobody_can_answer_it_is_said_what_to_give(
    monkeypatch: pytest.MonkeyPatch, given: io.StringIO | None
) -> None:
    monkeypatch.setattr(sys, "stdin", given)
    with pytest.raises(LabkitError, match=r"Nobody is there to answer.*Delete it\? --yes"):
        confirm("Delete it?")


def test_an_answer_may_come_through_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\nn\n"))
    confirm("Delete it?")
    with pytest.raises(typer.Abort):
        confirm("Delete it?")
