"""The names of the queues, from `LABKIT_API_TOPICS`: each can be a topic of messages."""

from __future__ import annotations

from collections import Counter

from labkit.errors import LabkitError, SettingsError
from labkit.jobs import JOB_STATUS
from labkit.kafka_names import must_be_topic_name
from labkit.settings import Settings
from labkit.taskqueue.dead_letter import dead_topic
from labkit.taskqueue.topic import DEAD, LATER, must_not_be_internal

#: How many queues one server has at most, and how many, times their groups, it feeds at once: each costs a thread and
#: a connection.
MOST_QUEUES = 100


def queue_names(settings: Settings) -> tuple[str, ...]:
    """The names, in the order of the setting. Raises `SettingsError`, which says what is wrong with which."""
    names = tuple(name.strip() for name in settings.api_topics.split(",") if name.strip())
    if not names:
        raise _refused("it names no queue")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise _refused(f"it names {twice[0]!r} more than once")
    if len(names) > MOST_QUEUES:
        raise _refused(f"it names {len(names)} queues, and one server has {MOST_QUEUES} at most")
    for name in names:
        _must_be_queue(name, settings.topic_prefix)
    for number, name in enumerate(names):
        if alike := [other for other in names[:number] if _in_metrics(other) == _in_metrics(name)]:
            raise _refused(f"Kafka takes {alike[0]!r} and {name!r} for one name, since dots and underscores are alike")
    return names


def _must_be_queue(name: str, prefix: str) -> None:
    if name == JOB_STATUS:
        raise _refused(f"{name!r} is the topic of the jobs, which stand at /jobs")
    if name.endswith((DEAD, LATER)):
        raise _refused(f"{name!r} would be a topic that labkit makes beside another, as for its dead letters")
    try:
        must_be_topic_name(dead_topic(prefix + name))  # the longest of the names that are made of it
        must_not_be_internal(prefix + name)
    except LabkitError as error:
        raise _refused(str(error).removesuffix(".")) from error


def _refused(why: str) -> SettingsError:
    return SettingsError(f"LABKIT_API_TOPICS does not fit: {why}. Name each queue once, with commas between.")


def _in_metrics(name: str) -> str:
    """What Kafka makes of a name for its metrics, by which it refuses a topic that is too much like another."""
    return name.replace(".", "_")
