"""The messages with which a worker is through while Redis could not be told."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import redis

from labkit.logs.safe_logger import safe_logger
from labkit.redis_state import Refusals, is_away

log = safe_logger("labkit.celery")


class Disposition(Enum):
    """What becomes of a message with which a worker is through, in the words of AMQP where it has them."""

    #: forgotten
    DONE = "done"
    #: back to the front of its level: the worker has it no more, by no fault of its own
    RELEASED = "released"
    #: back to the end of its level: it has failed, so others have their turn before
    REQUEUED = "requeued"


class UnsettledMessages:
    """The messages with which an application is through while Redis could not be told, by their tags, and what becomes
    of each. It outlives connections.
    """

    def __init__(self) -> None:
        self._refusals = Refusals(log)
        self._open: dict[str, Disposition] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, tag: str, disposition: Disposition) -> None:
        """Redis is to be told of this one."""
        self._open[tag] = disposition

    def settle(self, tell: Callable[[str, Disposition], object]) -> None:
        """Tell of each; what cannot be told now stays, and what Redis refuses, it is not told."""
        for tag, disposition in list(self._open.items()):
            try:
                tell(tag, disposition)
            except redis.RedisError as error:
                if is_away(error):
                    return
                again = "messages that were done come again after the visibility time-out, and are recognised"
                self._refusals.hear(error, "A message could not be acknowledged in Celery's keys", again)
            self._open.pop(tag, None)
