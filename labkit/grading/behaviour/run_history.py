"""The history of a run, and what the checker says of it.

It is made of what nobody but the grader could write: the places at which its own tasks were acknowledged, what the sink
was told, by its own clock, and what the group has committed in the end. What else lies on the broker, student code may
have written or deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from labkit.errors import HistoryUnreadable
from labkit.faults import DUPLICATE, OUT_OF_ORDER, Anomaly, Event, History, check
from labkit.faults import LOST as LOST_TASK
from labkit.faults.commit_log import GROUP
from labkit.grading.behaviour.mistakes import DISORDER, HINTS, LOST, TWICE
from labkit.grading.effect_sink import Effect
from labkit.grading.question_verdict import Feedback
from labkit.grading.run_timeline import MOST_MARKS, MOST_SPANS, RunTimeline, TaskSpan, TimelineMark

#: Stands for a worker that would go on where the group has committed.
NEXT = "the next worker"
#: By the checker's name of an anomaly, that of the mistake.
_MISTAKES = {LOST_TASK: LOST, DUPLICATE: TWICE, OUT_OF_ORDER: DISORDER}

#: Where each task is on the topic.
Places = Mapping[str, tuple[int, int]]


def run_history(places: Places, effects: Sequence[Effect], committed: Mapping[int, int]) -> History:
    """What happened, as the checker takes it; every partition is one key, so that its order is judged.

    `committed` has an offset by partition. The group need not have done all: what is not committed, the next worker
    would do. Effects of tasks that are not on the topic are left out.
    """
    written = list(_written(places))
    told = [event for effect in effects if effect.task in places for event in _told(effect, places)]
    done = {event.task for event in told if event.what == "finished"}
    left = [
        event
        for event in written
        if event.task not in done and (event.offset or 0) >= committed.get(event.partition or 0, 0)
    ]
    return History([*written, *told, *_committed(committed), *_done_next(left)])


def run_timeline(
    places: Places, effects: Sequence[Effect], marks: Sequence[TimelineMark], *, workers: Iterable[str], end: float
) -> RunTimeline | None:
    """Who had which task of the topic when; nothing if nobody had any."""
    spans: list[TaskSpan] = []
    latest: dict[tuple[str, str], int] = {}
    for effect in effects:
        who = (effect.worker, effect.task)
        if effect.what == "began" and effect.task in places:
            latest[who] = len(spans)
            spans.append(TaskSpan(effect.task, effect.worker, places[effect.task][0], effect.at))
        elif who in latest:
            spans[latest[who]] = replace(spans[latest[who]], done=effect.at)
    kept = tuple(spans[:MOST_SPANS])
    return RunTimeline(tuple(workers), kept, tuple(marks)[:MOST_MARKS], end) if kept else None


def mistakes_in(history: History, *, excused: int) -> list[Feedback]:
    """What the checker finds; so many tasks may be done twice, as crashes excuse.

    Raises `HistoryUnreadable` for a history that it does not judge.
    """
    verdict = check(history)
    if verdict.refusal is not None and len(history):
        raise HistoryUnreadable(f"What happened cannot be judged: {verdict.refusal}")
    found = verdict.anomalies
    allowed = {DUPLICATE: excused}
    return [
        _feedback(anomaly, mistake)
        for name, mistake in _MISTAKES.items()
        for anomaly in found[name][allowed.get(name, 0) :]
    ]


def _feedback(anomaly: Anomaly, mistake: str) -> Feedback:
    who = None if anomaly.who in (None, NEXT) else anomaly.who
    at = None if who is None or not who.startswith("worker") else anomaly.when
    sentence = re.sub("(?i)task Task ", "Task ", anomaly.sentence)  # as tasks are called
    sentence = re.sub(r"has the same key \d+", "is of the same partition", sentence)
    return Feedback(mistake, sentence, HINTS[mistake], task=anomaly.task, who=who, at=at)


def _written(places: Places) -> Iterator[Event]:
    for number, (task, (partition, offset)) in enumerate(places.items()):
        yield Event(
            what="written",
            by="log",
            seq=number,
            at=0.0,
            task=task,
            key=str(partition),
            partition=partition,
            offset=offset,
        )


def _committed(committed: Mapping[int, int]) -> Iterator[Event]:
    for number, (partition, offset) in enumerate(committed.items()):
        yield Event(what="committed", by=GROUP, seq=number, at=0.0, partition=partition, offset=offset)


def _told(effect: Effect, places: Places) -> Iterator[Event]:
    partition, offset = places[effect.task]
    kinds = ("received", "started") if effect.what == "began" else ("finished",)
    for number, kind in enumerate(kinds):
        yield Event(
            what=kind,  # type: ignore[arg-type]  # they are kinds of events
            by=effect.worker,
            seq=2 * effect.number + number,
            at=effect.at,
            task=effect.task,
            key=str(partition),
            partition=partition,
            offset=offset,
        )


def _done_next(left: Iterable[Event]) -> Iterator[Event]:
    for number, event in enumerate(left):
        yield Event(
            what="finished",
            by=NEXT,
            seq=number,
            at=0.0,
            task=event.task,
            partition=event.partition,
            offset=event.offset,
        )
