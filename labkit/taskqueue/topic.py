"""A topic that exists, and how far a group is behind on one of its partitions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit.errors import TopicMismatch, UnknownTopic
from labkit.parameters import check_fields, check_names, checked
from labkit.taskqueue.cluster_errors import InternalTopic
from labkit.taskqueue.engine.offset_metadata import is_of
from labkit.taskqueue.transport.contract import Position, TopicDescription, Transport

#: What labkit puts behind a topic's name for its dead letters, and for what is put off.
DEAD, LATER = ".dead", ".later"
#: How the names of topics begin that Kafka keeps for itself, as `__consumer_offsets`.
_INTERNAL = "__"

_BESIDE = re.compile(f"({re.escape(DEAD)}|{re.escape(LATER)})*")


@check_names
@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic that exists. `partitions` is the number it had when this object was made.

    `prefix` goes before the names of the topic and of the groups that read it, so that many users can share one
    cluster, and a program's own topic has groups of its own. Everything that users see leaves it out.

    None is Kafka's own: `InternalTopic` is raised instead. Those may be read by their names, without a `Topic`.
    """

    name: str
    partitions: int
    transport: Transport = field(repr=False)
    prefix: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        check_fields(self)
        must_not_be_internal(self.full_name)

    @property
    def full_name(self) -> str:
        """The topic's name on the broker."""
        return self.prefix + self.name

    @checked
    def full_group(self, group: str) -> str:
        """The name on the broker of a group that reads this topic."""
        return self.prefix + group


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """How far a group is behind on one partition: `lag` records are written but not yet committed as done."""

    partition: int
    committed: int
    end: int

    @property
    def lag(self) -> int:
        """Records between the committed offset and the end; 0 where that lies before it, as a log may lose its end."""
        return max(0, self.end - self.committed)


def belongs(name: str, *, to: str) -> bool:
    """Whether this is the name of that topic, or of one that labkit makes for it, as for its dead letters."""
    return name.startswith(to) and _BESIDE.fullmatch(name, len(to)) is not None


def must_not_be_internal(full_name: str) -> None:
    """Raise `InternalTopic` if a topic of this name on the broker is Kafka's own."""
    if full_name.startswith(_INTERNAL):
        raise InternalTopic(
            f"The topic {full_name!r} is Kafka's own, as are all whose names begin with two underscores: labkit "
            "neither makes, changes or deletes it nor works on it, so take another name."
        )


def missing(name: str) -> UnknownTopic:
    """The error for a topic that is not there. Nothing of labkit's makes one only because it is asked for."""
    return UnknownTopic(
        f"There is no topic {name!r}. `labkit topics create {name}` makes it. "
        "`labkit topics list` shows those there are."
    )


def must_match(found: TopicDescription, name: str, partitions: int, config: Mapping[str, str]) -> None:
    """Raise `TopicMismatch` if the topic that was found by this name has another shape than it is to have."""
    differs = {key: found.config.get(key) for key, value in config.items() if found.config.get(key) != value}
    if found.partitions != partitions:
        raise TopicMismatch(
            f"The topic {name!r} exists already with {found.partitions} partitions, not {partitions}. "
            "Grow it, delete it, or ask for the shape it has."
        )
    if differs:
        raise TopicMismatch(f"The topic {name!r} exists already with other settings: {differs}.")


def partition_lags(
    committed: Mapping[int, Position], topic_id: str | None, starts: Mapping[int, int], ends: Mapping[int, int]
) -> list[PartitionLag]:
    """How far a group is behind that has committed this, on a topic of this id that begins and ends there.

    It counts from where the partition begins, if nothing is committed beyond that for this very topic.
    """
    return [
        PartitionLag(
            partition=partition,
            committed=_begin(committed.get(partition), topic_id, starts.get(partition, 0), end),
            end=end,
        )
        for partition, end in sorted(ends.items())
    ]


def _begin(committed: Position | None, topic_id: str | None, start: int, end: int) -> int:
    """From which offset on there is something left."""
    return start if committed is None or not is_of(committed, topic_id, end) else max(start, committed.offset)
