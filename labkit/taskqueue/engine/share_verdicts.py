"""What a worker of a share group says of its records, on the way to the broker."""

from __future__ import annotations

from collections.abc import Callable

from labkit.errors import TransportError
from labkit.logs.safe_logger import safe_logger
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.share_contract import Acknowledgement, ShareClient

#: How long verdicts wait at most for others that go to the broker with them, in seconds.
COMMIT_INTERVAL = 0.1

log = safe_logger("labkit.worker")


class ShareVerdicts:
    """The verdicts of one worker. What the broker refuses, or does not hear of, is delivered again, which is said.

    `clock` is in seconds and only measures.
    """

    def __init__(self, worker: str, clock: Callable[[], float]) -> None:
        self._worker = worker
        self._clock = clock
        self._count = 0
        self._committed_at = clock()

    def add(self, client: ShareClient, record: Record, verdict: Acknowledgement) -> None:
        """What becomes of this record; the broker learns it with the next commit."""
        try:
            client.acknowledge(record, verdict)
            self._count += 1
        except TransportError as error:
            log.warning("%s: a task will be delivered again: %s", self._worker, error)

    def are_due(self) -> bool:
        """Whether they have waited long enough for others."""
        return self._clock() - self._committed_at >= COMMIT_INTERVAL

    def commit(self, client: ShareClient) -> None:
        """Tell the broker all that there are."""
        self._committed_at = self._clock()
        if not self._count:
            return
        try:
            client.commit()
        except TransportError as error:
            log.warning("%s: up to %d tasks will be delivered again: %s", self._worker, self._count, error)
        self._count = 0
