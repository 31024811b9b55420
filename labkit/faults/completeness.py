"""Rules on what must have happened: nothing lost, nothing acknowledged that is not there, nothing passed over.

These rules ask whether something happened at all, never when, so that no clock is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from labkit.faults.facts import Facts, Position, position_of
from labkit.faults.history import Event
from labkit.faults.verdict import LOST, SKIPPED, UNWRITTEN, Anomaly


def lost_tasks(facts: Facts) -> Iterator[Anomaly]:
    """Promised tasks that nobody finished and that are no dead letters."""
    for task in facts.promised():
        promises = facts.written.get(task, []) or facts.acknowledged[task]
        places = [place for place in map(position_of, promises) if place is not None]
        if task not in facts.finished and not facts.is_given_up(task, places):
            yield _lost(facts, task, places[0] if places else None)


def _lost(facts: Facts, task: str, place: Position | None) -> Anomaly:
    claim = None if place is None else facts.claim(place)
    if claim is not None:
        said = (
            f"Task {task} at {place} was committed as done by {claim.by}, but nobody finished it, so no restart will "
            "bring it back."
        )
    elif task in facts.written or not facts.written:
        said = f"Task {task} was on the topic ({place}), but when the run was over nobody had finished it."
    else:
        said = f"The producer was told that task {task} is safe, but nobody finished it."
    return Anomaly(
        name=LOST,
        task=task,
        partition=place.partition if place else None,
        offset=place.offset if place else None,
        who=claim.by if claim else None,
        when=claim.at if claim else None,
        sentence=said,
    )


def acknowledged_but_unwritten(facts: Facts) -> Iterator[Anomaly]:
    """Acknowledgements for which the log has another record or none, where the log was read at all."""
    if not facts.written_at:
        return
    for task, acknowledgements in facts.acknowledged.items():
        for event in acknowledgements:
            place = position_of(event)
            if place is None:  # acks=0: the broker does not say where
                there = task in facts.written
            else:
                there = any(written.task == task for written in facts.written_at.get(place, []))
            if not there:
                yield Anomaly(
                    name=UNWRITTEN,
                    task=task,
                    partition=event.partition,
                    offset=event.offset,
                    who=event.by,
                    when=event.at,
                    sentence=f"{event.by} was told that task {task} is safe{_at(place)}, but it is not on the topic.",
                )


def _at(place: Position | None) -> str:
    return "" if place is None else f" at {place}"


@dataclass(slots=True)
class _Stint:
    """One worker's time with one partition. Kafka hands it the records from `start` on in order."""

    worker: str
    start: int
    last: Event | None = None

    def passed(self, offset: int) -> bool:
        return self.last is not None and self.start <= offset < (self.last.offset or 0)


def skipped_on_poll(facts: Facts) -> Iterator[Anomaly]:
    """Records that a commit says are done, that nobody received, and that a worker passed over while it read on."""
    unseen = [place for place in facts.written_at if place not in facts.received_at and place not in facts.dead_at]
    stints = _stints(facts) if unseen else {}
    for place in unseen:
        stint = next((stint for stint in stints.get(place.partition, []) if stint.passed(place.offset)), None)
        if stint is None or stint.last is None or facts.claim(place) is None:
            continue
        task = facts.written_at[place][0].task
        name = f"Task {task}" if task else "The record"
        yield Anomaly(
            name=SKIPPED,
            task=task,
            partition=place.partition,
            offset=place.offset,
            who=stint.worker,
            when=stint.last.at,
            sentence=(
                f"{name} at {place} was never received by anyone: {stint.worker} read on to offset {stint.last.offset} "
                "without it, and a commit says that it is done."
            ),
        )


def _stints(facts: Facts) -> dict[int, list[_Stint]]:
    """All stints by partition. A receipt before its worker's first assignment is in none: its beginning is unknown."""
    stints: dict[int, list[_Stint]] = {}
    for worker, events in facts.own.items():
        current: dict[int, _Stint] = {}
        for event in events:
            place = position_of(event)
            if place is None:
                continue
            if event.what == "assigned":
                current[place.partition] = _Stint(worker, place.offset)
                stints.setdefault(place.partition, []).append(current[place.partition])
            elif event.what == "received" and place.partition in current:
                stint = current[place.partition]
                if stint.last is None or place.offset > (stint.last.offset or 0):
                    stint.last = event
    return stints
