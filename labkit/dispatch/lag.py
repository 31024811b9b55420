"""The lag as a series: samples in a Redis stream, which keeps the newest of them.

A sample holds how far each group is behind on each topic of which it has committed, and how many tasks wait in Celery's
queue. Who runs the sampler twice for the same moment (the same id) leaves one sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from msgspec import Struct
from msgspec.json import Decoder, Encoder

from labkit.dispatch.app import QUEUE, broker_url, key_prefix
from labkit.dispatch.room import Room, connect
from labkit.errors import RedisUnreachable, UnknownTopic
from labkit.lab import Lab
from labkit.settings import Settings, load_settings
from labkit.taskqueue.topics import Topics

if TYPE_CHECKING:
    import pandas as pd

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


_write, _read = Encoder().encode, Decoder(LagSample).decode


class LagStream:
    """The samples of one Celery application. Every call may raise `RedisUnreachable`."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._key = f"{key_prefix(settings)}lag"

    def append(self, sample: LagSample) -> None:
        """Add one."""
        try:
            self._client.xadd(self._key, {"sample": _write(sample)}, maxlen=KEPT, approximate=True)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise RedisUnreachable(f"A sample of the lag could not be written to Redis: {error}") from error

    def read(self) -> list[LagSample]:
        """All there are, each id once, in the order in which they came."""
        try:
            entries: Any = self._client.xrange(self._key)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise RedisUnreachable(f"The samples of the lag could not be read from Redis: {error}") from error
        samples: dict[str, LagSample] = {}
        for _, fields in entries:
            sample = _read(fields[b"sample"])
            samples.setdefault(sample.id, sample)
        return list(samples.values())


def measure_lag(topics: Topics, room: Room) -> list[Lag]:
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

    Raises `RedisUnreachable`, `SettingsError` and `LabNotRunning`.
    """
    import pandas as pd

    settings = settings or load_settings()
    samples = LagStream(connect(broker_url(settings, lab)), settings).read()
    rows = [(sample.at, lag.group, lag.topic, lag.lag) for sample in samples for lag in sample.lags]
    frame = pd.DataFrame(rows, columns=["at", "group", "topic", "lag"])
    return frame.astype({"at": "float64", "group": "str", "topic": "str", "lag": "int64"})
