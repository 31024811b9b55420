"""The periodic tasks: a heartbeat onto Kafka, and a sample of every group's lag. Beat sends them, Celery's workers run
them.

Beat gives each run an id that a second sending of the same run has too (`labkit.dispatch.beat`). A worker does each id
once, and the heartbeat on Kafka has it as its task id, so that whoever reads the topic recognises it as well.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from celery.schedules import BaseSchedule, ParseException, crontab, schedule

from labkit.dispatch.app import redis_py_url
from labkit.dispatch.lag import LagSample, LagStream, lag_series, measure_lag
from labkit.dispatch.room import Room, connect
from labkit.errors import InProgress, LabkitError, SettingsError
from labkit.lab import attach_lab
from labkit.settings import Settings
from labkit.taskqueue import Producer
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.engine.config import Handler
from labkit.taskqueue.once import once
from labkit.taskqueue.task import MESSAGE_KIND, Task
from labkit.taskqueue.topics import Topic, Topics

if TYPE_CHECKING:
    from celery import Celery

__all__ = ["HEARTBEAT", "HEARTBEAT_TOPIC", "LAG", "PeriodicTasks", "lag_series", "periods"]

#: The names of the periodic tasks, in Celery and in Beat's schedule.
HEARTBEAT, LAG = "labkit.heartbeat", "labkit.lag"
#: Where heartbeats go, as tasks of the kind "message".
HEARTBEAT_TOPIC = "heartbeat"
#: What turns a periodic task off.
OFF = "off"
#: How long a run is remembered, in seconds: longer than a Beat is frozen, other than on purpose.
REMEMBERED = 24 * 3600.0

log = logging.getLogger("labkit.celery")


class Period(NamedTuple):
    """When a periodic task is due."""

    schedule: BaseSchedule
    in_words: str


def periods(settings: Settings) -> dict[str, Period]:
    """The periodic tasks that the settings want, by name. Raises `SettingsError`, also if there are none."""
    wanted = {HEARTBEAT: ("beat_heartbeat", settings.beat_heartbeat), LAG: ("beat_lag", settings.beat_lag)}
    found = {
        name: parse_period(setting, text) for name, (setting, text) in wanted.items() if text.strip().lower() != OFF
    }
    if not found:
        raise SettingsError(
            "LABKIT_BEAT_HEARTBEAT and LABKIT_BEAT_LAG are both off, so Beat has nothing to send. "
            "Set one of them to a number of seconds or to a crontab."
        )
    return found


def parse_period(setting: str, text: str) -> Period:
    """Every n seconds ("10") or a crontab ("*/5 * * * *"), which is in UTC. Raises `SettingsError`."""
    fields = text.split()
    try:
        if len(fields) == 5:
            return Period(crontab.from_string(" ".join(fields)), f"at {' '.join(fields)} UTC")
        seconds = float(text)
        if not 1 <= seconds < math.inf:
            raise ValueError("there is at least a second between two runs, and an end to waiting")
        return Period(schedule(seconds), f"every {seconds:g} s")
    except (ValueError, OverflowError, ParseException) as error:
        raise SettingsError(
            f"LABKIT_{setting.upper()} is {text!r}, which is no schedule: {error}. Give a number of seconds from 1 on "
            '("10"), a crontab of five fields in UTC ("*/5 * * * *"), or "off".'
        ) from error


class PeriodicTasks:
    """What Celery's workers do when Beat asks. `url` is that of Celery's Redis; `on_run` is called after each run.

    What fails is said and dropped, since the next one is due soon. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        *,
        on_run: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._settings = settings
        self._on_run = on_run
        self._clock = clock

    def register(self, app: Celery) -> None:
        """Make a Celery task of each."""
        for name, run in {HEARTBEAT: self.send_heartbeat, LAG: self.sample_lag}.items():
            # without shared=False it would be the task of all applications of this process
            app.task(name=name, bind=True, shared=False)(self._body(name, run))

    def send_heartbeat(self, task: Task) -> None:
        """Put the task on the topic of heartbeats. Raises `TransportError`."""
        with (
            attach_lab(settings=self._settings) as lab,
            connect_kafka(lab) as topics,
            Producer(_heartbeat_topic(topics), settings=self._settings) as producer,
        ):
            producer.send(task)

    def sample_lag(self, task: Task) -> None:
        """Add a sample to the series. Raises `TransportError` and `RedisUnreachable`."""
        with attach_lab(settings=self._settings) as lab, connect_kafka(lab) as topics:
            lags = measure_lag(topics, self._room)
        self._stream.append(LagSample(task.id, task.created_at, lags))

    def _body(self, name: str, run: Handler) -> Callable[[Any], None]:
        def perform(celery_task: Any) -> None:
            task = Task(id=celery_task.request.id, kind=MESSAGE_KIND, payload=name, created_at=self._clock())
            try:
                guarded(task)
            except InProgress:
                log.info("%s %s is in progress elsewhere", name, task.id)
            except LabkitError as error:
                log.warning("%s could not be done, the next one is to come: %s", name, error)
            else:
                self._on_run()

        def call(task: Task) -> None:
            run(task)

        # the name decides what is remembered of the runs
        call.__module__, call.__qualname__ = __name__, name
        guarded = once(ttl=REMEMBERED, url=redis_py_url(self._url))(call)
        return perform

    # connected in the process that needs it, since a fork may not share it

    @cached_property
    def _room(self) -> Room:
        return Room(connect(self._url), self._settings)

    @cached_property
    def _stream(self) -> LagStream:
        return LagStream(connect(self._url), self._settings)


def _heartbeat_topic(topics: Topics) -> Topic:
    if HEARTBEAT_TOPIC in topics.names():
        return topics.get(HEARTBEAT_TOPIC)
    return topics.create(HEARTBEAT_TOPIC, partitions=1)
