"""Tasks that are neither on Kafka nor in Celery's queue and have no record: in a worker's hand, or gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from labkit.celery_app.capacity import SILENCE
from labkit.errors import DoneElsewhere, LabkitError, TasksLost
from labkit.taskqueue.groups.group_state import ConsumerGroupState, DoneBefore
from labkit.taskqueue.topics import PartitionLag, Topic
from labkit.taskqueue.worker_group.done_elsewhere import count_elsewhere

if TYPE_CHECKING:
    import pandas as pd

#: How long nothing may have changed when a missing record is given up, in seconds: a worker that did not run for as
#: long is seen to be silent by then.
SETTLED = SILENCE + 1.0


class Look(NamedTuple):
    """How a session stands at one moment.

    `done`: nothing is left on Kafka or in Celery's queue, as far as is counted. `records`: how many have come. `ends`:
    how many tasks there ever were on Kafka. `concurrency`: of the workers that have given a sign lately.
    """

    done: bool
    records: int
    ends: int
    concurrency: int


class MissingRecords:
    """How many tasks have no record, by their class, and whether that is the last word.

    Redis gives a task to a waiting worker the moment it is sent, and kombu notes that when the worker's process runs
    again; until then the task is counted nowhere. So what is missing is counted again whenever something has changed.
    `count` gives None where that is not known in time.
    """

    def __init__(self, count: Callable[[], Mapping[str, int] | None], clock: Callable[[], float] = monotonic) -> None:
        self.by_class: Mapping[str, int] = {}
        #: whether that is since Redis has lost everything
        self.all_lost = False
        self._count = count
        self._clock = clock
        self._seen: Look | None = None
        self._since = 0.0

    def are_final(self, look: Look, has_lost_all: Callable[[], bool]) -> bool:
        """Whether all is done, and no record is missing or none will come: Redis has lost everything, or nothing has
        changed for `SETTLED` seconds while a worker was there.
        """
        if look != self._seen:
            counted = self._count() if look.done else self.by_class
            if counted is None:
                return False
            self.by_class = counted
            self._seen, self._since = look, self._clock()
        if not look.done:
            return False
        if not self.by_class:
            return True
        self.all_lost = has_lost_all()
        return self.all_lost or (look.concurrency > 0 and self._clock() - self._since >= SETTLED)


class ClassGroup:
    """The group that reads the topic of one class, and what counted as done there when the session began."""

    def __init__(self, topic: Topic, group: str) -> None:
        self.topic = topic
        self.state = ConsumerGroupState(topic, group)
        self.before: DoneBefore = self.state.done()

    def missing(self, records: pd.DataFrame, lag: Sequence[PartitionLag], deadline: float) -> int | None:
        """How many of the tasks that have left Kafka have no record among these; None if not known by `deadline`."""
        mine = records[records["topic"] == self.topic.name]
        return count_elsewhere(self.topic, mine, state=self.state, before=self.before, lag=lag, deadline=deadline)


def what_it_means(records: pd.DataFrame, topic: str, number: int, *, group: str | None, all_lost: bool) -> LabkitError:
    """What it means that so many tasks from this topic have no record, where others may be in the `group` too."""
    known = int((records["topic"] == topic).sum())
    if all_lost:
        return TasksLost(
            f"Redis has lost what it held: {number} tasks from {topic!r} were handed to Celery and have no record, "
            f"so nobody knows whether they were done. Send them again; `records()` returns the {known} records "
            "that are known."
        )
    if group is None:
        return TasksLost(
            f"{number} tasks from {topic!r} were handed to Celery and have no record, so nobody knows whether they "
            "were done. Redis did not come back empty, but may lack what it was told last. Drain once more, or "
            f"send them again; `records()` returns the {known} records that are known."
        )
    return DoneElsewhere(
        f"All tasks on {topic!r} were handed on, but {number} of them by other bridges of the group "
        f"{group!r}, or they got lost: they have no record among the {known} here, which `records()` "
        "returns. Give the session a topic of its own, or end the other bridges."
    )
