"""The records of a session: read from the stream in Redis as they come, and kept on disk."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from labkit.celery_app.record_stream import RecordStream
from labkit.errors import RedisUnreachable
from labkit.measure.record_store import RecordStore
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue.timeouts import on_a_thread, wait_for_answer

if TYPE_CHECKING:
    import pandas as pd


class SessionRecords:
    """What has come from the stream since `skip`. Safe to use from several threads.

    The stream tells each record once. So an answer that comes later than anybody has waited is taken by the next call.
    """

    def __init__(self, stream: RecordStream) -> None:
        self._stream = stream
        self._store = RecordStore()
        self._lock = threading.Lock()
        self._asked: Future[list[TaskRecord]] | None = None

    def __len__(self) -> int:
        return len(self._store)

    def skip(self) -> None:
        """Begin with what comes from now on; raises `RedisUnreachable` and `RedisRefused`."""
        self._stream.skip()

    def read(self, deadline: float | None = None) -> int:
        """Take what is new; how many records there are. Raises `RedisUnreachable` and `RedisRefused`.

        Redis must answer by the `deadline`, a moment of `time.monotonic`; `DeadlineExceeded` if that was too soon.
        """
        with self._lock:
            if self._asked is not None and self._asked.done() and self._asked.exception() is not None:
                self._asked = None  # that Redis was away when nobody waited any more tells nothing of now
            asked = self._asked = self._asked or on_a_thread(self._stream.read)
        wait_for_answer(asked, deadline, away=RedisUnreachable)
        with self._lock:
            if self._asked is asked:  # else another thread has taken it
                self._asked = None
                for record in asked.result():
                    self._store.append(record)
        return len(self._store)

    def frame(self) -> pd.DataFrame:
        """What has been read so far."""
        return self._store.frame()

    def close(self) -> None:
        """Delete them."""
        self._store.close()
