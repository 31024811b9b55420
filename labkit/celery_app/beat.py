"""Celery's Beat: sends the periodic tasks when they are due. The schedule and a lock on it are in Redis, by RedBeat, so
that of several Beats one is at work and another takes over when it ends or falls silent.

    no lock  →  waits  →  has the lock: loads the schedule, ticks at least once a second, each time renewing the lock
                  ↑                                  ↓
                  └─── lost it, or Redis went away ──┘

A Beat that was frozen in the middle of a tick may still send what another has sent meanwhile. So the id of a run is
made from when the run before it was, which is in Redis: both sendings have the same id, and a worker does it once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import NAMESPACE_URL, uuid5

import redis
from kombu.exceptions import OperationalError
from redbeat.schedulers import LUA_EXTEND_TO_SCRIPT, RedBeatScheduler, RedBeatSchedulerEntry, ensure_conf, get_redis
from redis.exceptions import LockError

from labkit.celery_app.application import BEAT_SILENCE, QUEUE, broker_url, make_app
from labkit.celery_app.periodic_tasks import periods
from labkit.errors import LabkitError, RedisRefused, WorkerFailed
from labkit.lab import Lab
from labkit.logs.safe_logger import safe_logger
from labkit.outage import Outage
from labkit.process.child_process import STOP_TIMEOUT
from labkit.process.signals import held_back
from labkit.redis_clock import last_at_most
from labkit.redis_state import labkit_error
from labkit.resource import Resource
from labkit.settings import Settings, load_settings

if TYPE_CHECKING:
    from celery import Celery
    from redis.lock import Lock

#: How long Beat sleeps between two looks at the schedule, at most, in seconds. Each look renews the lock.
MAX_INTERVAL = 1.0
#: How long to wait before Redis is tried again, in seconds.
RETRY_INTERVAL = 0.5
#: How much earlier than another's the clock of a Beat may be before it counts as one that was set back.
CLOCK_DIFFERENCE = timedelta(seconds=BEAT_SILENCE)
#: How long a task may wait for a worker, in seconds; then it is dropped, since the next ones have come.
EXPIRES = 60

log = safe_logger("labkit.beat")


def beat_app(url: str, settings: Settings) -> Celery:
    """The application of a Beat for the Redis at this URL. Raises `SettingsError`."""
    app = make_app(url, settings)
    app.conf.update(
        beat_schedule={
            name: {"task": name, "schedule": period.schedule, "options": {"queue": QUEUE, "expires": EXPIRES}}
            for name, period in periods(settings).items()
        },
        result_expires=None,  # else Beat would have results cleaned up, which Redis does by itself
        broker_connection_max_retries=1,  # it is Beat who waits, and can be stopped meanwhile
    )
    return app


class BeatScheduler(RedBeatScheduler):  # type: ignore[misc]
    """RedBeat's, with ids by which a run that is sent twice is recognised. `on_sent` is called after each.

    When a task has run is in Redis by the wall clock, which may be set back; then it counts as having run just now.
    """

    on_sent: Callable[[], object]

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send what is due; after how many seconds to look again. Raises `LockError` if another Beat has the lock."""
        wait: float = super().tick(*arguments, **options)
        self._believe_no_future()
        return wait

    def _believe_no_future(self) -> None:
        """A task that has run later than now would not run again before that, be it in an hour or a year."""
        now, early = self.app.now(), []
        for name in self.app.redbeat_conf.schedule:
            with suppress(KeyError):  # Redis has lost it, and so the lock, which the next look finds out
                entry = self.Entry.from_key(self.Entry.generate_key(self.app, name), app=self.app)
                if entry.last_run_at is not None and entry.last_run_at - now > CLOCK_DIFFERENCE:
                    early.append(f"{name} {(entry.last_run_at - now).total_seconds():.0f} s")
                    entry.reschedule(now)
        if early:
            log.warning(
                "The clock was set back, or is wrong: by it the last runs are still to come (%s from now). They count "
                "as having been now.",
                ", ".join(early),
            )

    def apply_async(self, entry: RedBeatSchedulerEntry, *arguments: Any, **options: Any) -> Any:
        """Send a run of the entry."""
        entry.options = {**entry.options, "task_id": run_id(entry)}
        result = super().apply_async(entry, *arguments, **options)
        self.on_sent()
        return result


def run_id(entry: RedBeatSchedulerEntry) -> str:
    """The id of the next run of the entry: the same for all who know of the same last run."""
    return str(uuid5(NAMESPACE_URL, f"{entry.key}@{entry.last_run_at.isoformat()}"))


class Beat(Resource, checked=True):
    """One Beat, in a thread of this process. A context manager: started inside, ended after.

    `say` gets what a user wants to know, in words: when it has the schedule, when it waits for another Beat. Raises
    `SettingsError` and `LabNotRunning`.
    """

    def __init__(
        self,
        lab: Lab | None = None,
        *,
        settings: Settings | None = None,
        say: Callable[[str], object] = log.info,
    ) -> None:
        settings = settings or load_settings()
        self._app = beat_app(broker_url(settings, lab), settings)
        self._what = ", ".join(f"{name} {period.in_words}" for name, period in periods(settings).items())
        ensure_conf(self._app)
        self._say = say
        self._stop = threading.Event()
        self._outage = Outage(log, "Beat", "Redis", meanwhile="nothing is sent")
        #: how many tasks this Beat has sent
        self.sent = 0
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> Self:
        """Begin to wait for the lock; returns at once."""
        self._thread.start()
        return self

    def check(self) -> None:
        """Raise `WorkerFailed` if Beat could not go on."""
        if self._crash is not None:
            raise WorkerFailed(f"Beat could not go on: {self._crash}") from self._crash

    def stop(self) -> None:
        """Send what is being sent, and leave the lock to others; raises `WorkerFailed` if its thread is left behind.

        A second Ctrl-C is held back meanwhile.
        """
        self._stop.set()
        with held_back():
            if self._thread.ident is not None:
                self._thread.join(STOP_TIMEOUT)
            self._app.close()
        if self._thread.is_alive():
            raise WorkerFailed(f"Beat did not stop within {STOP_TIMEOUT:g} s, and its thread is left behind.")

    def close(self) -> None:
        """As `stop`."""
        self.stop()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._wait_and_send()
        except BaseException as error:  # the thread's last word; `check` raises it
            self._crash = error
            if not isinstance(error, LabkitError):  # one of those says all by itself
                log.exception("Beat could not go on")

    def _wait_and_send(self) -> None:
        try:
            lock = self._wait_for_lock()
            if lock is not None:
                self._send(lock)
            self._outage.ends()
        except LockError:
            log.warning("This Beat was silent for more than %g s, so it has lost the schedule.", BEAT_SILENCE)
        except (redis.RedisError, OperationalError) as error:
            found = labkit_error(error, "Its schedule could not be used")
            if isinstance(found, RedisRefused):
                raise found from error
            self._outage.begins(error)
            self._stop.wait(RETRY_INTERVAL)

    def _wait_for_lock(self) -> Lock | None:
        """RedBeat's lock, as RedBeat takes it, but so that one who waits can be stopped: then None."""
        client, conf = get_redis(self._app), self._app.redbeat_conf
        lock: Lock = client.lock(conf.lock_key, timeout=conf.lock_timeout)
        lock.lua_extend = client.register_script(LUA_EXTEND_TO_SCRIPT)
        waits = self._outage.on  # then the lock may still be its own, from before
        while not lock.acquire(blocking=False):
            last_at_most(client, conf.lock_key, conf.lock_timeout)
            if not waits:
                self._say("Another Beat has the schedule; this one waits, and takes over when that one ends.")
            waits = True
            if self._stop.wait(MAX_INTERVAL):
                return None
        return lock

    def _send(self, lock: Lock) -> None:
        # only who has the lock writes the schedule, which making the scheduler does
        scheduler = BeatScheduler(self._app, max_interval=MAX_INTERVAL)
        scheduler.lock, scheduler.on_sent = lock, self._count
        try:
            self._outage.ends()
            self._say(f"This Beat has the schedule: {self._what}.")
            while not self._stop.is_set():
                self._stop.wait(scheduler.tick())
            scheduler.close()  # lets go of the lock
        finally:
            scheduler.connection.release()

    def _count(self) -> None:
        self.sent += 1
