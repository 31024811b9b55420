"""An outage: something that everybody needs is away, which is said once, and once more when it is back."""

from __future__ import annotations

import logging
import threading

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class Outage:
    """What `who` waits for. Safe to use from several threads.

    `what` names what is away: "Redis". `meanwhile` says what becomes of the work until it is back.
    """

    def __init__(
        self,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
        who: str,
        what: str,
        *,
        meanwhile: str = "nothing is lost",
    ) -> None:
        self._log = log
        self._who = who
        self._what = what
        self._meanwhile = meanwhile
        self._lock = threading.Lock()
        self._on = False

    @property
    def on(self) -> bool:
        """Whether it is away, as far as anybody has noticed."""
        return self._on

    def begins(self, reason: object) -> None:
        """It did not do what it was asked for."""
        with self._lock:
            news, self._on = not self._on, True
        if news:
            self._log.warning("%s waits for %s, and %s: %s", self._who, self._what, self._meanwhile, reason)

    def ends(self) -> None:
        """It did."""
        if not self._on:  # the usual case, which needs no lock
            return
        with self._lock:
            news, self._on = self._on, False
        if news:
            self._log.warning("%s goes on: %s answers again", self._who, self._what)
