"""Dead letters as events, from all records of their topic: who wrote them, and which of them were taken away."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import Any

from labkit.taskqueue import dead_letter
from labkit.taskqueue.record_format import TASK_ID, foreign_id, is_foreign
from labkit.taskqueue.transport.contract import Record

#: Stands as the actor of what tombstones tell.
LETTERS = "log of dead letters"

Place = tuple[int, int]


def letter_events(
    dead: Iterable[Record], *, group: str | None = None, failed: Collection[Place] = ()
) -> Iterator[dict[str, Any]]:
    """What the letters and tombstones tell, without `seq`. What anybody else has put there tells nothing.

    With a `group`, what is of another one is left out. But letters of one record have one key, whoever wrote them, and
    compaction keeps the last: where this group failed (`failed`: partition and offset) and no letter of its own is
    left, that of another group may stand in its place, and then nothing is held against it. Where letters of several
    topics of that name are from one place, those of the last one count.
    """
    dead = list(dict.fromkeys(dead))  # a topic that was read twice
    topic_ids = _last_topic_ids(dead)
    own: set[Place] = set()
    writers: dict[Place, str | None] = {}
    others: dict[Place, dict[str, Any]] = {}
    for record in dead:
        with suppress(KeyError, ValueError):
            gone = record.value is None
            event, writer = _taken_away(record) if gone else _letter(record)
            place = event["partition"], event["offset"]
            if _topic_id(record) not in ("", topic_ids.get(place)):
                continue
            if gone:  # whatever it says, it took all letters away that were there
                writer = group if place in own else writer or writers.get(place)
            writers[place] = writer
            if group is None or writer in (None, group):
                own.add(place)
                yield event
            else:
                others[place] = event
    for place in sorted(others.keys() & set(failed) - own):
        yield _in_place_of_ones_own(others[place])


def _topic_id(record: Record) -> str:
    """The id of the topic that a letter or a tombstone names; empty if it names none."""
    try:
        return dead_letter.key_parts(record.key or b"")[2]
    except ValueError:
        return ""


def _last_topic_ids(dead: Iterable[Record]) -> dict[Place, str]:
    """Per place the id of the topic that was named last."""
    found: dict[Place, str] = {}
    for record in dead:
        with suppress(ValueError):
            partition, offset, topic_id = dead_letter.key_parts(record.key or b"")
            if topic_id:
                found[partition, offset] = topic_id
    return found


def _letter(letter: Record) -> tuple[dict[str, Any], str | None]:
    """Its event, and the group that wrote it."""
    headers = [(name, value.decode(errors="replace")) for name, value in letter.headers if value is not None]
    # the last ones: a record may be given up twice, as when the dead letters themselves are worked on
    begin = max((place for place, (name, _) in enumerate(headers) if name == dead_letter.PARTITION), default=0)
    facts = dict(headers[begin:])
    event = {
        "what": "dead",
        "by": facts[dead_letter.WORKER],
        "at": float(facts[dead_letter.AT]),
        "task": dict(headers).get(TASK_ID) or _task_of_others(letter, facts),
        "partition": int(facts[dead_letter.PARTITION]),
        "offset": int(facts[dead_letter.OFFSET]),
        "note": facts[dead_letter.ERROR],
    }
    return event, facts.get(dead_letter.GROUP)


def _task_of_others(letter: Record, facts: dict[str, str]) -> str | None:
    """The id of the task in the letter of a record that others than labkit have written; None where it has none."""
    if not letter.value or not is_foreign(letter):
        return None
    partition, offset = int(facts[dead_letter.PARTITION]), int(facts[dead_letter.OFFSET])
    with suppress(ValueError):  # it does not say of which topic it is
        return foreign_id(letter._replace(partition=partition, offset=offset), facts.get(dead_letter.TOPIC_ID, ""))
    return None


def _taken_away(tombstone: Record) -> tuple[dict[str, Any], str | None]:
    """Its event, and whose letter it was; one by an older labkit may be either, and nothing is held against it."""
    partition, offset, _ = dead_letter.key_parts(tombstone.key or b"")
    told = dict(tombstone.headers)
    event = {
        "what": "replayed" if told.get(dead_letter.GONE) == dead_letter.REPLAYED else "dropped",
        "by": LETTERS,
        "at": tombstone.timestamp_ms / 1000,
        "partition": partition,
        "offset": offset,
    }
    writer = told.get(dead_letter.GROUP)
    return event, None if writer is None else writer.decode(errors="replace")


def _in_place_of_ones_own(other: dict[str, Any]) -> dict[str, Any]:
    """What may have become of the group's own letter, by what became of another's."""
    what = "replayed" if other["what"] == "replayed" else "dropped"
    place = {name: other[name] for name in ("at", "partition", "offset")}
    return {"what": what, "by": LETTERS, **place, "note": "another group's letter stands in its place"}
