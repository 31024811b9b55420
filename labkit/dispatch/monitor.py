"""How a dispatcher stands at one moment: Kafka, its classes, Celery's queue and what Celery's workers did last.

For live views. Either server may be away: what only it could tell is None then, and comes back by itself.
"""

from __future__ import annotations

import statistics
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from labkit.celery_app.application import broker_url
from labkit.celery_app.capacity import Capacity, Count, connect
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch.account import unsettled
from labkit.dispatch.class_status import ClassStatus
from labkit.dispatch.dispatcher import Dispatcher, group_of
from labkit.errors import BrokerUnreachable, RedisRefused, RedisUnreachable, UnknownTopic
from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import DONE, TaskRecord
from labkit.redis_state import Refusals
from labkit.resource import LazyResource, Resource
from labkit.taskqueue.repeated_question import RepeatedQuestion

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.settings import Settings
    from labkit.taskqueue.topics import Topics
    from labkit.taskqueue.transport.contract import AdminClient

log = safe_logger("labkit.dispatcher")

#: Of how many tasks of each class the waiting times are kept.
LAST = 100


class ClassSnapshot(Struct, frozen=True, kw_only=True):
    """One class. `on_kafka`: records that are not settled, those that its dispatcher has taken included; None if
    that is not known, for one because somebody has deleted the topic (`is_gone`).

    `waits`: how long the last tasks that are done have waited, in seconds from when they were due to be sent until
    Celery began with them.
    """

    status: ClassStatus
    on_kafka: int | None
    waits: tuple[float, ...]
    is_gone: bool = False

    @property
    def median_wait(self) -> float | None:
        """The median of `waits`."""
        return statistics.median(self.waits) if self.waits else None

    @property
    def long_wait(self) -> float | None:
        """The 95th percentile of `waits`."""
        return statistics.quantiles(self.waits, n=20, method="inclusive")[-1] if len(self.waits) > 1 else None


class DispatcherSnapshot(Struct, frozen=True, kw_only=True):
    """All classes in rank order, and Celery's queue; None if Redis did not answer."""

    classes: tuple[ClassSnapshot, ...]
    count: Count | None

    @property
    def kafka_is_away(self) -> bool:
        """Whether Kafka did not answer."""
        return any(one.on_kafka is None and not one.is_gone for one in self.classes)


class DispatcherMonitor(Resource):
    """Looks at one dispatcher of this process. A context manager.

    `limit` is how many tasks may be taken per task that Celery performs at once. Records from before are passed
    over.
    """

    def __init__(
        self, lab: Lab, topics: Topics, dispatcher: Dispatcher, *, group: str, limit: int, settings: Settings
    ) -> None:
        client = connect(broker_url(settings, lab))
        self._dispatcher = dispatcher
        self._topics = {one.name: topics.get(one.topic) for one in dispatcher.status()}
        self._group = group
        self._room = Capacity(client, settings, limit=limit)
        self._stream = RecordStream(client, settings)
        self._skipped = False
        self._refusals = Refusals(log)
        self._admin: LazyResource[AdminClient] = LazyResource(topics.transport.admin)
        self._question = RepeatedQuestion(self._ask_kafka, max_age=0.0, passing=(BrokerUnreachable,))
        self._waits: dict[str, deque[float]] = {}

    def look(self) -> DispatcherSnapshot:
        """How it stands now; waits for Kafka. Raises `WorkerFailed` if the dispatcher could not go on."""
        try:
            return self._snapshot(self._ask_kafka())
        except BrokerUnreachable:
            return self._snapshot(None)

    def glance(self) -> DispatcherSnapshot:
        """As `look`, but waits for Kafka no longer than a moment: what it has told last is good for some seconds."""
        on_kafka, trouble = self._question.look(needed=True)
        return self._snapshot(None if trouble else on_kafka)

    def _snapshot(self, on_kafka: dict[str, int | None] | None) -> DispatcherSnapshot:
        self._dispatcher.check()
        count = self._ask_redis()
        return DispatcherSnapshot(
            classes=tuple(
                ClassSnapshot(
                    status=status,
                    on_kafka=None if on_kafka is None else on_kafka[status.name],
                    waits=tuple(self._waits.get(status.topic, ())),
                    is_gone=on_kafka is not None and on_kafka[status.name] is None,
                )
                for status in self._dispatcher.status()
            ),
            count=count,
        )

    def _take(self, record: TaskRecord) -> None:
        if record.outcome == DONE:
            waits = self._waits.setdefault(record.topic, deque(maxlen=LAST))
            waits.append(max(0.0, record.started_at - record.scheduled_at))

    def start(self) -> Self:
        """Pass over the records that are there."""
        with suppress(RedisUnreachable):  # the first look that succeeds will do it
            self._read()
        return self

    def close(self) -> None:
        """Let go of the connection."""
        self._question.close(self._admin.close)

    def _ask_redis(self) -> Count | None:
        try:
            self._read()
            return self._room.count()
        except RedisUnreachable:
            return None

    def _read(self) -> None:
        """Take what is new in the stream; without it the waits are missing, and nothing else."""
        try:
            if not self._skipped:
                self._stream.skip()
                self._skipped = True
            for record in self._stream.read():
                self._take(record)
        except RedisRefused as error:
            self._refusals.say(error, "how long tasks wait is not shown")

    def _ask_kafka(self) -> dict[str, int | None]:
        admin = self._admin.get()
        return {name: self._left(admin, name) for name in self._topics}

    def _left(self, admin: AdminClient, name: str) -> int | None:
        """None if the topic is gone: its intake says so, and waits until it is made anew."""
        try:
            found = unsettled(admin, self._topics[name], group_of(self._group, name))
        except UnknownTopic:
            return None
        return sum(partition.size for partition in found.values())
