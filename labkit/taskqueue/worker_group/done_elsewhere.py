"""What others have done of a group's tasks: their records are not here, and nobody should take the rest for all."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from labkit.errors import BrokerUnreachable, DeadlineExceeded, DoneElsewhere, UnknownTopic
from labkit.measure.task_record import BAD, DEAD, FAILED
from labkit.taskqueue.dead_letter import dead_topic, key_parts
from labkit.taskqueue.groups.group_state import DoneBefore, GroupState
from labkit.taskqueue.record_format import TASK_ID, foreign_id
from labkit.taskqueue.timeouts import left_until, on_a_thread
from labkit.taskqueue.topics import PartitionLag, Topic, read_topic
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.worker_group.drain import LAG_INTERVAL

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd


def must_be_all(
    topic: Topic,
    records: pd.DataFrame,
    *,
    state: GroupState,
    before: DoneBefore | None,
    lag: Sequence[PartitionLag],
    deadline: float,
) -> None:
    """Raise `DoneElsewhere` if others have done some of the tasks since the start, when `before` was done.

    A broker that is away is waited for, as is a topic. Raises `DeadlineExceeded` if it is not known by `deadline`.
    """
    if before is None:
        return
    pause = threading.Event().wait
    number = None
    while left_until(deadline):
        try:
            number = count_elsewhere(topic, records, state=state, before=before, lag=lag, deadline=deadline)
            break
        except (BrokerUnreachable, UnknownTopic):  # it may come back in time
            pause(min(LAG_INTERVAL, left_until(deadline)))
    if number is None:
        raise DeadlineExceeded(
            f"All tasks on {topic.name!r} are done, but by whom could not be seen in time; `records()` returns the "
            f"{len(records)} records that are here. Wait longer, or drain once more."
        )
    if number:
        raise DoneElsewhere(
            f"All tasks on {topic.name!r} are done, but {number} of them by other members of the group, so their "
            f"records are not among the {len(records)} here; `records()` returns these. Give the group a name of its "
            "own, or end its other members."
        )


def count_elsewhere(
    topic: Topic,
    records: pd.DataFrame,
    *,
    state: GroupState,
    before: DoneBefore,
    lag: Sequence[PartitionLag],
    deadline: float,
) -> int | None:
    """How many of the topic's tasks that are done have no record here; None if that is not known by `deadline`."""
    ends = {place.partition: place.end for place in lag}

    def count() -> int:
        topic_id = state.topic_id()
        if topic_id == before.topic_id:
            return done_elsewhere(topic, records, before=before, ends=ends)
        return done_on_another(topic, records, topic_id=topic_id, ends=ends)

    asked = on_a_thread(count)
    return asked.result() if wait([asked], left_until(deadline)).done else None


def done_elsewhere(topic: Topic, records: pd.DataFrame, *, before: DoneBefore, ends: Mapping[int, int]) -> int:
    """How many records on the topic, up to these ends, are done and have no record here, nor were done before.

    An offset may hold no record: the end of a transaction, or what compaction has taken. So where offsets are missing
    the topic is read.
    """
    gaps = {number: _gaps(records, number, before.runs.get(number, ()), end) for number, end in ends.items()}
    if not any(gap.unknown.any() for gap in gaps.values()):
        return 0
    floor = {number: gap.first() for number, gap in gaps.items()}
    found = read_topic(topic.transport, topic.full_name, floor=floor)
    places = ((record.partition, record.offset) for record in found)
    missing = [(number, offset) for number, offset in places if number in gaps and gaps[number].holds(offset)]
    excused = 0
    for number, (behind, count) in before.others.items():
        excused += min(count, sum(partition == number and offset in behind for partition, offset in missing))
    return len(missing) - excused


def done_on_another(topic: Topic, records: pd.DataFrame, *, topic_id: str, ends: Mapping[int, int]) -> int:
    """As `done_elsewhere`, where the topic was made anew since the start: then nothing was done before.

    A record here may be of the topic before, from the same offset. So the topic is read, and a task is known by its
    offset, its time and its id.
    """
    known = _known(records)
    found = read_topic(topic.transport, topic.full_name)
    return sum(
        record.offset < ends.get(record.partition, 0) and known.isdisjoint(_marks(record, topic_id)) for record in found
    )


def has_records(
    topic: Topic, records: Callable[[], pd.DataFrame], *, state: GroupState, partition: int, floor: int
) -> bool:
    """Whether all that can be read of a partition, from the offset `floor` on, has a record here; so if it is nothing.

    For what was given up there must be a dead letter too. `records` are asked for only if there is something to read.
    Raises what `read_topic` does.
    """
    others = dict.fromkeys(range(topic.partitions), sys.maxsize)
    found = read_topic(topic.transport, topic.full_name, floor={**others, partition: floor})
    there = (record for record in found if record.partition == partition)
    first = next(there, None)
    if first is None:
        return True
    topic_id, here = state.topic_id(), records()
    here = here[(here["partition"] == partition) & (here["offset"] >= floor)]
    is_given_up = here["outcome"].isin((DEAD, BAD))
    done, given_up = _known(here[~is_given_up]), _known(here[is_given_up])
    offsets: set[int] = set()
    for record in chain([first], there):
        marks = _marks(record, topic_id)
        if not done.isdisjoint(marks):
            continue
        if given_up.isdisjoint(marks):
            return False
        offsets.add(record.offset)
    return not offsets or offsets <= _with_letters(topic, topic_id, partition)


def _with_letters(topic: Topic, topic_id: str, partition: int) -> set[int]:
    """The offsets of which dead letters were written and not compacted away; one may not say of which topic it is."""
    found: set[int] = set()
    with suppress(UnknownTopic):
        for record in read_topic(topic.transport, dead_topic(topic.full_name)):
            with suppress(ValueError):  # it is no letter
                number, offset, of_topic = key_parts(record.key or b"")
                if number == partition and of_topic in ("", topic_id):
                    found.add(offset)
    return found


def _known(records: pd.DataFrame) -> set[tuple[int, int, float, str]]:
    """How the tasks are known that have a final record here, see `_marks`."""
    final = records[records["outcome"] != FAILED]
    return set(zip(*(final[name] for name in ("partition", "offset", "produced_at", "task_id")), strict=True))


def _marks(record: Record, topic_id: str) -> list[tuple[int, int, float, str]]:
    """How the record of its task is known, from the topic with this id; what is no task has no id there."""
    told = dict(record.headers).get(TASK_ID)
    ids = {"", foreign_id(record, topic_id) if told is None else told.decode(errors="replace")}
    return [(record.partition, record.offset, record.timestamp_ms / 1000, task_id) for task_id in ids]


class _Gaps(NamedTuple):
    """Per offset from `floor` on, whether nothing is known of it."""

    floor: int
    unknown: npt.NDArray[np.bool_]

    def first(self) -> int:
        """The first offset of which nothing is known, or where it ends."""
        return self.floor + (int(self.unknown.argmax()) if self.unknown.any() else len(self.unknown))

    def holds(self, offset: int) -> bool:
        """Whether nothing is known of this one."""
        return 0 <= offset - self.floor < len(self.unknown) and bool(self.unknown[offset - self.floor])


def _gaps(records: pd.DataFrame, partition: int, before: Sequence[range], end: int) -> _Gaps:
    """Of which offsets below the end nothing is known; what was done from the beginning on takes up no memory."""
    import numpy as np

    floor = min(before[0].stop, end) if before and before[0].start == 0 else 0
    unknown = np.ones(end - floor, dtype=bool)
    for run in before:
        unknown[max(run.start - floor, 0) : max(run.stop - floor, 0)] = False
    offsets = records["offset"]
    final = (records["partition"] == partition) & (records["outcome"] != FAILED) & (offsets >= floor) & (offsets < end)
    unknown[offsets[final].to_numpy() - floor] = False
    return _Gaps(floor, unknown)
