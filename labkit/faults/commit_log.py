"""The commits of a group, as the brokers keep them: in one order, by one log, whoever sent them.

Brokers write every commit onto the internal topic `__consumer_offsets`, and all of one group onto one partition of it.
So the order of commits by several workers is known without comparing their clocks. The format of its records is
Apache Kafka's: OffsetCommitKey.json and OffsetCommitValue.json under group-coordinator/src/main/resources.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from labkit.errors import HistoryUnreadable
from labkit.faults.event import Event
from labkit.parameters import checked
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.transport.contract import Record

#: The internal topic.
COMMITS_TOPIC = "__consumer_offsets"

#: Stands as the actor of these events.
GROUP = "the group"

_COMMIT_KEYS = (0, 1)
_PLAIN, _FLEXIBLE = 3, 4


@checked
def group_commits(records: Iterable[Record], *, group: str, topic: str) -> list[Event]:
    """The commits of this group for this topic, from the records of `COMMITS_TOPIC`; names as on the broker.

    Those from before the group or the topic was deleted are left out: another run has begun then. Raises
    `HistoryUnreadable` for records of another version than Kafka has written since 2.1.
    """
    commits: dict[int, list[Event]] = {}
    for record in records:
        partition = _partition(record.key or b"", group, topic)
        if partition is None:
            continue
        if record.value is None:
            commits.pop(partition, None)
        else:
            commits.setdefault(partition, []).append(_commit(record, record.value, partition))
    return [commit for of_partition in commits.values() for commit in of_partition]


def _commit(record: Record, value: bytes, partition: int) -> Event:
    offset, metadata = _position(value)
    return Event(
        what="committed",
        by=GROUP,
        seq=record.offset,
        at=record.timestamp_ms / 1000,
        partition=partition,
        offset=offset,
        beyond=tuple(OffsetMetadata.decode(metadata, offset).offsets()),
    )


def _partition(key: bytes, group: str, topic: str) -> int | None:
    """Which partition the commit is for; None if it is of another group or topic, or no commit."""
    if len(key) < 2 or struct.unpack_from(">h", key)[0] not in _COMMIT_KEYS:
        return None
    of_group, end = _text(key, 2)
    of_topic, end = _text(key, end)
    return int(struct.unpack_from(">i", key, end)[0]) if (of_group, of_topic) == (group, topic) else None


def _position(value: bytes) -> tuple[int, str]:
    """The committed offset and the text that went with it."""
    version, offset = struct.unpack_from(">hq", value)
    after_epoch = struct.calcsize(">hqi")
    if version == _PLAIN:
        return offset, _text(value, after_epoch)[0]
    if version == _FLEXIBLE:
        return offset, _compact_text(value, after_epoch)
    raise HistoryUnreadable(
        f"This Kafka writes commits in version {version}, and labkit reads {_PLAIN} and {_FLEXIBLE}."
    )


def _text(data: bytes, start: int) -> tuple[str, int]:
    """A text after its length in two bytes, and where it ends."""
    begin = start + 2
    end = begin + struct.unpack_from(">h", data, start)[0]
    return data[begin:end].decode(), end


def _compact_text(data: bytes, start: int) -> str:
    """A text after its length plus one as a varint: seven bits a byte, the lowest first."""
    length = shift = 0
    for begin in range(start, len(data)):
        length |= (data[begin] & 0x7F) << shift
        shift += 7
        if not data[begin] & 0x80:
            return data[begin + 1 : begin + length].decode()
    raise HistoryUnreadable("A commit was cut off.")
