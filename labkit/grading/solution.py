"""A student's solution, as the questions see it: cells that run in sandboxes, and functions that can be called."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from labkit.grading.sandbox.contract import Backend
from labkit.grading.sandbox.kernel import Answer
from labkit.grading.time_budget import TimeBudget
from labkit.lab.connection import Connection

#: How long one of its cells may take, in seconds.
CELL_TIMEOUT = 30.0


class GradingBroker(Protocol):
    """A broker that one submission has for itself."""

    @property
    def connection(self) -> Connection:
        """How the grader's clients reach it."""

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1, to which a relay leads."""

    def used_up(self) -> str | None:
        """What the solution did for which the broker was ended, in a sentence. Raises `BrokerFailed` if it failed."""

    def clear(self, topic: str, group: str) -> None:
        """Delete what a run has left, where the broker is not thrown away."""


class SpareBroker(GradingBroker, Protocol):
    """A broker from a `BrokerSource`, until it is closed."""

    def is_usable(self) -> bool:
        """Whether it runs and was not used up."""

    def close(self) -> None:
        """The submission needs it no more."""


class BrokerSource(Protocol):
    """Where brokers for submissions come from."""

    def take(self) -> SpareBroker:
        """One for the next submission. Raises `BrokerFailed` if there is none."""


class Solution(Protocol):
    """The cells of one submission. Whatever comes back of them is the student's word."""

    @property
    def student(self) -> str:
        """Whose it is: the id that the campus system has."""

    @property
    def cells(self) -> Sequence[str]:
        """The code of the cells that are run, in order: a question may run them in sandboxes of its own."""

    @property
    def sandbox(self) -> Backend:
        """Where student code runs."""

    @property
    def worker_time(self) -> TimeBudget:
        """What the cells may take where they are run in sandboxes of their own, all of them together."""

    def clock(self) -> float:
        """The time by a clock that nobody sets, in seconds."""

    def broker(self) -> GradingBroker:
        """The submission's broker, for cells in sandboxes of their own. It is thrown away when the submission
        is graded, and one that was used up before that. Raises `BrokerFailed` if none can be had.
        """

    def renew_broker(self) -> None:
        """Throw the broker away: it has failed, and there is another one from now on."""

    def rng(self, question: str) -> Random:
        """The randomness for this question of this student: the same whenever it is graded."""

    def ready(self) -> None:
        """Run the cells now, if they are not; so the time that this takes is not that of a question.

        Raises `KernelEnded` if the submission has used up its time.
        """

    def call(self, name: str, arguments: Sequence[object], *, timeout: float) -> Answer:
        """Call a function that the cells define, in the process in which they were run.

        Raises `KernelEnded` if that ends the process, or it takes longer. The next call has another process.
        """

    def read(self, name: str, *, timeout: float) -> Answer:
        """The value of a name that the cells have set; as `call`."""

    def afresh(self) -> None:
        """From now on calls go to another process, in which the cells are run again."""
