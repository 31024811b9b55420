"""Records made by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from labkit.measure import DONE, Receipt, TaskRecord

#: The tests' runs begin at this moment, in seconds since the epoch.
START = 1_760_000_000.0


@pytest.fixture(scope="session")
def attempt() -> Callable[..., TaskRecord]:
    """Makes a record: scheduled, started and finished in seconds since the start; the rest has defaults."""
    numbers = count(1)

    def make(
        scheduled: float = 0.0, started: float = 0.0, finished: float = 1.0, *, number: int | None = None, **fields: Any
    ) -> TaskRecord:
        number = number or next(numbers)
        given = {
            "task_id": f"task-{number}",
            "kind": "process_file",
            "topic": "task_queue",
            "partition": 0,
            "offset": number,
            "key": None,
            "priority": 0,
            "worker": "worker-1",
            "attempt": 1,
            "produced_at": START + scheduled,
            "acknowledged_at": None,
            "received_at": START + started,
            "outcome": DONE,
            "error": None,
        }
        times = {
            "scheduled_at": START + scheduled,
            "started_at": START + started,
            "finished_at": START + finished,
        }
        return TaskRecord(**(given | times | fields))

    return make


@pytest.fixture(scope="session")
def receipt() -> Callable[..., Receipt]:
    """Makes a receipt of task `number`: on partition 0 at that offset, sent at once, acknowledged after 3 ms."""

    def make(number: int, **fields: Any) -> Receipt:
        given = {
            "task_id": f"task-{number}",
            "topic": "task_queue",
            "partition": 0,
            "offset": number,
            "scheduled_at": START,
            "produced_at": START,
            "acknowledged_at": START + 0.003,
            "error": None,
        }
        return Receipt(**(given | fields))

    return make
