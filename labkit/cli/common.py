"""What several commands share: choosing by name, attaching to the lab, stopping cleanly."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import typer

from labkit.errors import LabkitError
from labkit.parameters import did_you_mean
from labkit.process.signals import ending_signals, on_signals

if TYPE_CHECKING:
    from labkit.logs import Component
    from labkit.taskqueue import Producer, Task, Topics

T = TypeVar("T")

#: After how many seconds it is said what a command waits for.
WORD_AFTER = 2.0
#: The descriptors of standard input, output and error.
_STANDARD = (0, 1, 2)
#: What a producer waits for at its end.
_UNDER_WAY = "What is under way waits for the broker to acknowledge it; Ctrl-C gives it up."


def choose(option: str, name: str, choices: Mapping[str, T]) -> T:
    """What stands under this name; a `LabkitError` lists the names there are."""
    if name not in choices:
        meant = did_you_mean(name, choices)
        raise LabkitError(f"There is no --{option} {name!r}; choose one of {', '.join(choices)}.{meant}")
    return choices[name]


def confirm(question: str) -> None:
    """Go on only after a yes; raises `typer.Abort` after a no, and `LabkitError` where nobody is there to answer."""
    try:
        if sys.stdin is None:  # it was closed
            raise EOFError
        typer.confirm(question, abort=True)
    except (typer.Abort, EOFError) as error:
        ended = isinstance(error, EOFError) or isinstance(error.__context__, EOFError)
        if not ended or (sys.stdin is not None and sys.stdin.isatty()):
            raise
        print(flush=True)  # the question's line
        raise LabkitError(
            f"Nobody is there to answer, and nothing is done: {question} --yes says that it is meant."
        ) from None


def say_all(sentences: Iterable[str]) -> None:
    """Say each of them on stderr, before anything is begun."""
    for sentence in sentences:
        print(f"labkit: {sentence}", file=sys.stderr, flush=True)


def start_logging(component: Component) -> None:
    """Put the component's logging configuration in force; its files go to `logs` in the results folder."""
    from labkit.logs import configure
    from labkit.settings import load_settings

    settings = load_settings()
    configure(component, settings, settings.results_dir / "logs")


@contextmanager
def attached_topics() -> Iterator[Topics]:
    """The topics of the lab that is running; raises `LabNotRunning`."""
    from labkit.lab import attach_lab
    from labkit.taskqueue import connect

    with attach_lab() as lab, connect(lab) as topics:
        yield topics


def send_on_schedule(
    producer: Producer, tasks: Iterable[Task], moments: Iterator[float], stop: threading.Event
) -> None:
    """Send until the tasks end or `stop` is set; return when what is under way is acknowledged or refused."""
    producer.submit_on_schedule(tasks, moments, stop=stop)
    with _word_of_wait(_UNDER_WAY):
        producer.flush()


@contextmanager
def _word_of_wait(sentence: str) -> Iterator[None]:
    """Say on stderr why it takes so long, once it has."""
    timer = threading.Timer(WORD_AFTER, lambda: print(f"labkit: {sentence}", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set, so that work ends cleanly; a second SIGINT interrupts what waits.

    SIGHUP comes when the terminal is closed; what nohup has ignore it goes on. What is said to that terminal then goes
    nowhere, for there it would be an error.
    """
    stop = threading.Event()
    terminals = [number for number in _STANDARD if os.isatty(number)]

    def end(number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            _lead_nowhere(terminals)
        stop.set()

    # an event has a lock, which whatever a signal interrupts may hold
    with on_signals(ending_signals(), end, once=(signal.SIGINT,)):
        yield stop


def _lead_nowhere(numbers: Iterable[int]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in numbers:
        os.dup2(nowhere, number)
    os.close(nowhere)
