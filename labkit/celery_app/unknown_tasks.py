"""The tasks in Celery's queue that a worker does not know: each becomes a dead letter.

That may take as long as Kafka is away, so it is done on a thread. Until then the message is held, unacknowledged: a
worker that dies leaves it to others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from labkit.celery_app.envelope import Envelope
from labkit.celery_app.outcome_writer import OutcomeWriter
from labkit.errors import BadRecord, UnknownKind
from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import DEAD, TaskRecord
from labkit.outage import Outage
from labkit.taskqueue.engine.failure import describe

#: What to do about a task that a worker does not know.
UNKNOWN = "LABKIT_CELERY_IMPORTS must name the same modules for workers as for dispatchers and bridges."
#: How long to wait before the next letter after one that could not be written, in seconds.
PAUSE = 1.0

log = safe_logger("labkit.celery")


class UnknownTasks:
    """Those of one worker. Safe to use from several threads."""

    def __init__(self, writer: OutcomeWriter) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        #: what is to be written for each message that is held, by its tag, and what to call then: the same message may
        #: come again after its visibility time-out
        self._held: dict[str, tuple[Envelope, TaskRecord, list[Callable[[], object]]]] = {}
        self._thread: threading.Thread | None = None
        what = "Kafka or Redis"
        self._outage = Outage(log, "A task that no worker knows", what, meanwhile="its message is held")

    def __len__(self) -> int:
        return len(self._held)

    def tags(self) -> Iterable[str]:
        """The tags of the messages that are held."""
        return list(self._held)

    def add(self, message: Any, settle: Callable[[], object]) -> None:
        """Make a dead letter of this one, and call `settle` when it is written; at once if it is not labkit's."""
        try:
            (values, *_), _, _ = message.decode()
            envelope = Envelope.from_json(values)
        except (BadRecord, ValueError, TypeError):
            log.error("a message was dropped that is not one of labkit: %s", message.headers)
            settle()
            return
        record = _record(envelope, message.headers["task"])
        with self._lock:
            self._held.setdefault(message.delivery_tag, (envelope, record, []))[-1].append(settle)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="unknown-tasks", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        pause = threading.Event().wait
        while (tag := self._next()) is not None:
            envelope, record, settling = self._held[tag]
            try:
                self._writer.write(envelope, record)
            except Exception as error:  # noqa: BLE001 - whatever it is, the letter is missing
                self._outage.begins(describe(error))
                with self._lock:
                    self._held[tag] = self._held.pop(tag)  # one that cannot be written holds up no other
                pause(PAUSE)
                continue
            self._outage.ends()
            with self._lock:
                del self._held[tag]
            for settle in settling:
                settle()

    def _next(self) -> str | None:
        with self._lock:
            tag = next(iter(self._held), None)
            if tag is None:
                self._thread = None
            return tag


def _record(envelope: Envelope, name: object) -> TaskRecord:
    now = time.time()
    error = describe(UnknownKind(f"The Celery worker has no task {name!r}. {UNKNOWN}"))
    return envelope.record(DEAD, worker="celery", attempt=1, started_at=now, finished_at=now, error=error)
