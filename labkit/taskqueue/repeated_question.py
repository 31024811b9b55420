"""A question to Kafka that is asked again and again, for those who can go on with the answer that they have."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, NamedTuple

from labkit.errors import BrokerUnreachable, TransportError
from labkit.taskqueue.timeouts import SILENCE, Answer, on_a_thread

#: How long whoever asks waits for the answer, in seconds; mostly it takes some milliseconds.
MOMENT = 0.25
#: How long after a question that was asked in vain it is asked again at the soonest, in seconds.
RETRY_AGE = 1.0
#: An answer that is by so much older than it may be is said to be too old, in seconds.
OVERDUE = 5.0


class LastAnswer(NamedTuple, Generic[Answer]):
    """What was answered last, None before the first answer; and why that is too old, if it is."""

    answer: Answer | None
    trouble: TransportError | None


class RepeatedQuestion(Generic[Answer]):
    """Asks one question at a time, each on a thread. May be used from several threads; no lock is held meanwhile.

    A thread ends with its question, which the client of Kafka gives up after some seconds, and keeps no process from
    its end. `max_age` is how old an answer may be, in seconds of `clock`, counted from when it was asked for. Errors of
    the kinds in `passing` are told with the last answer; others of Kafka are raised by `look`, as long as they last.
    """

    def __init__(
        self,
        ask: Callable[[], Answer],
        *,
        max_age: float,
        passing: tuple[type[TransportError], ...] = (TransportError,),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._max_age = max_age
        self._passing = passing
        self._clock = clock
        self._lock = threading.Lock()
        self._known: LastAnswer[Answer] = LastAnswer(None, None)
        self._known_at = clock()  # there may be no answer yet for so long
        self._asked_at = self._due_at = -math.inf
        self._pending: Future[Answer] | None = None

    def know(self, answer: Answer) -> None:
        """This is the answer as of now."""
        with self._lock:
            self._known, self._known_at = LastAnswer(answer, None), self._clock()
            self._due_at = self._known_at + self._max_age

    def look(self, *, needed: bool = False) -> LastAnswer[Answer]:
        """The last answer. Who finds it too old asks anew, and waits a moment for that; nobody else waits.

        Where it is `needed` and there is none, everybody waits, as long as the client of Kafka does. An error of the
        question that says nothing of Kafka is raised, to one caller.
        """
        is_due = self._pending is not None or self._clock() >= self._due_at
        found = self._ask_anew(needed) if is_due else self._known  # the latter, which is usual, needs no lock
        if found.trouble is not None and not isinstance(found.trouble, self._passing):
            raise found.trouble.with_traceback(None)
        return found

    def _ask_anew(self, needed: bool) -> LastAnswer[Answer]:
        with self._lock:
            patience = self._ask_if_due()
            pending = self._pending
            if needed and self._known.answer is None:
                patience = None
        if pending is not None and patience != 0:
            wait([pending], patience)
        with self._lock:
            self._take_in()
            return LastAnswer(self._known.answer, self._known.trouble or self._overdue())

    def close(self, let_go: Callable[[], object]) -> None:
        """Have this called when no question is under way: now, or at the end of one that Kafka does not answer."""
        with self._lock:
            pending = self._pending
        if pending is None or wait([pending], MOMENT).done:
            let_go()
        else:
            pending.add_done_callback(lambda _: let_go())

    def _ask_if_due(self) -> float | None:
        """How long whoever called waits for an answer, in seconds."""
        self._take_in()
        if self._pending is not None or self._clock() < self._due_at:
            return 0.0
        # of a question that nobody has asked for long it is not known whether Kafka answers
        patience = SILENCE if self._overdue() and self._known.trouble is None else MOMENT
        self._asked_at = self._clock()
        self._pending = on_a_thread(self._ask)
        return patience

    def _take_in(self) -> None:
        """See what has become of the question that was asked last."""
        pending = self._pending
        if pending is None or not pending.done():
            return
        self._pending = None
        self._due_at = self._asked_at + max(self._max_age, RETRY_AGE)
        try:
            answer = pending.result()
        except TransportError as error:
            self._known = LastAnswer(self._known.answer, error)
        else:
            if self._asked_at >= self._known_at or self._known.answer is None:
                self._known, self._known_at = LastAnswer(answer, None), self._asked_at
            self._due_at = self._asked_at + self._max_age

    def _overdue(self) -> TransportError | None:
        if self._clock() - self._known_at < self._max_age + OVERDUE:
            return None
        return BrokerUnreachable(
            f"The broker has given no answer for more than {OVERDUE:g} s. Is the lab running? `labkit status` tells."
        )
