"""Defects planted into a good history: each changes one thing. None if the history has no place for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from labkit.faults import (
    DEAD_TWICE,
    DUPLICATE,
    EFFECT_TWICE,
    GOING_BACK,
    LOST,
    OUT_OF_ORDER,
    SKIPPED,
    UNWRITTEN,
    Event,
    History,
)

Plant = Callable[[History, random.Random], History | None]


def of(history: History, *kinds: str) -> list[Event]:
    return [event for event in history if event.what in kinds]


def place(event: Event) -> tuple[int | None, int | None]:
    return event.partition, event.offset


def own(history: History, actor: str, *kinds: str) -> list[Event]:
    """An actor's events of these kinds in its own order."""
    return sorted((event for event in of(history, *kinds) if event.by == actor), key=lambda event: event.seq)


def then(history: History, actor: str, events: Iterable[Event]) -> History:
    """The history in which the actor does these things last."""
    last = max((event.seq for event in history if event.by == actor), default=-1)
    return History([*history, *(replace(e, by=actor, seq=last + n) for n, e in enumerate(events, 1))])


def lose(history: History, rng: random.Random) -> History | None:
    """Nobody finished this task."""
    done = of(history, "finished")
    if not done:
        return None
    task = rng.choice(done).task
    return History(e for e in history if not (e.task == task and e.what in ("finished", "dead")))


def repeat(history: History, rng: random.Random) -> History | None:
    """One more worker does a task that is done."""
    done = of(history, "finished")
    if not done:
        return None
    again = rng.choice(done)
    kinds = ("assigned", "received", "started", "finished")
    return then(history, "worker-late", [replace(again, what=kind) for kind in kinds])


def overtake(history: History, rng: random.Random) -> History | None:
    """A worker begins the second of two tasks of a key before the first is done."""
    begun = of(history, "started")
    once = [e for e in of(history, "finished") if sum(place(r) == place(e) for r in of(history, "received")) == 1]
    pairs = [
        (first, second)
        for first in once
        for second in begun
        if (first.by, first.partition, first.key) == (second.by, second.partition, second.key)
        and first.offset < second.offset
        and first.seq < second.seq
    ]
    if not pairs:
        return None
    first, second = rng.choice(pairs)
    # between any two events there is room for one more
    return History(replace(e, seq=2 * (first.seq if e == second else e.seq) - (e == second)) for e in history)


def go_back(history: History, rng: random.Random) -> History | None:
    """A worker commits, is told, or receives an offset that it knows to be committed."""
    commits = [event for event in of(history, "committed") if event.offset]
    if not commits:
        return None
    commit = rng.choice(commits)
    of_partition = [e for e in own(history, commit.by, "committed", "assigned") if e.partition == commit.partition]
    known = of_partition[-1].offset
    what = rng.choice(["committed", "assigned", "received"])
    back = Event(what=what, by="", seq=0, at=0.0, partition=commit.partition, offset=rng.randrange(known))
    return then(history, commit.by, [back])


def skip(history: History, rng: random.Random) -> History | None:
    """Nobody ever received this record, and the worker that should have went on to the next."""
    passed = []
    for actor in {event.by for event in of(history, "received")}:
        events = own(history, actor, "assigned", "received")
        for event in (e for e in events if e.what == "received"):
            after = (e for e in events if e.seq > event.seq and e.partition == event.partition)
            following = next(after, None)
            if following is not None and following.what == "received":
                passed.append(event)
    if not passed:
        return None
    gone = rng.choice(sorted(passed, key=lambda event: (event.by, event.seq)))
    kept = ("sent", "acknowledged", "written", "committed", "assigned")
    return History(e for e in history if e.what in kept or (e.task != gone.task and place(e) != place(gone)))


def unwrite(history: History, rng: random.Random) -> History | None:
    """An acknowledged record is not on the topic. (Its task was done, so it is not lost as well.)

    One at the beginning of a partition may have expired, or gone by compaction where no key stands twice yet.
    """
    written = of(history, "written")
    lane = [(event.partition, event.key) for event in sorted(written, key=place)]
    third = [event for n, event in enumerate(sorted(written, key=place)) if lane[:n].count(lane[n]) >= 2]
    if not third:
        return None
    gone = rng.choice(third)
    return History(event for event in history if event != gone)


def bury_twice(history: History, rng: random.Random) -> History | None:
    """A task becomes a dead letter by two workers."""
    dead = of(history, "dead")
    if not dead:
        return None
    return then(history, "worker-late", [rng.choice(dead)])


def effect_twice(history: History, rng: random.Random) -> History | None:
    """An effect is done again."""
    done = of(history, "effect")
    if not done:
        return None
    return then(history, "worker-late", [rng.choice(done)])


DEFECTS: dict[Plant, set[str]] = {
    lose: {LOST},
    repeat: {DUPLICATE},
    overtake: {OUT_OF_ORDER},
    go_back: {GOING_BACK},
    skip: {SKIPPED, LOST},
    unwrite: {UNWRITTEN},
    bury_twice: {DEAD_TWICE},
    effect_twice: {EFFECT_TWICE},
}
