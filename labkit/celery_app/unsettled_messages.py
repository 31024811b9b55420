"""The messages with which a worker is through while Redis could not be told."""

from __future__ import annotations

from collections.abc import Callable

import redis

from labkit.logs.safe_logger import safe_logger
from labkit.redis_state import Refusals, is_away

log = safe_logger("labkit.celery")


class UnsettledMessages:
    """The messages with which an application is through while Redis could not be told, by their tags, and whether each
    goes back into the queue. It outlives connections.
    """

    def __init__(self) -> None:
        self._refusals = Refusals(log)
        self._open: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, tag: str, *, requeue: bool) -> None:
        """Redis is to be told of this one."""
        self._open[tag] = requeue

    def settle(self, tell: Callable[[str, bool], object]) -> None:
        """Tell of each; what cannot be told now stays, and what Redis refuses, it is not told."""
        for tag, requeue in list(self._open.items()):
            try:
                tell(tag, requeue)
            except redis.RedisError as error:
                if is_away(error):
                    return
                again = "messages that were done come again after the visibility time-out, and are recognised"
                self._refusals.hear(error, "A message could not be acknowledged in Celery's keys", again)
            self._open.pop(tag, None)
