"""The records of what Celery's workers do: a stream in Redis, since the workers may be anywhere.

A stream (https://redis.io/docs/latest/develop/data-types/streams/) is appended to by all and read from any place on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from msgspec.json import Decoder, Encoder

from labkit.celery_app.application import key_prefix
from labkit.errors import RedisUnreachable
from labkit.measure.records import TaskRecord, to_frame
from labkit.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

#: About how many records are kept; older ones go.
KEPT = 500_000

_write, _read = Encoder().encode, Decoder(TaskRecord).decode


class RecordStream:
    """The stream of one Celery application. Every call may raise `RedisUnreachable`."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._key = f"{key_prefix(settings)}records"
        self._seen = "-"

    def append(self, record: TaskRecord, *, instead_of: str | None = None) -> None:
        """Add one; where a key in Redis stood for what it tells, that goes in the same moment."""
        try:
            with self._client.pipeline(transaction=instead_of is not None) as pipe:
                pipe.xadd(self._key, {"record": _write(record)}, maxlen=KEPT, approximate=True)
                if instead_of is not None:
                    pipe.delete(instead_of)
                pipe.execute()
        except redis.RedisError as error:
            raise RedisUnreachable(f"A record could not be written to Redis: {error}") from error

    def skip(self) -> None:
        """Let `read` begin with what comes from now on."""
        try:
            last: Any = self._client.xrevrange(self._key, count=1)
        except redis.RedisError as error:
            raise RedisUnreachable(f"The records could not be read from Redis: {error}") from error
        self._seen = f"({last[0][0].decode()}" if last else "-"

    def read(self) -> list[TaskRecord]:
        """What has come since the last call."""
        try:
            entries: Any = self._client.xrange(self._key, min=self._seen)
        except redis.RedisError as error:
            raise RedisUnreachable(f"The records could not be read from Redis: {error}") from error
        if entries:
            self._seen = f"({entries[-1][0].decode()}"
        return [_read(fields[b"record"]) for _, fields in entries]

    def frame(self) -> pd.DataFrame:
        """What has come since the last call, as the usual DataFrame."""
        return to_frame(self.read())
