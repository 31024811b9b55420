"""Dead letters that the broker refuses: none of them holds up the others.

Letters are written in batches. Those of a batch that is refused are tried each by itself, then without what their
records held. What is refused even so is stuck: somebody has to mend the topic of dead letters. To wait for a topic that
does not answer, while all else does, holds up the whole worker; so after some waits in vain all letters wait for an
answer, which is tried once in a while. They count as stuck until there is one, and go in batches then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from labkit.errors import NotAcknowledged
from labkit.logs.safe_logger import safe_logger
from labkit.taskqueue.dead_letter import dead_topic, record_size
from labkit.taskqueue.engine.work_item import WorkItem

#: How many letters go into one transaction, whose time is limited, …
MAX_LETTERS = 100
#: … and how much their records hold together, in bytes; a larger one goes by itself.
MAX_BYTES = 2_000_000
#: How many letters that were refused are tried by themselves in one go.
MAX_SINGLE = 10
#: After how long a letter that is stuck is tried again, in seconds: the topic may have been mended.
STUCK_INTERVAL = 30.0
#: When the broker did not answer to letters so often, one time after the other, none is tried for a while.
MAX_SILENCES = 3
#: How many places are named of the letters that could not be written.
NAMED = 3

log = safe_logger("labkit.worker")


class _Stage(IntEnum):
    """How a letter that was refused is tried next."""

    BY_ITSELF, WITHOUT_RECORD, STUCK = range(3)


class _Refused(NamedTuple):
    """How, and when, by the clock; whether it is to hold what its record held."""

    stage: _Stage
    not_before: float
    with_record: bool


class RefusedLetters:
    """The letters of one worker that were refused, and how each is tried next.

    `consequence` is a sentence for people: what becomes of one that is stuck. `clock` is in seconds and only measures.
    """

    def __init__(self, topic: str, worker: str, consequence: str, clock: Callable[[], float]) -> None:
        self._topic = topic
        self._worker = worker
        self._consequence = consequence
        self._clock = clock
        self._refused: dict[WorkItem, _Refused] = {}
        # how often the broker did not answer, one time after the other, and until when none is tried therefore
        self._silences, self._silence, self._silent_until = 0, "", 0.0
        # those that wait for an answer, and the partitions of which that was said
        self._unanswered: dict[WorkItem, None] = {}
        self._said: set[int] = set()

    def keep(self, items: Collection[WorkItem]) -> None:
        """Forget all others than these: they are through, or others look after them."""
        self._refused = {item: self._refused[item] for item in items if item in self._refused}
        self._unanswered = {item: None for item in items if item in self._unanswered}

    def batches(self, items: Iterable[WorkItem]) -> list[list[WorkItem]]:
        """What is to be written together: as many as may, and then some that were refused, by themselves."""
        if self.is_silent:
            return []
        batch: list[WorkItem] = []
        single: list[WorkItem] = []
        size = 0
        for item in items:
            refused = self._refused.get(item)
            if refused is None:
                size += record_size(item.record)
                if len(batch) < MAX_LETTERS and (size <= MAX_BYTES or not batch):
                    batch.append(item)
            elif self._clock() >= refused.not_before and len(single) < MAX_SINGLE:
                single.append(item)
        return [one for one in (batch, *([item] for item in single)) if one]

    def with_record(self, item: WorkItem) -> bool:
        """Whether the letter is to hold what its record held."""
        refused = self._refused.get(item)
        return refused is None or refused.with_record

    def stuck(self) -> list[WorkItem]:
        """Those that cannot be written."""
        stuck = (item for item, refused in self._refused.items() if refused.stage is _Stage.STUCK)
        return [*self._unanswered, *stuck]

    @property
    def is_silent(self) -> bool:
        """Whether the broker has so often not answered to letters that none is to be tried now."""
        return self._clock() < self._silent_until

    def answered(self) -> None:
        """The broker has taken some."""
        self._silences = 0
        self._unanswered.clear()
        self._said.clear()

    def unanswered(self, error: Exception) -> None:
        """The broker did not answer in time to letters, though it did to something else."""
        self._silences += 1
        self._silence = str(error)
        if self._silences >= MAX_SILENCES:
            self._silent_until = self._clock() + STUCK_INTERVAL

    def wait_for_answer(self, items: Iterable[WorkItem]) -> None:
        """These are tried when the silence is over; that is said once per partition."""
        known = set(self.stuck())
        new = [item for item in items if item not in known]
        self._unanswered |= dict.fromkeys(new)
        partitions = {item.record.partition for item in new}
        if partitions - self._said:
            self._said |= partitions
            log.error(
                "%s: the dead letters of %s of %r cannot be written: the broker answers, but not to them: %s %s",
                *(self._worker, _places(new), self._topic, self._silence, self._consequence),
            )

    def refuse(self, items: Sequence[WorkItem], error: Exception) -> None:
        """The broker has taken none of these."""
        self._no_longer_wait(items)
        is_for_good = isinstance(error, (NotAcknowledged, ValueError))
        if len(items) > 1 or (items[0] not in self._refused and not is_for_good):
            log.warning("%s: %d dead letters are refused: %s", self._worker, len(items), error)
            self._refused |= dict.fromkeys(items, _Refused(_Stage.BY_ITSELF, 0.0, with_record=True))
            return
        [item] = items
        if self.with_record(item):
            place = item.record.offset, item.record.partition
            log.warning("%s: the dead letter of offset %d of partition %d is refused: %s", self._worker, *place, error)
            self._refused[item] = _Refused(_Stage.WITHOUT_RECORD, 0.0, with_record=False)
        else:
            self.stick(items, f"it is refused also without what its record held: {error}")

    def stick(self, items: Sequence[WorkItem], reason: str) -> None:
        """These cannot be written, for this reason."""
        self._no_longer_wait(items)
        known = set(self.stuck())
        for item in items:
            if item not in known:
                log.error(
                    "%s: the dead letter of offset %d of partition %d of %r cannot be written: %s %s",
                    *(self._worker, item.record.offset, item.record.partition, self._topic, reason, self._consequence),
                )
            self._refused[item] = _Refused(_Stage.STUCK, self._clock() + STUCK_INTERVAL, self.with_record(item))

    def _no_longer_wait(self, items: Iterable[WorkItem]) -> None:
        for item in items:
            self._unanswered.pop(item, None)


def without_letters(topic: str, *, given_up: Sequence[WorkItem], at_risk: Sequence[WorkItem]) -> str:
    """What becomes of records of a share group that have no letter, for people; "" if there are none.

    Kafka gives some up, and would give up those at risk after the next delivery.
    """
    words = []
    if given_up:
        words.append(
            f"The dead letters of {_places(given_up)} of {topic!r} could not be written in the last delivery, so Kafka "
            "gives these records up. They stay on the topic as long as others: send their tasks again."
        )
    if at_risk:
        words.append(
            f"The dead letters of {_places(at_risk)} of {topic!r} cannot be written, and the next delivery is the last "
            f"one. Mend the topic {dead_topic(topic)!r}, then start the workers again."
        )
    return " ".join(words)


def _places(items: Sequence[WorkItem]) -> str:
    """Where the first ones are, and how many there are."""
    places = ", ".join(f"offset {item.record.offset} of partition {item.record.partition}" for item in items[:NAMED])
    return places if len(items) <= NAMED else f"{places}, … ({len(items)} in all)"
