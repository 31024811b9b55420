"""How Celery stands: its workers, what waits on each priority level, what is taken and how much may be."""

from __future__ import annotations

from typing import Any

import redis
from kombu.utils.url import maybe_sanitize_url
from msgspec import Struct, to_builtins

from labkit.dispatch.app import broker_url, celery_url
from labkit.dispatch.room import Room, connect, running_workers
from labkit.errors import RedisUnreachable, SettingsError
from labkit.settings import Settings


class Overview(Struct, frozen=True, kw_only=True):
    """Celery at one moment.

    `workers`: the processes (or threads) of each, by its name. `waiting`: per priority level, 0 the most urgent.
    `unacknowledged`: taken by workers and not finished. `reserved`: by dispatchers that are about to send. `taken` is
    the sum of these; `capacity` is how much that may be, `limit` per process.
    """

    broker: str
    workers: dict[str, int]
    waiting: tuple[int, ...]
    unacknowledged: int
    reserved: int
    taken: int
    capacity: int
    limit: int

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        found: dict[str, Any] = to_builtins(self)
        return found


def look(settings: Settings) -> Overview:
    """How the Celery of these settings stands now. Raises `RedisUnreachable`, `SettingsError` and `LabNotRunning`."""
    url = reachable_broker(settings)
    client = connect(url)
    count = Room(client, settings, limit=settings.celery_limit).count()  # it forgets who has fallen silent
    return Overview(
        broker=maybe_sanitize_url(url),
        workers=running_workers(client, settings),
        waiting=count.waiting,
        unacknowledged=count.unacknowledged,
        reserved=count.reserved,
        taken=count.taken,
        capacity=count.capacity,
        limit=settings.celery_limit,
    )


def reachable_broker(settings: Settings) -> str:
    """The URL of Celery's Redis, which answers. Raises `RedisUnreachable`, `SettingsError` and `LabNotRunning`."""
    url = broker_url(settings)
    celery_url(url)  # only a Redis will do
    try:
        connect(url).ping()
    except redis.RedisError as error:
        reason = str(error).rstrip(".")
        raise RedisUnreachable(
            f"Celery's Redis at {maybe_sanitize_url(url)} does not answer: {reason}. `labkit status` tells whether the "
            "lab is running; LABKIT_CELERY_BROKER_URL and LABKIT_REDIS_URL name another Redis."
        ) from error
    except (ValueError, TypeError) as error:  # redis-py's words for an option of the URL that it does not know
        raise SettingsError(f"The URL of Celery's Redis, {maybe_sanitize_url(url)}, does not fit: {error}.") from error
    return url
