"""Rules on what may happen only once. They count, and need no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from labkit.faults.facts import Facts, position_of
from labkit.faults.history import Event
from labkit.faults.verdict import DEAD_TWICE, DUPLICATE, EFFECT_TWICE, Anomaly


def duplicates(facts: Facts) -> Iterator[Anomaly]:
    """One for every time that a task was finished beyond the first."""
    for task, events in facts.finished.items():
        for event in events[1:]:
            yield _again(DUPLICATE, event, f"Task {task} was finished {len(events)} times, {_why(facts, events)}.")


def _why(facts: Facts, events: Sequence[Event]) -> str:
    copies = sorted({place for place in map(position_of, events) if place is not None})
    if len(copies) > 1:
        return f"by {_actors(events)}: it is on the topic more than once, at {' and at '.join(map(str, copies))}"
    deliveries = sum(len(facts.received_at.get(place, [])) for place in copies)
    times = "once" if deliveries == 1 else f"{deliveries} times"
    return f"by {_actors(events)}: it was delivered {times}"


def dead_lettered_twice(facts: Facts) -> Iterator[Anomaly]:
    """One for every dead letter of the same record beyond the first."""
    for place, events in facts.dead_at.items():
        for event in events[1:]:
            name = f"Task {event.task}" if event.task else "The record"
            said = f"{name} at {place} became a dead letter {len(events)} times, by {_actors(events)}."
            yield _again(DEAD_TWICE, event, said)


def effects_done_twice(facts: Facts) -> Iterator[Anomaly]:
    """One for every time that an effect was done beyond the first."""
    done: defaultdict[str, list[Event]] = defaultdict(list)
    for event in facts.effects:
        done[event.key or event.task or ""].append(event)
    for key, events in done.items():
        for event in events[1:]:
            said = f"The effect {key} of task {event.task} was done {len(events)} times, by {_actors(events)}."
            yield _again(EFFECT_TWICE, event, said)


def _actors(events: Sequence[Event]) -> str:
    return " and ".join(dict.fromkeys(event.by for event in events))


def _again(name: str, event: Event, sentence: str) -> Anomaly:
    return Anomaly(
        name=name,
        task=event.task,
        partition=event.partition,
        offset=event.offset,
        who=event.by,
        when=event.at,
        sentence=sentence,
    )
