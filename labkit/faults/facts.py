"""What a history says, by task, by place and by actor, so that every rule can look it up."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from labkit.faults.history import Event, What


class Position(NamedTuple):
    """Where a record stands on the topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"offset {self.offset} of partition {self.partition}"


def position_of(event: Event) -> Position | None:
    """Where the event's record stands; None if the event does not say."""
    if event.partition is None or event.offset is None:
        return None
    return Position(event.partition, event.offset)


class Facts:
    """The events of one history, sorted out.

    `acknowledged`, `written`, `finished`, `dead`: by task. `written_at`, `received_at`, `finished_at`, `dead_at`: by
    place.
    `own`: every actor's events in its own order.
    """

    def __init__(self, history: Iterable[Event]) -> None:
        of_kind: defaultdict[What, list[Event]] = defaultdict(list)
        own: defaultdict[str, list[Event]] = defaultdict(list)
        for event in history:
            of_kind[event.what].append(event)
            own[event.by].append(event)
        self.own = {actor: sorted(events, key=lambda event: event.seq) for actor, events in own.items()}
        self.acknowledged = _by_task(of_kind["acknowledged"])
        self.written = _by_task(of_kind["written"])
        self.finished = _by_task(of_kind["finished"])
        self.dead = _by_task(of_kind["dead"])
        self.written_at = _by_place(of_kind["written"])
        self.received_at = _by_place(of_kind["received"])
        self.finished_at = _by_place(of_kind["finished"])
        self.dead_at = _by_place(of_kind["dead"])
        self.effects = of_kind["effect"]
        self.attempts = len(of_kind["started"])
        self._commits = of_kind["committed"]

    def promised(self) -> list[str]:
        """The tasks that must be done: those acknowledged, and those on the topic."""
        return list(dict.fromkeys([*self.acknowledged, *self.written]))

    def is_given_up(self, task: str, places: Iterable[Position]) -> bool:
        """Whether the task is among the dead letters; those that were no tasks have only a place."""
        return task in self.dead or any(place in self.dead_at for place in places)

    def claim(self, place: Position) -> Event | None:
        """A commit that says that the record at this place is done, of several the nearest; None if no commit does."""
        commits = self._by_commit_point.get(place.partition, [])
        nearest = bisect_right(commits, place.offset, key=_commit_point)
        return commits[nearest] if nearest < len(commits) else self._remembered.get(place)

    @cached_property
    def _by_commit_point(self) -> dict[int, list[Event]]:
        """Per partition, its commits in the order of their commit points."""
        found: defaultdict[int, list[Event]] = defaultdict(list)
        for commit in sorted(self._commits, key=lambda commit: (_commit_point(commit), commit.by, commit.seq)):
            if commit.partition is not None:
                found[commit.partition].append(commit)
        return dict(found)

    @cached_property
    def _remembered(self) -> dict[Position, Event]:
        """Per place beyond a commit point, the commit that says that it is done."""
        found: dict[Position, Event] = {}
        for commit in self._commits:
            for offset in commit.beyond:
                found.setdefault(Position(commit.partition or 0, offset), commit)
        return found


def _by_task(events: Iterable[Event]) -> Mapping[str, list[Event]]:
    found: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.task is not None:
            found[event.task].append(event)
    return dict(found)


def _by_place(events: Iterable[Event]) -> Mapping[Position, list[Event]]:
    found: defaultdict[Position, list[Event]] = defaultdict(list)
    for event in events:
        place = position_of(event)
        if place is not None:
            found[place].append(event)
    return dict(found)


def _commit_point(commit: Event) -> int:
    return commit.offset or 0
