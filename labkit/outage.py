"""An outage: something that everybody needs is away, which is said once, and once more when it is back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from labkit.fork_lock import lock_of_module

# Celery forks its processes while other threads of the worker may just notice an outage.
_LOCK = lock_of_module()

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class Flag(Protocol):
    """Whether something is away; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether it is."""

    def set(self) -> None:
        """It is."""

    def clear(self) -> None:
        """It is not."""


class Outage:
    """What `who` waits for. Safe to use from several threads.

    `what` names what is away: "Redis". `meanwhile` says what becomes of the work until it is back. `flag` is set while
    it is away, so that other processes can look where they share it.
    """

    def __init__(
        self,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
        who: str,
        what: str,
        *,
        meanwhile: str = "nothing is lost",
        flag: Flag | None = None,
    ) -> None:
        self._log = log
        self._who = who
        self._what = what
        self._meanwhile = meanwhile
        self._flag = flag or threading.Event()
        #: how often it began or ended, as far as this process has noticed
        self._turns = 0

    @property
    def on(self) -> bool:
        """Whether it is away, as far as anybody has noticed."""
        return self._flag.is_set()

    @contextmanager
    def asked(self, *away: type[Exception]) -> Iterator[None]:
        """Inside, it is asked for something, by one of several threads; an error of `away` says that it is away.

        An answer to what was asked before the outage began or ended tells nothing of now, and is passed over: the next
        one tells.
        """
        turns = self._turns
        try:
            yield
        except away as error:
            self._turn(True, turns, error)
            raise
        self._turn(False, turns)

    def begins(self, reason: object) -> None:
        """It did not do what it was asked for."""
        self._turn(True, None, reason)

    def ends(self) -> None:
        """It did."""
        self._turn(False, None)

    def _turn(self, away: bool, turns: int | None, reason: object = None) -> None:
        """It is away, or it is not, as an answer says to what was asked when it had begun or ended `turns` times."""
        if not away and not self._flag.is_set():  # the usual case, which needs no lock
            return
        with _LOCK:
            if self._flag.is_set() == away or turns not in (None, self._turns):
                return
            self._turns += 1
            if away:
                self._flag.set()
            else:
                self._flag.clear()
        if away:
            self._log.warning("%s waits for %s, and %s: %s", self._who, self._what, self._meanwhile, reason)
        else:
            self._log.warning("%s goes on: %s answers again", self._who, self._what)
