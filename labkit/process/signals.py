"""Signals: acted upon on a thread, since what they interrupt may hold the lock that is needed; or held back."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

#: What asks a program to end.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: The exit status of a command that Ctrl-C has cut short, as shells have it.
INTERRUPTED = 128 + signal.SIGINT

log = logging.getLogger("labkit.process")


def have_usual_effects(numbers: tuple[signal.Signals, ...]) -> None:
    """At the beginning of a process: block no signal, and ignore none of these.

    Both it may have from the thread or the shell that has started it. Where SIGCHLD is ignored, the system tells nobody
    with which status a child has ended.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in numbers:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def ending_signals() -> tuple[signal.Signals, ...]:
    """What asks this program to end: without SIGHUP where that is ignored, for nohup has it so on purpose."""
    is_under_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return tuple(number for number in ENDING if not is_under_nohup or number != signal.SIGHUP)


def signal_name(number: int) -> str:
    """What the signal is called; its number where it has no name, as most of those for real time."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def have_effect_in_copy(number: int, former: object = signal.SIG_DFL) -> None:
    """In a process that was forked, as by a handler's `multiprocessing`: the signal has its former effect.

    The copy has its parent's handlers of signals and what they write to, and it is the copy alone that is meant.
    """
    signal.signal(number, signal.SIG_DFL if former is None else former)  # type: ignore[arg-type]
    signal.raise_signal(number)


@contextmanager
def on_signals(
    numbers: tuple[signal.Signals, ...],
    call: Callable[[signal.Signals], object],
    *,
    once: tuple[signal.Signals, ...] = (),
) -> Iterator[None]:
    """Inside, `call` is called with each of these signals that comes, on one thread, one after the other.

    Those in `once` have their former effect again from their second time on. Only the main thread may use it. What
    `call` raises is logged, and the next signal is waited for.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    owner = os.getpid()

    def note(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner:
            have_effect_in_copy(number, before[signal.Signals(number)])
            return
        with suppress(BlockingIOError):  # there are more than enough in the pipe
            os.write(writer, bytes([number]))
        if number in once:
            signal.signal(number, before[signal.Signals(number)])

    def act() -> None:
        while number := os.read(reader, 1):
            try:
                call(signal.Signals(number[0]))
            except Exception:
                log.exception("%s could not be acted upon", signal.Signals(number[0]).name)
        os.close(reader)

    before = {number: signal.getsignal(number) for number in numbers}
    threading.Thread(target=act, name="labkit-signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)


@contextmanager
def held_back(numbers: tuple[signal.Signals, ...] = ENDING) -> Iterator[None]:
    """Inside, these signals have no effect; what has come meanwhile, as a second Ctrl-C, has its effect afterwards.

    Threads other than the main one are interrupted by no signal anyway: for them it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    came: list[int] = []
    theirs = [number for number, handler in before.items() if handler not in (None, signal.SIG_IGN)]
    for number in theirs:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number in theirs:
            signal.signal(number, before[number])
        with ExitStack() as stack:  # each of them, also where the effect of another is an error
            for came_number in sorted(set(came)):
                stack.callback(signal.raise_signal, came_number)
