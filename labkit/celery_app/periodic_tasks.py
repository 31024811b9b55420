"""The periodic tasks: a heartbeat onto Kafka, and a sample of every group's lag. Beat sends them, Celery's workers run
them.

Beat gives each run an id that a second sending of the same run has too (`labkit.celery_app.beat`). A worker does each
id once, and the heartbeat on Kafka has it as its task id, so that whoever reads the topic recognises it as well.

The samples of the lag are a series in a Redis stream, which keeps the newest of them. A sample holds how far each group
is behind on each topic of which it has committed, and how many tasks wait in Celery's queue. Who runs the sampler twice
for the same moment (the same id) leaves one sample.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import redis
from celery.schedules import BaseSchedule, ParseException, crontab, schedule
from msgspec import Struct
from msgspec.json import Encoder

from labkit.celery_app.application import QUEUE, broker_url, key_prefix, redis_py_url
from labkit.celery_app.capacity import Capacity, connect
from labkit.celery_app.stream_entries import StreamEntries
from labkit.errors import InProgress, LabkitError, SettingsError, UnknownTopic
from labkit.lab import Lab, attach_lab
from labkit.logs.safe_logger import safe_logger
from labkit.redis_state import asked
from labkit.settings import Settings, load_settings
from labkit.taskqueue import Producer
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.engine.worker_config import Handler
from labkit.taskqueue.once import once
from labkit.taskqueue.task import MESSAGE_KIND, Task
from labkit.taskqueue.topics import Topic, Topics
from labkit.typed_values import json_decoder

if TYPE_CHECKING:
    import pandas as pd
    from celery import Celery

__all__ = ["HEARTBEAT", "HEARTBEAT_TOPIC", "LAG", "PeriodicTasks", "lag_series", "periods"]


#: About how many samples are kept; older ones go. With one every 5 s, they reach back a day.
KEPT = 20_000
#: The group under which Celery's own queue stands in the series.
CELERY_GROUP = "celery"


class Lag(Struct, frozen=True):
    """How many tasks the group has not yet finished on the topic; in Celery's queue, how many nobody has taken."""

    group: str
    topic: str
    lag: int


class LagSample(Struct, frozen=True):
    """All lags at one moment, in seconds since the epoch."""

    id: str
    at: float
    lags: list[Lag]


_write, _read = Encoder().encode, json_decoder(LagSample).decode


class LagStream:
    """The samples of one Celery application. Every call may raise `RedisUnreachable` and `RedisRefused`."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._key = f"{key_prefix(settings)}lag"
        self._entries = StreamEntries(self._key, b"sample", log)

    def append(self, sample: LagSample) -> None:
        """Add one."""
        with asked(f"A sample of the lag could not be added to the stream {self._key}"):
            self._client.xadd(self._key, {"sample": _write(sample)}, maxlen=KEPT, approximate=True)

    def read(self) -> list[LagSample]:
        """All there are, each id once, in the order in which they came."""
        with asked(f"The samples of the lag could not be read from the stream {self._key}"):
            entries: Any = self._client.xrange(self._key)
        samples: dict[str, LagSample] = {}
        for sample in self._entries.values(self._entries.texts(entries), _read):
            samples.setdefault(sample.id, sample)
        return list(samples.values())


def measure_lag(topics: Topics, room: Capacity) -> list[Lag]:
    """The lag of each group on each of its topics, and of Celery's queue. Raises `TransportError`."""
    lags = []
    for group, names in topics.groups().items():
        for name in names:
            try:
                behind = sum(partition.lag for partition in topics.lag(name, group=group))
            except UnknownTopic:
                continue  # deleted a moment ago
            lags.append(Lag(group, name, behind))
    return [*lags, Lag(CELERY_GROUP, QUEUE, sum(room.count().waiting))]


def lag_series(lab: Lab | None = None, *, settings: Settings | None = None) -> pd.DataFrame:
    """The samples that Beat has had taken: columns `at` (seconds since the epoch), `group`, `topic`, `lag`; one row per
    sample, group and topic. Celery's queue is the group `celery`. To plot it:

        series.pivot_table(index="at", columns=["group", "topic"], values="lag").plot()

    Raises `RedisUnreachable`, `RedisRefused`, `SettingsError` and `LabNotRunning`.
    """
    import pandas as pd

    settings = settings or load_settings()
    samples = LagStream(connect(broker_url(settings, lab)), settings).read()
    rows = [(sample.at, lag.group, lag.topic, lag.lag) for sample in samples for lag in sample.lags]
    frame = pd.DataFrame(rows, columns=["at", "group", "topic", "lag"])
    return frame.astype({"at": "float64", "group": "str", "topic": "str", "lag": "int64"})


#: The names of the periodic tasks, in Celery and in Beat's schedule.
HEARTBEAT, LAG = "labkit.heartbeat", "labkit.lag"
#: Where heartbeats go, as tasks of the kind "message".
HEARTBEAT_TOPIC = "heartbeat"
#: What turns a periodic task off.
OFF = "off"
#: How long a run is remembered, in seconds: longer than a Beat is frozen, other than on purpose.
REMEMBERED = 24 * 3600.0

log = safe_logger("labkit.celery")


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
        """Add a sample to the series. Raises `TransportError`, `RedisUnreachable` and `RedisRefused`."""
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
    def _room(self) -> Capacity:
        return Capacity(connect(self._url), self._settings)

    @cached_property
    def _stream(self) -> LagStream:
        return LagStream(connect(self._url), self._settings)


def _heartbeat_topic(topics: Topics) -> Topic:
    if HEARTBEAT_TOPIC in topics.names():
        return topics.get(HEARTBEAT_TOPIC)
    return topics.create(HEARTBEAT_TOPIC, partitions=1)
