"""A dead letter: a task that was given up, as it stands on a topic of its own.

The dead letters of the topic `tasks` are on `tasks.dead`, one partition, compacted:

key      where the record was: topic/partition/offset/id, the topic's name without the prefix and its id (KIP-516)
value    the record's value as it was
headers  the record's headers, then dead-topic, dead-partition, dead-offset, dead-error, dead-attempts, dead-worker,
         dead-at, dead-topic-id, dead-group if a group gave it up, and dead-key if the record had a key

So letters of a topic that was deleted and made anew stay beside those of the new one. Where the topic's id is not
known, as in letters by an older labkit, it stands neither in the key nor in a header.

A record that the topic of dead letters does not take leaves a letter without its value, key and headers: the header
dead-omitted says so.

A tombstone (no value) under the same key says that the letter is gone, its header dead-gone whether it was replayed or
dropped, and dead-group whose letter it was. All letters of a record have the same key, so a letter written twice is
one, and of those of several groups the last one stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Self, TypeVar

from msgspec import Struct

from labkit.errors import BadRecord, BrokerUnreachable, DeadTopicRefused, TransportError
from labkit.kafka_names import LONGEST_NAME
from labkit.taskqueue.record_format import ForeignRecords
from labkit.taskqueue.task import Task
from labkit.taskqueue.topic import DEAD, Topic
from labkit.taskqueue.transport.contract import Headers, Outgoing, Record
from labkit.taskqueue.transport.values import LARGEST, LARGEST_BY_DEFAULT

TOPIC, PARTITION, OFFSET, KEY = "dead-topic", "dead-partition", "dead-offset", "dead-key"
#: The id of the topic (KIP-516): one that was made anew has another.
TOPIC_ID = "dead-topic-id"
ERROR, ATTEMPTS, WORKER, AT = "dead-error", "dead-attempts", "dead-worker", "dead-at"
#: The group that gave it up; letters by an older labkit have none.
GROUP = "dead-group"
#: Stands where the record had no value: the letter must have one, since none makes a tombstone.
NO_VALUE = "dead-no-value"
#: The header of a tombstone, and what it says.
GONE = "dead-gone"
REPLAYED, DROPPED = b"replayed", b"dropped"
#: Stands where the record itself could not be written.
OMITTED = "dead-omitted"
#: Times are before this one, which every calendar can show, in seconds since the epoch.
LATEST = 2**37
#: How the topic of dead letters is kept: the newest record of every key.
CONFIG = {"cleanup.policy": "compact"}
#: Room in a letter for what became of its record, in bytes.
ROOM = 65_536

#: How much of an error's text is kept, in characters; records must stay small.
MAX_ERROR = 4000


Letter = TypeVar("Letter")


def dead_topic(name: str) -> str:
    """The name of the topic of dead letters, from the name of the topic they come from."""
    return name + DEAD


#: What a header takes besides its name and its content at most, in bytes.
_AROUND_HEADER = 10


def record_size(record: Record) -> int:
    """About how many bytes the letter of this record has."""
    headers = sum(len(name) + len(content) + _AROUND_HEADER for name, content in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def letter_batches(
    letters: Iterable[Letter], size: Callable[[Letter], int], *, most: int, most_bytes: int
) -> Iterator[list[Letter]]:
    """What goes into one transaction together, in order; one that is larger than `most_bytes` goes by itself."""
    batch: list[Letter] = []
    held = 0
    for letter in letters:
        held += size(letter)
        if batch and (len(batch) == most or held > most_bytes):
            yield batch
            batch, held = [], size(letter)
        batch.append(letter)
    if batch:
        yield batch


def ensure_dead_topic(topic: Topic, *, validate_only: bool = False) -> bool:
    """Create the topic of dead letters unless it is there, with as many replicas as the topic has; whether it was not.

    Every record of the topic fits into a letter, with its key written twice. With `validate_only` it is only looked
    whether it could be made. Raises `UnknownTopic` if the topic itself is not there, and `DeadTopicRefused`.
    """
    name = dead_topic(topic.full_name)
    with closing(topic.transport.admin()) as admin:
        found = admin.describe_topic(topic.full_name)
        if len(name) <= LONGEST_NAME and name in admin.topic_ids([name]):
            return False  # also for those who may not create topics
        largest = 2 * int(found.config.get(LARGEST, LARGEST_BY_DEFAULT)) + ROOM
        try:
            admin.create_topic(
                name,
                partitions=1,
                replication_factor=found.replication_factor,
                config=CONFIG | {LARGEST: str(largest)},
                validate_only=validate_only,
            )
        except BrokerUnreachable:
            raise
        except TransportError as error:
            raise DeadTopicRefused(_why_not(topic, admin.list_topics(), error)) from error
        return True


def _why_not(topic: Topic, names: Iterable[str], error: TransportError) -> str:
    """Why the topic of dead letters cannot be made, in a sentence."""
    name = dead_topic(topic.full_name)
    what = (
        f"{topic.name!r} cannot have dead letters, because the topic {dead_topic(topic.name)!r} for them cannot be made"
    )
    alike = [other for other in names if other != name and other.replace(".", "_") == name.replace(".", "_")]
    if len(name) > LONGEST_NAME:
        return f"{what}: its name has {len(name)} characters, and Kafka takes {LONGEST_NAME}; use a shorter name."
    if alike:
        return f"{what}: for Kafka its name is the same as that of the topic {alike[0]!r}; rename one of the two."
    return f"{what}: {error}"


def encode_dead_letter(
    topic: Topic,
    record: Record,
    *,
    error: str,
    attempts: int,
    worker: str,
    at: float,
    topic_id: str = "",
    group: str | None = None,
    with_record: bool = True,
) -> Outgoing:
    """The dead letter of a record of this topic, to be written. `at` is in seconds since the epoch, `group` without the
    prefix; `topic_id` is that of the topic when the record came from there, empty where that is not known.

    Without the record it tells only where that was and what became of it.
    """
    facts = [
        (TOPIC, topic.name.encode()),
        (PARTITION, b"%d" % record.partition),
        (OFFSET, b"%d" % record.offset),
        (ERROR, error[:MAX_ERROR].encode(errors="replace")),
        (ATTEMPTS, b"%d" % attempts),
        (WORKER, worker.encode()),
        (AT, repr(at).encode()),
    ]
    if topic_id:
        facts.append((TOPIC_ID, topic_id.encode()))
    if group is not None:
        facts.append((GROUP, group.encode()))
    name, key = dead_topic(topic.full_name), letter_id(topic.name, record.partition, record.offset, topic_id).encode()
    if not with_record:
        return Outgoing(name, 0, key, b"", (*facts, (OMITTED, b"")))
    if record.key is not None:
        facts.append((KEY, record.key))
    if record.value is None:
        facts.append((NO_VALUE, b""))
    return Outgoing(name, 0, key, record.value or b"", (*record.headers, *facts))


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record that was given up: where it was, what it was, and why, when and by whom it was given up.

    `at` is in seconds since the epoch; `group` is None and `topic_id` empty where the letter does not say it. Key,
    value and headers are the record's own, unless they were `omitted` because the topic of dead letters did not take
    them. `has_namesake`: there is one from the same place of another topic of that name.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    error: str
    attempts: int
    worker: str
    at: float
    group: str | None = None
    omitted: bool = False
    topic_id: str = ""
    has_namesake: bool = False

    @property
    def id(self) -> str:
        """Where the record was: topic/partition/offset, and the topic's id where that alone tells it from another."""
        return self.full_id if self.has_namesake else self.place

    @property
    def place(self) -> str:
        """Where the record was: topic/partition/offset."""
        return letter_id(self.topic, self.partition, self.offset)

    @property
    def full_id(self) -> str:
        """Where the record was, with the topic's id if it is known: also the key on the topic of dead letters."""
        return letter_id(self.topic, self.partition, self.offset, self.topic_id)

    def task(self, *, plain: bool = False) -> Task:
        """The task in it, with `plain` also one that is text; raises `BadRecord`."""
        foreign: ForeignRecords = "text" if plain else "json"
        return Task.decode(self.record(), topic_id=self.topic_id, foreign=foreign)

    def record(self) -> Record:
        """The record, as far as it is known: its time is that of the letter."""
        place = self.topic, self.partition, self.offset
        return Record(*place, self.key, self.value, self.headers, int(self.at * 1000))

    @classmethod
    def decode(cls, record: Record) -> Self:
        """What `encode_dead_letter` wrote; raises `BadRecord` for a record of anybody else."""
        try:
            # the last one: a record may be given up twice, as when the dead letters themselves are worked on
            begin = max(place for place, (name, _) in enumerate(record.headers) if name == TOPIC)
            facts = dict(record.headers[begin:])
            found = cls(
                topic=facts[TOPIC].decode(),
                partition=int(facts[PARTITION]),
                offset=int(facts[OFFSET]),
                key=facts.get(KEY),
                value=None if NO_VALUE in facts or OMITTED in facts else record.value,
                headers=record.headers[:begin],
                error=facts[ERROR].decode(),
                attempts=int(facts[ATTEMPTS]),
                worker=facts[WORKER].decode(),
                at=float(facts[AT]),
                group=facts[GROUP].decode() if GROUP in facts else None,
                omitted=OMITTED in facts,
                topic_id=facts.get(TOPIC_ID, b"").decode(),
            )
            if record.key != found.full_id.encode() or not 0 <= found.at < LATEST:  # no tombstone would reach it
                raise ValueError
            return found
        except (KeyError, ValueError) as error:
            raise BadRecord(f"The record at {record.topic}, offset {record.offset}, is no dead letter.") from error


def key_parts(key: bytes) -> tuple[int, int, str]:
    """Partition, offset and the topic's id, empty if there is none, from a letter's key; raises ValueError."""
    *rest, last = key.decode().split("/")
    topic_id = "" if last.isdecimal() else last
    *_, partition, offset = rest if topic_id else [*rest, last]
    return int(partition), int(offset), topic_id


def letter_id(topic: str, partition: int, offset: int, topic_id: str = "") -> str:
    """The id of the letter of this record, whose topic is named without the prefix."""
    return "/".join([topic, str(partition), str(offset), *([topic_id] if topic_id else [])])
