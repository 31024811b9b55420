"""Tasks that were for a partition that is gone, with the topic that had it: they are nowhere, and go to another one.

Kafka takes no partition away, so a topic with fewer than before is another topic of that name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from labkit.errors import LabkitError, NotAcknowledged
from labkit.taskqueue.submission import Submission


class Resubmission:
    """Hands tasks that came back over once more, within `patience` seconds from the first time.

    For the order within a key it waits until everything else that is under way is settled (`settle`), since tasks come
    back in any order; what is new waits for it meanwhile. `partitions` asks how many there are, `put` hands over a task
    for one of so many. It has a thread while there is something to do, which ends when those two and `settle` do.
    """

    def __init__(
        self,
        *,
        settle: Callable[[], object],
        partitions: Callable[[], int],
        put: Callable[[Submission, int], object],
        patience: float,
        measure: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settle = settle
        self._partitions = partitions
        self._put = put
        self._patience = patience
        self._measure = measure
        self._turn = threading.Lock()
        self._back: list[tuple[Submission, Exception]] = []
        self._idle = threading.Event()
        self._idle.set()
        #: changes whenever one begins or ends
        self.changes = 0

    @property
    def is_on(self) -> bool:
        """Whether there is something that came back."""
        return not self._idle.is_set()

    def __call__(self, submission: Submission, error: Exception) -> None:
        """This task came back, for this reason; called by the client."""
        with self._turn:
            self._back.append((submission, error))
            if self._idle.is_set():
                self._idle.clear()
                self.changes += 1
                threading.Thread(target=self._run, name="labkit-resubmission", daemon=True).start()

    def wait(self, timeout: float) -> None:
        """Return when all that came back is handed over, or after `timeout` seconds."""
        self._idle.wait(timeout)

    def _run(self) -> None:
        while not self._is_done():
            with suppress(LabkitError):
                self._settle()
            with self._turn:
                back, self._back = sorted(self._back, key=lambda one: one[0].begun), []
            self._hand_over(back)

    def _is_done(self) -> bool:
        with self._turn:
            if self._back:
                return False
            self.changes += 1
            self._idle.set()
            return True

    def _hand_over(self, back: list[tuple[Submission, Exception]]) -> None:
        number = 0
        for submission, error in back:
            if self._measure() - submission.begun >= self._patience:
                submission(None, error)
                continue
            try:
                number = number or self._partitions()
                self._put(submission, number)
            except LabkitError as failure:
                submission(None, NotAcknowledged(f"{error} It could not be sent to another partition: {failure}"))
