"""An outage: something that everybody needs is away, which is said once, and once more when it is back."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

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
        self._lock = threading.Lock()
        self._flag = flag or threading.Event()

    @property
    def on(self) -> bool:
        """Whether it is away, as far as anybody has noticed."""
        return self._flag.is_set()

    def begins(self, reason: object) -> None:
        """It did not do what it was asked for."""
        with self._lock:
            news = not self._flag.is_set()
            self._flag.set()
        if news:
            self._log.warning("%s waits for %s, and %s: %s", self._who, self._what, self._meanwhile, reason)

    def ends(self) -> None:
        """It did."""
        if not self._flag.is_set():  # the usual case, which needs no lock
            return
        with self._lock:
            news = self._flag.is_set()
            self._flag.clear()
        if news:
            self._log.warning("%s goes on: %s answers again", self._who, self._what)
