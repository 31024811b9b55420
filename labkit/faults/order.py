"""Rules on the order of things. Two moments are compared only if one and the same actor saw both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from labkit.faults.facts import Facts, Position, position_of
from labkit.faults.history import Event
from labkit.faults.verdict import GOING_BACK, OUT_OF_ORDER, Anomaly


def offsets_going_back(facts: Facts) -> Iterator[Anomaly]:
    """Commit points, assignments and receipts below a commit point that the same actor knew before."""
    for events in facts.own.values():
        known: dict[int, int] = {}
        for event in events:
            place = position_of(event)
            if place is None or event.what not in ("assigned", "committed", "received"):
                continue
            partition, offset = place
            if offset < known.get(partition, 0):
                yield _going_back(event, place, known[partition])
                known[partition] = offset  # one anomaly for what goes back once
            elif event.what != "received":
                known[partition] = offset


def _going_back(event: Event, place: Position, known: int) -> Anomaly:
    did = {
        "committed": f"committed offset {place.offset}",
        "assigned": f"was told to start at offset {place.offset}",
        "received": f"went back to offset {place.offset}",
    }[event.what]
    return Anomaly(
        name=GOING_BACK,
        task=event.task,
        partition=place.partition,
        offset=place.offset,
        who=event.by,
        when=event.at,
        sentence=(
            f"On partition {place.partition} everything before offset {known} was committed as done, and then "
            f"{event.by} {did}: work that was done may be done again."
        ),
    )


def out_of_order_within_a_key(facts: Facts) -> Iterator[Anomaly]:
    """Tasks that a worker began before it had finished an earlier one of their key, outside a redelivery."""
    for events in facts.own.values():
        for of_key in _by_key(events).values():
            yield from _overtaking(facts, of_key)


def _by_key(events: Iterable[Event]) -> dict[tuple[int, str], list[tuple[int, Event]]]:
    """The attempts on tasks with a key, by partition and key, each with its number in the worker's own order."""
    found: defaultdict[tuple[int, str], list[tuple[int, Event]]] = defaultdict(list)
    for number, event in enumerate(events):
        if event.what in ("started", "finished") and event.key is not None and event.partition is not None:
            found[event.partition, event.key].append((number, event))
    return found


def _overtaking(facts: Facts, attempts: list[tuple[int, Event]]) -> Iterator[Anomaly]:
    """One anomaly per task that began too early; `attempts` are one worker's on one key of one partition."""
    begun: dict[Position, tuple[int, Event]] = {}
    done: dict[Position, int] = {}
    for number, event in attempts:
        place = position_of(event)
        if place is None:
            continue
        if event.what == "started":
            begun.setdefault(place, (number, event))
        else:
            done[place] = number
    slowest: Position | None = None  # of all earlier places, the one that was finished last
    for place in sorted(begun):
        number, event = begun[place]
        if slowest is not None and number < done[slowest]:
            yield _out_of_order(event, slowest)
        if place in done and _delivered_once(facts, place) and (slowest is None or done[place] > done[slowest]):
            slowest = place


def _delivered_once(facts: Facts, place: Position) -> bool:
    """Whether no other delivery can have ended this task before."""
    return all(len(events.get(place, [])) <= 1 for events in (facts.received_at, facts.finished_at))


def _out_of_order(event: Event, before: Position) -> Anomaly:
    return Anomaly(
        name=OUT_OF_ORDER,
        task=event.task,
        partition=event.partition,
        offset=event.offset,
        who=event.by,
        when=event.at,
        sentence=(
            f"{event.by} began task {event.task} (offset {event.offset}) before it had finished the one at offset "
            f"{before.offset}, which has the same key {event.key} and comes first."
        ),
    )
