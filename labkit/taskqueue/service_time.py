"""Service times: how long the simulated work on a task takes.

The time of a task is drawn from the seed and the task's id alone. So a task takes as long on any worker, in
any order and in a simulation, and runs with different numbers of workers can be compared.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from labkit.errors import SettingsError
from labkit.parameters import check_fields, checked
from labkit.taskqueue.task import Task

#: A year.
LONGEST_MS = 365 * 86_400_000.0

_PARAMETERS = {"constant": 1, "uniform": 2, "exponential": 1}


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """A distribution of service times; parameters in milliseconds. Make one by the functions below."""

    distribution: str
    parameters_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        check_fields(self, ranges=False)
        if len(self.parameters_ms) != _PARAMETERS.get(self.distribution):
            raise SettingsError(
                f"{self!s} is not a service time: there is no such distribution of so many numbers. {_HOW_TO_WRITE}"
            )
        if not all(0 <= value <= LONGEST_MS for value in self.parameters_ms):
            raise SettingsError(
                f"The service time {self!s} has a parameter that is not a duration in ms, a year at most."
            )
        if self.distribution == "uniform" and self.parameters_ms[0] > self.parameters_ms[1]:
            raise SettingsError(f"The service time {self!s} ends before it begins.")

    def __str__(self) -> str:
        return f"{self.distribution}:{','.join(f'{value:g}' for value in self.parameters_ms)}"

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return sum(self.parameters_ms) / len(self.parameters_ms) / 1000

    def draw(self, task_id: str, seed: int) -> float:
        """The service time of this task, in seconds."""
        if self.distribution == "constant":
            return self.parameters_ms[0] / 1000
        rng = random.Random(f"{seed}:{task_id}")
        if self.distribution == "uniform":
            return rng.uniform(*self.parameters_ms) / 1000
        return rng.expovariate(1.0) * self.parameters_ms[0] / 1000

    @checked
    def handler(self, seed: int, sleep: Callable[[float], object] = time.sleep) -> Callable[[Task], None]:
        """A handler that works on a task for as long as was drawn: it sleeps, as a task that waits for I/O.

        Without a service time it returns at once: to sleep for no time gives the turn to another thread.
        """
        if self.mean == 0:
            return lambda task: None

        def work(task: Task) -> None:
            sleep(self.draw(task.id, seed))

        return work


_HOW_TO_WRITE = "Write constant:20, uniform:10,50 or exponential:20; the numbers are milliseconds."


@checked
def constant(ms: float) -> ServiceTime:
    """Every task takes `ms` milliseconds."""
    return ServiceTime("constant", (ms,))


@checked
def uniform(low_ms: float, high_ms: float) -> ServiceTime:
    """Each time between `low_ms` and `high_ms` milliseconds is as likely as any other."""
    return ServiceTime("uniform", (low_ms, high_ms))


@checked
def exponential(mean_ms: float) -> ServiceTime:
    """Exponential with this mean in milliseconds, as the M in M/M/c."""
    return ServiceTime("exponential", (mean_ms,))


def parse_service(text: str) -> ServiceTime:
    """Read `constant:20`, `uniform:10,50` or `exponential:20`; raises `SettingsError`."""
    distribution, _, numbers = text.partition(":")
    try:
        parameters = tuple(float(number) for number in numbers.split(","))
    except ValueError:
        raise SettingsError(f"{text!r} is not a service time. {_HOW_TO_WRITE}") from None
    return ServiceTime(distribution, parameters)
