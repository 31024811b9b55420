"""The tasks in Celery's queue that a worker does not know: each becomes a dead letter.

That may take as long as Kafka is away, so it is done on a thread. Until then the message is held, unacknowledged: it
comes again after its visibility time-out, to this worker or to another one. Written twice, it is one letter.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kombu.exceptions import DecodeError

from labkit.celery_app.envelope import Envelope
from labkit.celery_app.outcome_writer import OutcomeWriter
from labkit.errors import BadRecord, UnknownKind
from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import DEAD, TaskRecord
from labkit.outage import Outage
from labkit.taskqueue.engine.failure import describe

#: What to do about a task that a worker does not know.
UNKNOWN = "LABKIT_CELERY_IMPORTS must name the same modules for workers as for dispatchers and bridges."
#: How many messages are held at most.
MOST_HELD = 100
#: How long a letter waits that could not be written, in seconds: the first time, and at most; each time twice as long.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

log = safe_logger("labkit.celery")


@dataclass(eq=False)
class _Held:
    """A message and the letter to be written for it; `settle` is called then. One that was never tried is due at 0."""

    tag: str
    envelope: Envelope
    record: TaskRecord
    settle: Callable[[], object]
    pause: float = 0.0
    due: float = 0.0


class UnknownTasks:
    """Those of one worker. Safe to use from several threads."""

    def __init__(self, writer: OutcomeWriter) -> None:
        self._writer = writer
        #: notified when there is one more
        self._added = threading.Condition()
        self._held: dict[str, _Held] = {}
        self._thread: threading.Thread | None = None
        what = "Kafka or Redis"
        self._outage = Outage(log, "A task that no worker knows", what, meanwhile="its message is held")

    def add(self, message: Any, settle: Callable[[], object]) -> None:
        """Make a dead letter of this one, and call `settle` when it is written; at once if it is not labkit's.

        Where too many are held, one of them that could not be written is given up, or else this one: it comes again.
        """
        try:
            (values, *_), _, _ = message.decode()
            envelope = Envelope.from_json(values)
        except (BadRecord, DecodeError, ValueError, TypeError):
            log.error("a message was dropped that is not one of labkit: %s", message.headers)
            settle()
            return
        tag, record = message.delivery_tag, _record(envelope, message.headers["task"])
        with self._added:
            if tag in self._held or not self._has_room():
                return
            self._held[tag] = _Held(tag, envelope, record, settle)
            self._added.notify()
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._work, name="unknown-tasks", daemon=True)
                with suppress(RuntimeError):  # there are too many threads just now: with the next message
                    thread.start()
                    self._thread = thread

    def _has_room(self) -> bool:
        if len(self._held) >= MOST_HELD:
            failed = max(self._held.values(), key=lambda one: one.due)
            if not failed.due:
                return False
            del self._held[failed.tag]
        return True

    def _work(self) -> None:
        while (one := self._next()) is not None:
            try:
                self._writer.write(one.envelope, one.record)
            except Exception as error:  # noqa: BLE001 - whatever it is, the letter is missing
                self._outage.begins(describe(error))
                with self._added:
                    one.pause = min(2 * one.pause or FIRST_PAUSE, LONGEST_PAUSE)
                    one.due = time.monotonic() + one.pause
                continue
            with self._added:
                self._held.pop(one.tag, None)  # it may have been given up
                any_failed = any(other.due for other in self._held.values())
            if not any_failed:
                self._outage.ends()
            _settle(one)

    def _next(self) -> _Held | None:
        """The next one, when it is due: those first that were never tried. None when there is none."""
        with self._added:
            while self._held:
                one = min(self._held.values(), key=lambda one: one.due)
                wait = one.due - time.monotonic()
                if wait <= 0:
                    return one
                self._added.wait(wait)
            self._thread = None
            return None


def _settle(one: _Held) -> None:
    try:
        one.settle()
    except Exception as error:  # noqa: BLE001 - whatever it is, the others' letters are to be written
        what = "task %s has its letter and comes again after the visibility timeout, since it is not acknowledged: %s"
        log.warning(what, one.envelope.task.id, describe(error))


def _record(envelope: Envelope, name: object) -> TaskRecord:
    now = time.time()
    error = describe(UnknownKind(f"The Celery worker has no task {name!r}. {UNKNOWN}"))
    return envelope.record(DEAD, worker="celery", attempt=1, started_at=now, finished_at=now, error=error)
