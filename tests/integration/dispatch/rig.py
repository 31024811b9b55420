"""A dispatcher whose Celery is a queue in Redis, from which the test itself takes."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

import redis

from labkit.celery_app.application import LEVELS, key_prefix, level_key, make_app
from labkit.celery_app.capacity import Capacity, Presence, connect
from labkit.dispatch import Dispatcher
from labkit.dispatch.celery_sender import CelerySender
from labkit.measure.task_record import TaskRecord
from labkit.policies import Policy, PriorityClass, make_policy
from labkit.settings import Settings
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import Task, new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics

HIGH, LOW = PriorityClass(name="high"), PriorityClass(name="low")


class Message(NamedTuple):
    """What Celery's queue held. `id` is that of the Celery task, `group` who took it from Kafka."""

    id: str
    name: str
    level: int
    group: str


class Rig:
    """Topics, records, and dispatchers of one group. `topics` are on any transport."""

    def __init__(self, url: str, topics: Topics, settings: Settings) -> None:
        self.settings = settings
        self.topics = topics
        self.client: redis.Redis = connect(url)
        self.records: list[TaskRecord] = []
        self._url = url
        self.group = f"g-{uuid4().hex[:8]}"
        self._names: dict[str, str] = {}

    def dispatcher(
        self,
        policy: Policy | str = "strict",
        classes: Sequence[PriorityClass] = (HIGH, LOW),
        *,
        limit: int | None = 1,
        name: str = "d1",
        on_record=None,
        partitions: int = 1,
        **options: float,
    ) -> Dispatcher:
        """Without a limit it is a bridge."""
        for one in classes:
            self.topic(one.name, partitions)
        return Dispatcher(
            [self.topic(one.name) for one in classes],
            classes,
            make_policy(policy, **options) if isinstance(policy, str) else policy,
            CelerySender(make_app(self._url, self.settings)),
            room=None if limit is None else Capacity(self.client, self.settings, dispatcher=name, limit=limit),
            group=self.group,
            name=name,
            on_record=on_record or self.records.append,
            settings=self.settings,
        )

    def topic(self, of: str, partitions: int = 1):
        """The topic of this class, which is made."""
        if of not in self._names:
            self._names[of] = f"{of}-{uuid4().hex[:8]}"
            self.topics.create(self._names[of], partitions=partitions)
        return self.topics.get(self._names[of])

    def produce(self, of: str, count: int, *, at: float | None = None, kind: str = "sleep") -> list[str]:
        """Send so many tasks of this class; their ids."""
        tasks = [new_task(kind, 0) for _ in range(count)]
        return self.send(of, tasks, at=at)

    def send(self, of: str, tasks: list[Task], *, at: float | None = None) -> list[str]:
        clock = {} if at is None else {"clock": lambda: at}
        with Producer(self.topic(of), settings=self.settings, **clock) as producer:  # type: ignore[arg-type]
            producer.send_many(tasks)
        return [task.id for task in tasks]

    def workers(self, processes: int) -> None:
        """Say that Celery has so many processes."""
        Presence(self.client, self.settings, "w1").say(processes)

    def take(self) -> Message | None:
        """The next message, which then is done; None if there is none."""
        prefix = key_prefix(self.settings)
        for level in range(LEVELS):
            found = self.client.rpop(level_key(prefix, level))
            if found:
                return _read(found, level)  # type: ignore[arg-type]
        return None

    def take_all(self) -> list[Message]:
        return list(iter(self.take, None))

    def queued(self) -> int:
        return sum(Capacity(self.client, self.settings).count().waiting)

    def next(self) -> Message:
        """As `take`, and waits for it."""
        found: list[Message] = []

        def came() -> bool:
            message = self.take()
            if message is not None:
                found.append(message)
            return bool(found)

        wait_until(came, timeout=120, what="a task was to come", interval=0.002)
        return found[0]

    def lag(self, of: str) -> int:
        """How many records of this class are not committed in order."""
        return sum(place.lag for place in self.topics.lag(self._names[of], group=f"{self.group}.{of}"))

    def wait_for_lag(self, of: str, lag: int = 0) -> None:
        wait_until(lambda: self.lag(of) == lag, timeout=120, what=f"{lag} were to be left")

    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.records]

    def close(self) -> None:
        self.client.close()


def wait_for_status(dispatcher: Dispatcher, **expected: dict[str, object]) -> None:
    """Return when each named class shows these values."""

    def shows() -> bool:
        dispatcher.check()
        found = {one.name: one for one in dispatcher.status()}
        return all(getattr(found[name], key) == v for name, values in expected.items() for key, v in values.items())

    try:
        wait_until(shows, timeout=120, what=f"{expected} was to be")
    except Exception as error:
        raise AssertionError(f"{expected}, but {dispatcher.status()}") from error


def _read(found: bytes, level: int) -> Message:
    message = json.loads(found)
    (envelope,), _, _ = json.loads(b64decode(message["body"]))
    assert envelope["task"]["id"] == message["headers"]["id"]
    return Message(message["headers"]["id"], envelope["topic"].rpartition("-")[0], level, envelope["group"])
