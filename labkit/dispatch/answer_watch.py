"""Whether code of somebody else's, which is to answer at once, does so: said in the log by whoever looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from labkit.logs.safe_logger import safe_logger

#: For how long an answer may be seen to be open until that is said, in seconds; it takes microseconds.
ANSWER_TIMEOUT = 10.0
#: How much of that counts from one look to the next at most, in seconds: between two, the process may have been frozen.
LONGEST_STEP = 1.0

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

log = safe_logger("labkit.dispatcher")


class AnswerWatch:
    """Watches what is asked from one thread. It has no thread of its own and ends nothing, since what is slow may only
    be on a busy computer. `measure` only measures.
    """

    def __init__(self, measure: Callable[[], float] = time.monotonic) -> None:
        self._measure = measure
        self._asked = self._answered = self._seen = 0
        self._looked_at = self._open = 0.0

    def ask(self, function: Callable[Given, Answer], *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        """What the function answers; raises what it raises."""
        self._asked += 1
        try:
            return function(*args, **kwargs)
        finally:
            self._answered += 1

    def look(self, who: str) -> None:
        """Say once of a question that it has been open for `ANSWER_TIMEOUT`; to be called again and again, from one
        other thread. `who` is told as `The policy 'mine'`.
        """
        asked, now = self._asked, self._measure()
        step, self._looked_at = min(now - self._looked_at, LONGEST_STEP), now
        if asked == self._answered:
            return
        if asked != self._seen:
            self._seen, self._open = asked, 0.0
            return
        before, self._open = self._open, self._open + step
        if before < ANSWER_TIMEOUT <= self._open:
            log.warning(
                "%s has not answered for %g s, and no task goes to Celery meanwhile; they stay on Kafka. It is to "
                "answer at once, without waiting for anything. Where it never does, end this dispatcher.",
                who,
                ANSWER_TIMEOUT,
            )
