"""The records of what Celery's workers do: a stream in Redis, since the workers may be anywhere.

A stream (https://redis.io/docs/latest/develop/data-types/streams/) is appended to by all and read from any place on.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import redis
from msgspec.json import Encoder

from labkit.celery_app.application import key_prefix
from labkit.celery_app.stream_entries import StreamEntries
from labkit.errors import RedisRefused
from labkit.logs.safe_logger import safe_logger
from labkit.measure.records import to_frame
from labkit.measure.task_record import TaskRecord
from labkit.parameters import checked
from labkit.redis_state import Refusals, asked
from labkit.settings import Settings
from labkit.typed_values import json_decoder

if TYPE_CHECKING:
    import pandas as pd

#: About how many records are kept; older ones go.
KEPT = 500_000
#: A record is added once more where the answer was lost: of the last so many it is known that they were read.
MOST_DOUBTFUL = 10_000

log = safe_logger("labkit.celery")

_write, _read = Encoder().encode, json_decoder(TaskRecord).decode


class RecordStream:
    """The stream of one Celery application. Every call may raise `RedisUnreachable` and `RedisRefused`."""

    @checked
    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._key = f"{key_prefix(settings)}records"
        self._seen = "-"
        self._recent: dict[bytes, None] = {}
        self._refusals = Refusals(log)
        self._entries = StreamEntries(self._key, b"record", log)

    def append(self, record: TaskRecord, *, instead_of: str | None = None) -> None:
        """Add one; where a key in Redis stood for what it tells, that goes in the same moment."""
        with (
            asked(f"A record could not be added to the stream {self._key}"),
            self._client.pipeline(transaction=instead_of is not None) as pipe,
        ):
            pipe.xadd(self._key, {"record": _write(record)}, maxlen=KEPT, approximate=True)
            if instead_of is not None:
                pipe.delete(instead_of)
            pipe.execute()

    def note(self, record: TaskRecord, *, instead_of: str | None = None) -> None:
        """As `append`, but what Redis refuses is said and left out: the task is through all the same."""
        try:
            self.append(record, instead_of=instead_of)
        except RedisRefused as error:
            self._refusals.say(error, "records of tasks are missing")

    def skip(self) -> None:
        """Let `read` begin with what comes from now on."""
        with self._asked_for_records():
            last: Any = self._client.xrevrange(self._key, count=1)
        self._seen = f"({last[0][0].decode()}" if last else "-"

    def read(self) -> list[TaskRecord]:
        """What has come since the last call, each once: its times tell an attempt from every other one."""
        with self._asked_for_records():
            entries: Any = self._client.xrange(self._key, min=self._seen)
        if entries:
            self._seen = f"({entries[-1][0].decode()}"
        return list(self._entries.values(filter(self._is_new, self._entries.texts(entries)), _read))

    def _is_new(self, text: bytes) -> bool:
        if text in self._recent:
            return False
        self._recent[text] = None
        if len(self._recent) > MOST_DOUBTFUL:
            del self._recent[next(iter(self._recent))]
        return True

    def frame(self) -> pd.DataFrame:
        """What has come since the last call, as the usual DataFrame."""
        return to_frame(self.read())

    def _asked_for_records(self) -> AbstractContextManager[None]:
        return asked(f"The records could not be read from the stream {self._key}")
