"""How a group of workers stands, by the broker's word: who has what, and how much is left to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.topics import PartitionLag, Topic, Topics
from labkit.theory.assignment import round_robin


class DoneBefore(NamedTuple):
    """Per partition of the topic with this id, the runs of offsets that count as done.

    Of `others`, also per partition, so many are done too, and nobody knows which.
    """

    topic_id: str
    runs: Mapping[int, Sequence[range]]
    others: Mapping[int, tuple[range, int]] = {}


class GroupState(Protocol):
    """One group on one topic. Its connections are opened again when it is used after `close`."""

    def is_balanced(self, mine: Mapping[str, tuple[int, ...]], *, killed: Collection[str]) -> bool:
        """Whether these workers, with the partitions they know of, have all that is theirs; none of the killed has."""
        ...

    def lag(self, *, look: bool = False) -> list[PartitionLag]:
        """How far the group is behind, one entry per partition, in order.

        Where the broker counts also what nobody can read, it is left out only with `look`: the topic may be read then.
        """
        ...

    def done(self) -> DoneBefore:
        """What counts as done."""
        ...

    def topic_id(self) -> str:
        """The id of the topic that bears the name now; raises `UnknownTopic`."""
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


class ConsumerGroupState:
    """A consumer group, whose members share the partitions out."""

    def __init__(self, topic: Topic, group: str) -> None:
        self._topic = topic
        self._group = group
        self._topics = Topics.of(topic)

    def is_balanced(self, mine: Mapping[str, tuple[int, ...]], *, killed: Collection[str]) -> bool:
        """Whether the partitions are dealt out round robin to the living workers."""
        known = self._topics.members(self._group, topic=self._topic.name)
        if not mine.keys() <= known.keys() or set(killed) & known.keys():
            return False
        held = {name: tuple(p for topic, p in pairs if topic == self._topic.name) for name, pairs in known.items()}
        if any(held[name] != partitions for name, partitions in mine.items()):
            return False
        # even shares are not enough: a rebalance that is still under way may show some, and others follow
        sharing = [name for name, partitions in held.items() if partitions or name in mine]
        dealt = round_robin(range(self._topics.get(self._topic.name).partitions), sharing)
        has_others = any(topic != self._topic.name for pairs in known.values() for topic, _ in pairs)
        shares = [held[name] for name in sorted(dealt)]
        seats = (
            range(len(shares)) if has_others else (0,)
        )  # another topic was dealt out before, and not from its seat on
        return any([*shares[seat:], *shares[:seat]] == [dealt[name] for name in sorted(dealt)] for seat in seats)

    def lag(self, *, look: bool = False) -> list[PartitionLag]:
        """How far the group is behind, one entry per partition, in order; there is nothing to look at."""
        return self._topics.lag(self._topic.name, group=self._group)

    def done(self) -> DoneBefore:
        """What counts as done."""
        topic_id = self.topic_id()  # first: if the topic is made anew just now, it is not taken for the new one's
        positions = self._topics.committed(self._topic.name, group=self._group)
        done = {place.partition: [range(place.committed)] for place in self.lag()}
        for partition, position in positions.items():
            if partition in done and done[partition][0].stop == position.offset:  # else it is of a former topic
                done[partition] += OffsetMetadata.decode(position.metadata, position.offset).done
        return DoneBefore(topic_id, done)

    def topic_id(self) -> str:
        """The id of the topic that bears the name now; raises `UnknownTopic`."""
        return self._topics.describe(self._topic.name).id

    def close(self) -> None:
        """Let go of the connection."""
        self._topics.close()
