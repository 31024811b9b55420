"""Sends tasks to Celery's workers and hears what becomes of them."""

from __future__ import annotations

from labkit.celery_app.application import make_app
from labkit.celery_app.capacity import Capacity
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch.celery_sender import CelerySender
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue.timeouts import wait_until

ENDS = {"done", "repeated", "dead"}


class Work:
    """Sends to the worker and hears what it did."""

    def __init__(self, lab, client, settings) -> None:
        self.app = make_app(lab.redis_url, settings)
        self.sender = CelerySender(self.app)
        self._room = Capacity(client, settings)
        self._stream = RecordStream(client, settings)
        self._stream.skip()
        self.records: list[TaskRecord] = []

    def send(self, *envelopes: Envelope) -> None:
        self.sender.send(envelopes)

    def wait_for(self, ended: int, *, empty: bool = True) -> list[TaskRecord]:
        """The records, when so many tasks have ended and nothing is left, if it is to be `empty`."""

        def came() -> bool:
            self.records += self._stream.read()
            return sum(record.outcome in ENDS for record in self.records) >= ended

        wait_until(came, timeout=120, what=f"{ended} tasks were to end")
        if empty:
            self.wait_for_empty()
        return self.records

    def wait_for_empty(self) -> None:
        wait_until(lambda: self._room.count().taken == 0, timeout=120, what="all was to be acknowledged")
