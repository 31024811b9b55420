"""The kinds of the tasks that wait on a topic, seen before they are sent: which of them nobody handles.

A task that nobody handles becomes a dead letter when it is its turn. Where that would be all that wait, a module with
handlers was forgotten, and nothing is begun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice

from labkit.celery_app.application import broker_url
from labkit.celery_app.capacity import connect
from labkit.celery_app.kinds import HANDLERS
from labkit.celery_app.known_kinds import must_be_handled
from labkit.errors import BadRecord, HandlerNotFound, RedisRefused, RedisUnreachable, TransportError
from labkit.lab import Lab
from labkit.settings import Settings
from labkit.taskqueue.task import Task
from labkit.taskqueue.topics import Topics, read_topic

#: At how many of the tasks that wait on a topic is looked, from the oldest on.
LOOKED_AT = 200


def waiting_kinds(topics: Topics, name: str, group: str) -> Counter[str]:
    """How many of the oldest tasks that wait for this group are of each kind; what is no task is not counted.

    Raises `TransportError` and its subclasses.
    """
    floor = {place.partition: place.end - place.lag for place in topics.lag(name, group=group)}
    found: Counter[str] = Counter()
    for record in islice(read_topic(topics.transport, topics.full_name(name), floor=floor), LOOKED_AT):
        try:
            found[Task.decode(record, foreign="json").kind] += 1
        except BadRecord:
            continue
    return found


def look_for_handlers(lab: Lab, topics: Topics, groups: Mapping[str, str], settings: Settings) -> Iterable[str]:
    """For who is to send what waits on these topics, each with its group: what is to be said about handlers.

    Raises `HandlerNotFound` where all that wait on a topic would become dead letters, and for handlers of this process
    that the workers do not have. What is away is no reason not to begin.
    """
    try:
        yield from must_be_handled(connect(broker_url(settings, lab)), settings)
        for name, group in groups.items():
            yield from _unhandled(name, waiting_kinds(topics, name, group))
    except (TransportError, RedisUnreachable, RedisRefused):
        return


def _unhandled(name: str, waiting: Counter[str]) -> Iterable[str]:
    unknown = {kind: number for kind, number in waiting.items() if kind not in HANDLERS}
    if not unknown:
        return
    kinds = ", ".join(map(repr, sorted(unknown)))
    what = (
        f"{sum(unknown.values())} of the {waiting.total()} oldest tasks that wait on {name} are of kinds that nothing "
        f"handles: {kinds}."
    )
    how = (
        "Name the modules with their handlers in LABKIT_CELERY_IMPORTS, here and for `labkit celery worker`; "
        "`@labkit.handles` makes a function a handler."
    )
    if len(unknown) == len(waiting):
        raise HandlerNotFound(f"{what} Nothing was sent. {how}")
    yield f"{what} They become dead letters. {how}"
