"""What others have done of a group's tasks: their records are not here, and nobody should take the rest for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from typing import TYPE_CHECKING

from labkit.errors import DoneElsewhere
from labkit.measure.task_record import FAILED
from labkit.taskqueue.drain import on_a_thread
from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.topics import PartitionLag, Topic, read_topic

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

#: Per partition, the runs of offsets that were done before a group began.
DoneBefore = Mapping[int, Sequence[range]]


def must_be_all(
    topic: Topic, records: pd.DataFrame, *, before: DoneBefore | None, lag: Sequence[PartitionLag], deadline: float
) -> None:
    """Raise `DoneElsewhere` if others have done some of the tasks since the start, as far as is seen by `deadline`."""
    number = count_elsewhere(topic, records, before=before, lag=lag, deadline=deadline)
    if number:
        raise DoneElsewhere(
            f"All tasks on {topic.name!r} are done, but {number} of them by other members of the group, so their "
            f"records are not among the {len(records)} here; `records()` returns these. Give the group a name of its "
            "own, or end its other members."
        )


def count_elsewhere(
    topic: Topic, records: pd.DataFrame, *, before: DoneBefore | None, lag: Sequence[PartitionLag], deadline: float
) -> int | None:
    """How many of the topic's tasks that are done have no record here; None if that is not known by `deadline`."""
    if before is None:
        return 0
    ends = {place.partition: place.end for place in lag}
    asked = on_a_thread(lambda: done_elsewhere(topic, records, before=before, ends=ends))
    return asked.result() if wait([asked], left_until(deadline)).done else None


def done_elsewhere(topic: Topic, records: pd.DataFrame, *, before: DoneBefore, ends: Mapping[int, int]) -> int:
    """How many records on the topic, up to these ends, are done and have no record here, nor were done before.

    An offset may hold no record: the end of a transaction, or what compaction has taken. So where offsets are missing
    the topic is read.
    """
    missing = {number: _missing(records, number, before.get(number, ()), end) for number, end in ends.items()}
    if not any(gaps.any() for gaps in missing.values()):
        return 0
    floor = {partition: int(gaps.argmax()) if gaps.any() else ends[partition] for partition, gaps in missing.items()}
    number = 0
    for record in read_topic(topic.transport, topic.full_name, floor=floor):
        gaps = missing.get(record.partition)
        number += gaps is not None and record.offset < len(gaps) and bool(gaps[record.offset])
    return number


def _missing(records: pd.DataFrame, partition: int, before: Sequence[range], end: int) -> npt.NDArray[np.bool_]:
    """Per offset below the end, whether nothing is known of it."""
    import numpy as np

    missing = np.ones(end, dtype=bool)
    for run in before:
        missing[run.start : run.stop] = False
    final = records[(records["partition"] == partition) & (records["outcome"] != FAILED) & (records["offset"] < end)]
    missing[final["offset"].to_numpy()] = False
    return missing
