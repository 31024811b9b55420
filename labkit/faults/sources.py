"""The sources of a history: what labkit leaves behind as records, receipts, and the topics as they are at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import count, repeat
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from labkit.errors import BadRecord, HistoryUnreadable
from labkit.faults.event import Event, What
from labkit.faults.history import History
from labkit.faults.letter_log import letter_events
from labkit.measure.task_record import BAD, DEAD, DONE, NO_ATTEMPTS, REPEATED, REQUEUED, SHED, SPILLED
from labkit.parameters import checked
from labkit.taskqueue.record_format import foreign_key
from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import NO_OFFSET, Record

if TYPE_CHECKING:
    import pandas as pd

PRODUCER, LOG = "producer", "log"

#: How an attempt ends, by the outcome of its record; any other outcome is a failure.
_ENDS: dict[str, What] = {
    DONE: "finished",
    REPEATED: "repeated",
    SHED: "shed",
    SPILLED: "spilled",
    REQUEUED: "requeued",
}

#: Outcomes of records for which no handler began.
_UNBEGUN = (BAD, *NO_ATTEMPTS)


@checked
def from_records(
    records: pd.DataFrame,
    receipts: pd.DataFrame | None = None,
    *,
    written: Iterable[Record] = (),
    dead: Iterable[Record] | None = None,
    committed: Iterable[Event] = (),
    group: str | None = None,
    cleanup_policy: str | None = None,
    topic_id: str = "",
) -> History:
    """The history of a run from its records and receipts (see `labkit.measure.records`).

    `written`: all records of the topic, and `dead`: all of its topic of dead letters, both read from the beginning
    when the run was over. Without `dead`, what was given up counts as a dead letter. `committed`: the commits of the
    group, see `group_commits`. `group`: the name of the group whose records these are, without the prefix; commits that
    name no group are its own then, and dead letters of another group are not. The histories of several groups can be
    put together into one. `cleanup_policy`: that of the topic, if it is compacted. `topic_id`: its id, which the ids of
    tasks name that others than labkit have written; without it, the log tells nothing of them.

    Records know only of attempts that ended, so such a history has no `assigned` event, and the checker does not look
    for records skipped on poll. Raises `HistoryUnreadable` if the records, receipts or the log are of several topics.
    """
    records, written = records.drop_duplicates(), list(written)  # files that were read twice
    _must_be_one_topic("records", {*records["topic"]})
    if receipts is not None:
        _must_be_one_topic("records and receipts", {*records["topic"], *receipts["topic"]})
    _must_be_one_topic("records of the log", {record.topic for record in written})
    letters = _given_up(records) if dead is None else letter_events(dead, group=group, failed=_failed(records))
    commits = (replace(event, group=event.group or group) for event in committed)
    events = [*_of_workers(records, letters, group), *of_log(written, cleanup_policy, topic_id), *commits]
    if receipts is not None:
        events += of_receipts(receipts)
    return History(events)


def _must_be_one_topic(what: str, topics: set[str]) -> None:
    if len(topics) > 1:
        raise HistoryUnreadable(
            f"A history is of one topic, and these {what} are of {', '.join(sorted(topics))}. "
            "Take those of one: records[records['topic'] == …]."
        )


def _of_workers(records: pd.DataFrame, letters: Iterable[dict[str, Any]], group: str | None) -> Iterator[Event]:
    """Every worker's events in the order of its own clock; at one moment, one record's come before the next one's.

    Where a record shows that its worker's clock was set back, that worker's events have no order.
    """
    attempts = (event for row in _rows(records) for event in _of_attempt(row))
    events = sorted([*_without_retries(attempts), *letters], key=lambda event: event["at"])
    begun = records[~records["outcome"].isin(_UNBEGUN)]
    back = begun[(begun["finished_at"] < begun["started_at"]) | (begun["started_at"] < begun["received_at"])]
    return _numbered(({**event, "group": group} for event in events), without_order=set(back["worker"]))


def _of_attempt(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    end = _ENDS.get(row["outcome"], "failed")
    yield _event("received", row, row["received_at"])
    if row["outcome"] not in _UNBEGUN:
        yield _event("started", row, row["started_at"])
    yield {**_event(end, row, row["finished_at"]), "note": row["error"]}


def _event(what: What, row: dict[str, Any], at: float) -> dict[str, Any]:
    return {
        "what": what,
        "by": row["worker"],
        "at": at,
        "task": row["task_id"] or None,
        "key": row["key"],
        "partition": row["partition"],
        "offset": row["offset"],
        "attempt": row["attempt"],
    }


def _without_retries(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A task that its worker tries again was received once, and every attempt tells of it."""
    seen = set()
    for event in events:
        if event["what"] == "received":
            receipt = (event["by"], event["partition"], event["offset"], event["at"])
            if receipt in seen:
                continue
            seen.add(receipt)
        yield event


def of_receipts(receipts: pd.DataFrame) -> Iterator[Event]:
    """What the producer did, by its receipts."""
    events: list[dict[str, Any]] = []
    for row in _rows(receipts.drop_duplicates()):
        refused = row["error"] is not None
        offset = None if row["offset"] in (None, NO_OFFSET) else int(row["offset"])
        place = {"partition": None if row["partition"] is None else int(row["partition"]), "offset": offset}
        told: dict[str, Any] = (
            {"what": "refused", "note": row["error"]} if refused else {"what": "acknowledged", **place}
        )
        at = row["produced_at"] if row["acknowledged_at"] is None else row["acknowledged_at"]
        events.append({"what": "sent", "by": PRODUCER, "at": row["produced_at"], "task": row["task_id"]})
        events.append({**told, "by": PRODUCER, "at": at, "task": row["task_id"]})
    return _numbered(sorted(events, key=lambda event: event["at"]))


def of_log(written: Iterable[Record], cleanup_policy: str | None = None, topic_id: str = "") -> Iterator[Event]:
    """What is on the topic with this id, by all of its records; with the policy, what may be gone from it."""
    first: dict[int, int] = {}
    seq = -1
    for seq, record in enumerate(written):
        first[record.partition] = min(record.offset, first.get(record.partition, record.offset))
        task, content, same = _task_in(record, topic_id)
        yield Event(
            what="written",
            by=LOG,
            seq=seq,
            at=record.timestamp_ms / 1000,
            task=task,
            key=foreign_key(record.key),
            partition=record.partition,
            offset=record.offset,
            content=content,
            note=same,
        )
    if cleanup_policy is not None:
        for number, (partition, offset) in enumerate(first.items(), seq + 1):
            yield Event(
                what="retained", by=LOG, seq=number, at=0.0, partition=partition, offset=offset, note=cleanup_policy
            )


def _task_in(record: Record, topic_id: str) -> tuple[str | None, str | None, str | None]:
    """The id of the task in a record, a fingerprint of what is to be done, and its idempotency key; None where it is no
    task, or has none.
    """
    try:
        task = Task.decode(record, topic_id=topic_id, foreign="json")
    except BadRecord:
        return None, None, None
    work = json.dumps([task.kind, task.priority, task.payload], sort_keys=True).encode()
    return task.id, blake2b(work, digest_size=8).hexdigest(), task.idempotency_key


def of_dead_letters(dead: Iterable[Record]) -> Iterator[Event]:
    """What became a dead letter, by all records of the topic of dead letters, and which of them were taken away."""
    return _numbered(letter_events(dead))


def _failed(records: pd.DataFrame) -> set[tuple[int, int]]:
    """Where an attempt failed or a record was refused: a worker tells of that before it writes a letter."""
    failed = records[~records["outcome"].isin(_ENDS)]
    return set(zip(failed["partition"].tolist(), failed["offset"].tolist(), strict=True))


def _given_up(records: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """One dead letter per place: the same one may be given up again by the next worker."""
    given_up = records[records["outcome"].isin([DEAD, BAD])].drop_duplicates(["partition", "offset"])
    for row in _rows(given_up):
        yield {**_event("dead", row, row["finished_at"]), "note": row["error"]}


def _numbered(events: Iterable[dict[str, Any]], without_order: Iterable[str] = ()) -> Iterator[Event]:
    """Events with their actors' own numbers, given in the actors' own order; all 0 where there is no order."""
    numbers: dict[str, Iterator[int]] = {actor: repeat(0) for actor in without_order}
    for event in events:
        yield Event(seq=next(numbers.setdefault(event["by"], count())), **event)


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows, with None for what is missing."""
    plain = frame.astype(object).where(frame.notna(), None)
    names = list(plain.columns)
    for row in zip(*(plain[name].tolist() for name in names), strict=True):
        yield dict(zip(names, row, strict=True))
