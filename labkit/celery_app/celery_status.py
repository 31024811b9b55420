"""How Celery stands: what one worker has done so far, counted over its processes, and the queue with its workers."""

from __future__ import annotations

import mmap
from ctypes import c_uint64, sizeof
from typing import Any

import redis
from billiard.process import current_process
from kombu.utils.url import maybe_sanitize_url
from msgspec import Struct, to_builtins

from labkit.celery_app.application import broker_url, celery_url
from labkit.celery_app.capacity import Capacity, connect, running_workers
from labkit.errors import RedisUnreachable, SettingsError
from labkit.fork_lock import lock_of_module
from labkit.measure.task_record import DEAD, DONE, FAILED, REPEATED
from labkit.settings import Settings

#: A run of a task that Beat has sent.
PERIODIC = "periodic"
#: What is counted.
COUNTED = (DONE, FAILED, DEAD, REPEATED, PERIODIC)

#: How many processes have a row of their own, of 40 bytes: a pool may be grown while it works, by Celery's `pool_grow`.
ROWS = 10_000

# Celery forks its processes while other threads of the worker may just count something.
_AMONG_THREADS = lock_of_module()


class OutcomeCounter:
    """Counts in memory that forked processes share. Each has a row of its own, so that one which is killed in the
    middle leaves no lock behind; the process that takes its place goes on with its row.
    """

    def __init__(self) -> None:
        size = ROWS * len(COUNTED)
        self._counts = (c_uint64 * size).from_buffer(mmap.mmap(-1, size * sizeof(c_uint64)))

    def add(self, what: str) -> None:
        """Count one in the row of this process."""
        row = getattr(current_process(), "index", 0) % ROWS
        with _AMONG_THREADS:
            self._counts[row * len(COUNTED) + COUNTED.index(what)] += 1

    def total(self, what: str) -> int:
        """The sum over all processes."""
        return sum(self._counts[COUNTED.index(what) :: len(COUNTED)])


class CeleryStatus(Struct, frozen=True, kw_only=True):
    """Celery at one moment.

    `workers`: how many tasks each performs at once, by its name. `waiting`: per priority level, 0 the most urgent.
    `unacknowledged`: taken by workers and not finished. `reserved`: by dispatchers that are about to send. `taken` is
    the sum of these; `capacity` is how much that may be, `limit` per task at once.
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


def celery_status(settings: Settings) -> CeleryStatus:
    """How the Celery of these settings stands now. Raises `RedisUnreachable`, `RedisRefused`, `SettingsError`
    and `LabNotRunning`.
    """
    url = reachable_broker(settings)
    client = connect(url)
    count = Capacity(client, settings, limit=settings.celery_limit).count()  # it forgets who has fallen silent
    return CeleryStatus(
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
    except redis.RedisError as error:  # whatever it answers to a ping
        reason = str(error).rstrip(".")
        raise RedisUnreachable(
            f"Celery's Redis at {maybe_sanitize_url(url)} does not answer: {reason}. `labkit status` tells whether the "
            "lab is running; LABKIT_CELERY_BROKER_URL and LABKIT_REDIS_URL name another Redis."
        ) from error
    except (ValueError, TypeError) as error:  # redis-py's words for an option of the URL that it does not know
        raise SettingsError(f"The URL of Celery's Redis, {maybe_sanitize_url(url)}, does not fit: {error}.") from error
    return url
