"""What became of every task that was produced: the sum that must add up.

    produced = done + waiting + shed + dead

Each task counts once, by the best that is known of it. It waits on Kafka as long as its group has not settled its
record, and in Celery as long as a message with its id is in a queue or taken by a worker. To be taken when nothing
moves: producers, dispatchers and workers have stopped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import redis
from msgspec import Struct

from labkit.celery_app.application import LEVELS, key_prefix, level_key
from labkit.measure.records import Receipt
from labkit.measure.task_record import DEAD, DONE, SHED
from labkit.redis_state import asked
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata, is_of
from labkit.taskqueue.transport.values import Position

if TYPE_CHECKING:
    from labkit.settings import Settings
    from labkit.taskqueue.topics import Topic
    from labkit.taskqueue.transport.contract import AdminClient


class Unsettled(NamedTuple):
    """What a group has left on one partition: the offsets from `begin` up to `end`, without those `finished`."""

    begin: int
    end: int
    finished: frozenset[int]

    @property
    def size(self) -> int:
        """How many records."""
        return self.end - self.begin - len(self.finished)

    def holds(self, offset: int) -> bool:
        """Whether the record at this offset is left."""
        return self.begin <= offset < self.end and offset not in self.finished


class Account(Struct, frozen=True, kw_only=True):
    """How many tasks were produced, and how many of them came to what."""

    produced: int
    done: int
    on_kafka: int
    in_celery: int
    shed: int
    dead: int

    @property
    def missing(self) -> int:
        """Tasks of which nothing is known."""
        return self.produced - self.done - self.on_kafka - self.in_celery - self.shed - self.dead

    def __str__(self) -> str:
        found = (
            f"done {self.done} + waiting {self.on_kafka + self.in_celery} (on Kafka {self.on_kafka}, in Celery "
            f"{self.in_celery}) + shed {self.shed} + dead {self.dead}"
        )
        if self.missing:
            return f"produced {self.produced} is not {found}: {self.missing} are missing"
        return f"produced {self.produced} = {found}"


def account(
    receipts: Iterable[Receipt],
    fates: Mapping[str, str],
    in_celery: Collection[str],
    on_kafka: Mapping[str, Mapping[int, Unsettled]],
) -> Account:
    """The sum over all tasks that the broker has acknowledged.

    `fates` as `labkit.measure.fates.fate_of_each` tells them, `in_celery` the ids of the tasks there; `on_kafka` is by
    topic and partition.
    """

    def standing(receipt: Receipt) -> str:
        if receipt.task_id in fates:
            return fates[receipt.task_id]
        if receipt.task_id in in_celery:
            return "in_celery"
        left = on_kafka.get(receipt.topic, {}).get(receipt.partition or 0)
        return "on_kafka" if left is not None and left.holds(receipt.offset or 0) else "missing"

    produced = {receipt.task_id: receipt for receipt in receipts if receipt.error is None}
    found = Counter(map(standing, produced.values()))
    return Account(
        produced=len(produced),
        done=found[DONE],
        on_kafka=found["on_kafka"],
        in_celery=found["in_celery"],
        shed=found[SHED],
        dead=found[DEAD],
    )


def unsettled(admin: AdminClient, topic: Topic, group: str) -> dict[int, Unsettled]:
    """What the group has left on each partition of the topic; raises `TransportError`."""
    committed = admin.committed(topic.full_group(group), topic.full_name)
    topic_id = admin.topic_ids([topic.full_name]).get(topic.full_name)
    starts = admin.start_offsets(topic.full_name)
    found = {}
    for partition, end in sorted(admin.end_offsets(topic.full_name).items()):
        start = starts.get(partition, 0)  # a partition that came meanwhile begins at 0
        position = committed.get(partition)
        if position is None or not is_of(position, topic_id, end):
            position = Position(start)
        begin = max(position.offset, start)
        finished = OffsetMetadata.decode(position.metadata, position.offset).offsets()
        found[partition] = Unsettled(begin, end, frozenset(offset for offset in finished if begin <= offset < end))
    return found


def ids_in_celery(client: redis.Redis, settings: Settings) -> set[str]:
    """The ids of the tasks that are in Celery's queue or taken by its workers.

    Raises `RedisUnreachable` and `RedisRefused`.

    In Celery's messages the id is a header (https://docs.celeryq.dev/en/stable/internals/protocol.html). What workers
    have taken kombu keeps as [message, exchange, routing key].
    """
    prefix = key_prefix(settings)
    commands: Any = client
    with asked(f"Celery's messages could not be read from {level_key(prefix, 0)} and {prefix}unacked"):
        queued = [one for level in range(LEVELS) for one in commands.lrange(level_key(prefix, level), 0, -1)]
        taken = commands.hvals(f"{prefix}unacked")
    return {found for text in (*queued, *taken) if (found := _id_in(text)) is not None}


def _id_in(text: bytes) -> str | None:
    """The id of the task in a message, or in one that was taken; None for what is no message of Celery's."""
    try:
        message = json.loads(text)
        found = (message[0] if isinstance(message, list) else message)["headers"]["id"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None
    return found if isinstance(found, str) else None
