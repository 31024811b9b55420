"""What breaks things on purpose: workers killed, frozen or sent away, and brokers killed, at chosen moments.

A moment is a share of the work that is done, not a time: a quick computer meets its faults as a slow one does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Literal

from labkit.errors import LabkitError
from labkit.faults.event import Event
from labkit.lab import Lab
from labkit.taskqueue.worker_group.group import WorkerGroup

FaultName = Literal["kill worker", "freeze worker", "replace worker", "kill broker"]

#: What the notes of `Nemesis.events` say when something is taken away (other notes: it is given back).
STRIKES = ("SIGKILL", "SIGSTOP", "asked to stop")

#: How long a frozen worker stays frozen, in session timeouts: long enough to be declared dead.
FROZEN_SESSIONS = 1.5


class Nemesis:
    """Breaks one thing after the other in a lab and a group of worker processes; `events` tells what it did.

    Whatever it takes away it gives back: a killed worker is replaced, a killed broker started again with its data.
    """

    def __init__(
        self,
        lab: Lab,
        group: WorkerGroup,
        *,
        session_timeout: float,
        rng: random.Random,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.events: list[Event] = []
        self._lab = lab
        self._group = group
        self._frozen_for = FROZEN_SESSIONS * session_timeout
        self._rng = rng
        self._clock = clock
        self._wait = wait
        self._numbers = count()
        self._faults: dict[FaultName, Callable[[], None]] = {
            "kill worker": self.kill_worker,
            "freeze worker": self.freeze_worker,
            "replace worker": self.replace_worker,
            "kill broker": self.kill_broker,
        }

    def strike(self, fault: FaultName) -> None:
        """Do this; raises `LabkitError` if there is no fault of that name."""
        if fault not in self._faults:
            raise LabkitError(f"There is no fault {fault!r}; choose one of {', '.join(self._faults)}.")
        self._faults[fault]()

    def kill_worker(self) -> None:
        """SIGKILL one worker, and start another in its place."""
        name = self._one_of_them()
        self._group.kill(name)
        self._tell("SIGKILL", name)
        self._group.begin_to_add()

    def freeze_worker(self) -> None:
        """SIGSTOP one worker until the group has given its partitions to others, then SIGCONT."""
        name = self._one_of_them()
        with self._frozen(name):
            self._wait(self._frozen_for)

    def replace_worker(self) -> None:
        """A rolling restart: one worker is asked to stop, and another starts."""
        name = self._one_of_them()
        self._group.let_go(name)
        self._tell("asked to stop", name)
        self._group.begin_to_add()

    def kill_broker(self) -> None:
        """SIGKILL one broker, and start it again.

        Workers that are on their way are waited for: one that finds no broker at its start says so and ends.
        """
        self._group.wait_until_balanced()
        node = self._rng.choice(sorted(self._lab.brokers))
        self._lab.kill_broker(node)
        self._tell("SIGKILL", f"broker {node}")
        self._lab.restart_broker(node)
        self._tell("started again", f"broker {node}")

    @contextmanager
    def _frozen(self, name: str) -> Iterator[None]:
        self._group.freeze(name)
        self._tell("SIGSTOP", name)
        try:
            yield
        finally:
            self._group.thaw(name)
            self._tell("SIGCONT", name)

    def _one_of_them(self) -> str:
        return self._rng.choice(sorted(self._group.assignment()))

    def _tell(self, note: str, whom: str) -> None:
        number = next(self._numbers)
        self.events.append(Event(what="fault", by="nemesis", seq=number, at=self._clock(), whom=whom, note=note))
