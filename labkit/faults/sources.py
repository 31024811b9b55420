"""The sources of a history: what labkit leaves behind as records, receipts, and the topics as they are at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from labkit.errors import BadRecord, HistoryUnreadable
from labkit.faults.history import Event, History, What
from labkit.measure.records import BAD, DEAD, DONE
from labkit.taskqueue import dead_letters
from labkit.taskqueue.task import TASK_ID, Task
from labkit.taskqueue.transport.contract import NO_OFFSET, Record

if TYPE_CHECKING:
    import pandas as pd


PRODUCER, LOG = "producer", "log"


def from_records(
    records: pd.DataFrame,
    receipts: pd.DataFrame | None = None,
    *,
    written: Iterable[Record] = (),
    dead: Iterable[Record] | None = None,
    committed: Iterable[Event] = (),
) -> History:
    """The history of a run from its records and receipts (see `labkit.measure.records`).

    `written`: all records of the topic, and `dead`: all of its topic of dead letters, both read from the beginning
    when the run was over. Without `dead`, what was given up counts as a dead letter. `committed`: the commits of the
    group, see `group_commits`.

    Records know only of attempts that ended, so such a history has no `assigned` event, and the checker does not look
    for records skipped on poll. Raises `HistoryUnreadable` if the records are of several topics.
    """
    topics = records["topic"].unique()
    if len(topics) > 1:
        raise HistoryUnreadable(
            f"A history is of one topic, and these records are of {', '.join(sorted(topics))}. "
            "Take those of one: records[records['topic'] == …]."
        )
    events = [*_of_workers(records), *of_log(written), *committed]
    if receipts is not None:
        events += of_receipts(receipts)
    events += _given_up(records) if dead is None else of_dead_letters(dead)
    return History(events)


def _of_workers(records: pd.DataFrame) -> Iterator[Event]:
    """Every worker's events in the order of its own clock; at one moment, one record's come before the next one's."""
    events = (event for row in _rows(records) for event in _of_attempt(row))
    return _numbered(sorted(_without_retries(events), key=lambda event: event["at"]))


def _of_attempt(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    end: What = "finished" if row["outcome"] == DONE else "failed"
    for what, column in (("received", "received_at"), ("started", "started_at"), (end, "finished_at")):
        yield {
            "what": what,
            "by": row["worker"],
            "at": row[column],
            "task": row["task_id"] or None,
            "key": row["key"],
            "partition": row["partition"],
            "offset": row["offset"],
            "attempt": row["attempt"],
            "note": row["error"] if what == end else None,
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
    for row in _rows(receipts):
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


def of_log(written: Iterable[Record]) -> Iterator[Event]:
    """What is on the topic, by all of its records."""
    for seq, record in enumerate(written):
        yield Event(
            what="written",
            by=LOG,
            seq=seq,
            at=record.timestamp_ms / 1000,
            task=_task_id(record),
            key=None if record.key is None else record.key.decode(errors="replace"),
            partition=record.partition,
            offset=record.offset,
        )


def _task_id(record: Record) -> str | None:
    try:
        return Task.decode(record).id
    except BadRecord:
        return None


def of_dead_letters(dead: Iterable[Record]) -> Iterator[Event]:
    """What became a dead letter, by all records of the topic of dead letters."""
    letters = (record for record in dead if record.value is not None)  # the others say what was replayed or dropped
    for seq, letter in enumerate(letters):
        headers = {name: value.decode(errors="replace") for name, value in letter.headers}
        yield Event(
            what="dead",
            by=headers[dead_letters.WORKER],
            seq=seq,
            at=float(headers[dead_letters.AT]),
            task=headers.get(TASK_ID),
            partition=int(headers[dead_letters.PARTITION]),
            offset=int(headers[dead_letters.OFFSET]),
            note=headers[dead_letters.ERROR],
        )


def _given_up(records: pd.DataFrame) -> Iterator[Event]:
    """One dead letter per place: the same one may be given up again by the next worker."""
    given_up = records[records["outcome"].isin([DEAD, BAD])].drop_duplicates(["partition", "offset"])
    events = [next(event for event in _of_attempt(row) if event["what"] == "failed") for row in _rows(given_up)]
    return _numbered([{**event, "what": "dead"} for event in events])


def _numbered(events: Iterable[dict[str, Any]]) -> Iterator[Event]:
    """Events with their actors' own numbers, given in the actors' own order."""
    numbers: dict[str, Iterator[int]] = {}
    for event in events:
        yield Event(seq=next(numbers.setdefault(event["by"], count())), **event)


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows, with None for what is missing."""
    plain = frame.astype(object).where(frame.notna(), None)
    names = list(plain.columns)
    for row in zip(*(plain[name].tolist() for name in names), strict=True):
        yield dict(zip(names, row, strict=True))
