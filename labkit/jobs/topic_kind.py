"""What a topic holds: tasks, jobs or dead letters. Whoever works on one of another kind would spoil it.

It is told by the records that are there, and by its settings where there are none; by its name alone never.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from enum import StrEnum

from labkit.errors import BadRecord
from labkit.jobs.job import JobEvent
from labkit.taskqueue.cluster_errors import OtherTopicKind
from labkit.taskqueue.dead_letter import CONFIG, GONE, DeadLetter
from labkit.taskqueue.topic import DEAD, Topic
from labkit.taskqueue.topics import Topics, first_records
from labkit.taskqueue.transport.contract import Record


class TopicKind(StrEnum):
    """What the records of a topic are."""

    TASKS = "tasks"
    JOBS = "jobs"
    DEAD_LETTERS = "dead letters"


def topic_kind(topic: Topic, *, wanted: TopicKind | None = None) -> TopicKind | None:
    """What most of the topic's first records are; None if that cannot be told, as where there are none.

    A stray record changes nothing of it; of as many of two kinds, those `wanted` count. Raises `UnknownTopic`.
    """
    counts = Counter(kind for kind in map(_kind_of, first_records(topic)) if kind is not None)
    if counts:
        return max(counts, key=lambda kind: (counts[kind], kind is wanted))
    if topic.name.endswith(DEAD) and CONFIG.items() <= _settings(topic).items():
        return TopicKind.DEAD_LETTERS
    return None


def must_hold(topic: Topic, wanted: TopicKind) -> None:
    """Raise `OtherTopicKind`, with what to do, if the topic holds something else; nothing is changed by the look.

    Raises `UnknownTopic`.
    """
    kind = topic_kind(topic, wanted=wanted)
    if kind in (None, wanted):
        return
    raise OtherTopicKind(
        f"The topic {topic.name!r} holds {kind}, not {wanted}, so it stays as it is: {_instead(topic.name, kind)}. "
        f"Or name a topic of {wanted}."
    )


def topic_of_tasks(topics: Topics, name: str) -> Topic:
    """The topic of that name. Raises `UnknownTopic`, and `OtherTopicKind` if it holds jobs or dead letters."""
    found = topics.get(name)
    must_hold(found, TopicKind.TASKS)
    return found


def must_have_letters(topics: Topics, name: str) -> None:
    """Raise `OtherTopicKind` if the topic of this name holds dead letters itself, or its topic of them holds none.

    One that is not there is no error.
    """
    known = set(topics.names())
    if name in known and topic_kind(topics.get(name)) is TopicKind.DEAD_LETTERS:
        raise OtherTopicKind(
            f"The topic {name!r} holds dead letters itself: {_instead(name, TopicKind.DEAD_LETTERS)}. "
            "Name the topic that the tasks were on."
        )
    if name + DEAD in known:
        must_hold(topics.get(name + DEAD), TopicKind.DEAD_LETTERS)


def _kind_of(record: Record) -> TopicKind | None:
    if record.value is None:  # says that something is gone
        return TopicKind.DEAD_LETTERS if any(name == GONE for name, _ in record.headers) else None
    with suppress(BadRecord):
        DeadLetter.decode(record)
        return TopicKind.DEAD_LETTERS
    with suppress(BadRecord):
        JobEvent.of(record)
        return TopicKind.JOBS
    return TopicKind.TASKS


def _settings(topic: Topic) -> dict[str, str]:
    with closing(topic.transport.admin()) as admin:
        return dict(admin.describe_topic(topic.full_name).config)


def _instead(name: str, kind: TopicKind) -> str:
    """What to do with a topic of this kind."""
    if kind is TopicKind.TASKS:
        return f"`labkit work --topic {name}` works on tasks"
    if kind is TopicKind.JOBS:
        return f"`labkit jobs consume --group GROUP --topic {name}` works on jobs"
    of = name.removesuffix(DEAD)
    return f"`labkit dead list --topic {of}` shows dead letters, and `labkit dead replay` puts them back"
