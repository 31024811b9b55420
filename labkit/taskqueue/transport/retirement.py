"""Clients that are given up: who has records in one waits until it has refused them, unless it waits for him."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from labkit.errors import DeadlineExceeded
from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.transport.library_logs import LOGGER


class _Here(threading.local):
    is_called_back = False


_here = _Here()


def call_back(function: Callable[..., object], *arguments: object) -> None:
    """Call what a user wants to be called by a client, whose close may wait for its end: no close is waited for."""
    outer = _here.is_called_back
    _here.is_called_back = True
    try:
        function(*arguments)
    finally:
        _here.is_called_back = outer


class Retirement:
    """The clients of one producer that are being closed. No lock is held meanwhile: a close calls back."""

    def __init__(self) -> None:
        self._under_way: list[threading.Event] = []

    def announce(self) -> threading.Event:
        """One more will be closed. Call this before the client is out of use, so that nobody misses it."""
        closed = threading.Event()
        self._under_way.append(closed)
        return closed

    def close(self, closed: threading.Event, close: Callable[[], object]) -> None:
        """Close the client that was announced by this event; in a callback, for which it may wait, on another thread.

        Raises what `close` does, which is logged where it is on another thread.
        """
        if _here.is_called_back:
            aside = threading.Thread(
                target=self._close_aside, args=(closed, close), name="labkit-retirement", daemon=True
            )
            aside.start()
        else:
            self._close(closed, close)

    def wait(self, timeout: float) -> None:
        """Return when those are closed that are being closed now, and at once in a callback.

        Raises `DeadlineExceeded` after `timeout` seconds.
        """
        if _here.is_called_back:
            return
        deadline = time.monotonic() + timeout
        for closed in self._under_way.copy():
            if not closed.wait(left_until(deadline)):
                raise DeadlineExceeded(
                    f"Waited {timeout:g} s in vain for a client that was given up to close. "
                    "Kafka may be away (`labkit status`); wait once more."
                )

    def _close(self, closed: threading.Event, close: Callable[[], object]) -> None:
        try:
            call_back(close)
        finally:
            closed.set()
            self._under_way.remove(closed)

    def _close_aside(self, closed: threading.Event, close: Callable[[], object]) -> None:
        try:
            self._close(closed, close)
        except Exception:  # noqa: BLE001 - nobody is there to get it
            LOGGER.exception("a client that was given up could not be closed properly")
