"""The topic of one queue as the message API knows it, and under which names Redis keeps what belongs to it.

    <prefix>labkit:api:<id of the topic>:          as Kafka knows the topic: one that is made anew begins anew
        log                 hash: indexed, e<partition> the known end of the partition, s<partition> its start
        m:<message>         hash: the message's reservation, place and journey; kept for `KEPT`
        groups              sorted set: the groups, by when they polled last
        q:<group>:…         what one group has of the topic: see `QueueNames`
    <prefix>labkit:api:key:<key>                   an Idempotency-Key

Times are in ms since the epoch, by the clock of Redis, which is the only one that all processes share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from labkit.api.messages.message import is_message
from labkit.errors import SettingsError, TopicMismatch, UnknownTopic
from labkit.taskqueue.dead_letter import ensure_dead_topic
from labkit.taskqueue.record_format import is_foreign
from labkit.taskqueue.topics import Topic, Topics, first_records

#: How long a message's id and journey are known, in seconds: as long as Kafka keeps records by default.
KEPT = 7 * 24 * 3600.0
#: How long it is known how far a group has read, after its last poll, in ms; then the place that Kafka knows counts.
GROUP_KEPT_MS = round(KEPT * 1000)


def api_prefix(topic_prefix: str) -> str:
    """What all names begin with."""
    return f"{topic_prefix}labkit:api:"


def bell_channel(topic_prefix: str) -> str:
    """The channel on which is said that a queue has something new."""
    return f"{api_prefix(topic_prefix)}bell"


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The names for one topic; `base` goes before all of them."""

    base: str

    @property
    def log(self) -> str:
        """What is known of the partitions."""
        return f"{self.base}log"

    @property
    def messages(self) -> str:
        """What goes before a message's id."""
        return f"{self.base}m:"

    @property
    def groups(self) -> str:
        """When each group polled last."""
        return f"{self.base}groups"

    def queue(self, group: str) -> QueueNames:
        """The names for one group."""
        return QueueNames(f"{self.base}q:{group}:")


@dataclass(frozen=True, slots=True)
class QueueNames:
    """The names for what one group has of a topic; `base` goes before all of them.

    pos      hash: the offset up to which records were fed, per partition
    returned list: the ids that come again, in the order in which they came back; these are given out first
    ready    list: the ids that wait for their first poller
    held     hash: the records of the ids that are not acknowledged
    counts   hash: how often each was delivered
    leases   sorted set: the ids that pollers have, by when their leases end
    tokens   hash: the token of each lease by its id, the id by the token, and the longest lease in ms
    dying    list: the ids that are to become dead letters
    open:<partition>  sorted set: the ids that are not acknowledged, by offset
    feeder   the process that feeds this queue

    All go when the group has not polled for `KEPT`; but for `pos`, a minute or two after its last poll.
    """

    base: str

    @property
    def feeder(self) -> str:
        """Who feeds the queue."""
        return f"{self.base}feeder"


#: With how many partitions the topic of a queue is made.
PARTITIONS = 2


class RecordPosition(NamedTuple):
    """Where a message stands on its topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class QueueBacklog:
    """How many messages of a queue are not finished; `ends` per partition: only offsets before them were counted."""

    lag: int = 0
    ends: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class TopicLog:
    """One topic in one life: of what was deleted and made anew, another. `partitions` grows with the topic."""

    topic: Topic
    #: the topic's id (KIP-516)
    id: str
    names: TopicNames
    partitions: int
    #: per partition the offset beyond the last record that Kafka has acknowledged to this process
    ends: dict[int, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name that users know."""
        return self.topic.name

    @property
    def full_name(self) -> str:
        """The name on the broker."""
        return self.topic.full_name

    def reach(self, partition: int, offset: int) -> None:
        """A record has got this offset."""
        self.ends[partition] = max(self.ends.get(partition, 0), offset + 1)


def find_topic(topics: Topics, name: str) -> TopicLog:
    """The topic that bears the name of the queue now; raises `UnknownTopic`."""
    found = topics.describe(name)
    topic = Topic(name=name, partitions=found.partitions, transport=topics.transport, prefix=topics.prefix)
    return TopicLog(topic, found.id, TopicNames(f"{api_prefix(topics.prefix)}{found.id}:"), found.partitions)


def open_topic(topics: Topics, name: str) -> TopicLog:
    """The topic of the queue of that name and its topic of dead letters, which are made if they are not there.

    Raises `SettingsError` for one that is compacted, as topics of another kind are: it would lose messages; and for one
    whose first records are tasks of labkit's: each would become a dead letter.
    """
    try:
        found = find_topic(topics, name)
    except UnknownTopic:
        with suppress(TopicMismatch):  # somebody else has made it just now
            topics.create(name, partitions=PARTITIONS)
        found = find_topic(topics, name)
    if "compact" in topics.describe(name).config.get("cleanup.policy", ""):
        raise SettingsError(
            f"LABKIT_API_TOPICS names {name!r}, which is no topic of messages: Kafka keeps the newest record of each "
            "key of it only. Name another queue."
        )
    if not _holds_messages(found.topic):
        raise SettingsError(
            f"LABKIT_API_TOPICS names {name!r}, which holds tasks and no messages: the API would make "
            f"dead letters of them. `labkit work --topic {name}` works on tasks. Name another queue."
        )
    ensure_dead_topic(found.topic)
    return found


def _holds_messages(topic: Topic) -> bool:
    """Whether at least half of what labkit wrote of the topic's first records are messages; also where it wrote none.

    What others have written counts for nothing: a stray record must keep no queue from its start.
    """
    counts = Counter(is_message(record) for record in first_records(topic) if not is_foreign(record))
    return counts[True] >= counts[False]
