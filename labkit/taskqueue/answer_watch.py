"""Whether code of somebody else's, which is to answer at once, does so: seen from another thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from labkit.errors import LabkitError

#: How long an answer may take, in seconds; it takes microseconds.
ANSWER_TIMEOUT = 10.0

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class AnswerWatch:
    """Watches who is asked from one thread. `who` is told as `The policy 'mine'`; `measure` only measures."""

    def __init__(self, measure: Callable[[], float] = time.monotonic) -> None:
        self._measure = measure
        self._asked = self._answered = self._seen = 0
        self._seen_at = 0.0

    def ask(self, function: Callable[Given, Answer], *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        """What the function answers; raises what it raises."""
        self._asked += 1
        try:
            return function(*args, **kwargs)
        finally:
            self._answered += 1

    def check(self, who: str) -> None:
        """Raise `LabkitError` if one question has been seen open for `ANSWER_TIMEOUT`; to be called again and again.

        It counts from when this was first called about it: a process that was stopped for a while is no such case.
        """
        asked = self._asked
        if asked == self._answered:
            return
        if asked != self._seen:
            self._seen, self._seen_at = asked, self._measure()
        elif self._measure() - self._seen_at >= ANSWER_TIMEOUT:
            raise LabkitError(
                f"{who} has not answered within {ANSWER_TIMEOUT:g} s. It is to answer at once, without waiting for "
                "anything; the tasks stay on Kafka."
            )
