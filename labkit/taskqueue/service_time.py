"""Service times: how long the simulated work on a task takes.

The time of a task is drawn from the seed and the task's id alone. So a task takes as long on any worker, in
any order and in a simulation, and runs with different numbers of workers can be compared.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from labkit.errors import SettingsError
from labkit.parameters import check_fields, check_names, checked
from labkit.taskqueue.task import Task

#: A year.
LONGEST = 365 * 86_400.0

_PARAMETERS = {"constant": 1, "uniform": 2, "exponential": 1}


@check_names
@dataclass(frozen=True, slots=True)
class ServiceTime:
    """A distribution of service times; parameters in seconds. Make one by the functions below.

    It is a handler, too: called with a task, it sleeps for the time that is drawn for it, as a task that waits for I/O.
    """

    distribution: str
    parameters: tuple[float, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, ranges=False)
        if len(self.parameters) != _PARAMETERS.get(self.distribution):
            raise SettingsError(
                f"{self!s} is not a service time: there is no such distribution of so many parameters. {_HOW_TO_WRITE}"
            )
        if not all(0 <= value <= LONGEST for value in self.parameters):
            raise SettingsError(f"The service time {self!s} has a parameter that is not a duration, a year at most.")
        if self.distribution == "uniform" and self.parameters[0] > self.parameters[1]:
            raise SettingsError(f"The service time {self!s} ends before it begins.")

    def __str__(self) -> str:
        return f"{self.distribution}:{','.join(f'{value:.15g}' for value in self.parameters)}"

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return sum(self.parameters) / len(self.parameters)

    def draw(self, task_id: str) -> float:
        """The service time of this task, in seconds."""
        if self.distribution == "constant":
            return self.parameters[0]
        rng = random.Random(f"{self.seed}:{task_id}")
        if self.distribution == "uniform":
            return rng.uniform(*self.parameters)
        return rng.expovariate(1.0) * self.parameters[0]

    def __call__(self, task: Task) -> None:
        """Work on the task for as long as was drawn."""
        seconds = self.draw(task.id)
        if seconds:  # to sleep for no time gives the turn to another thread
            time.sleep(seconds)


_HOW_TO_WRITE = (
    "Write constant:0.02, uniform:0.01,0.05 or exponential:0.02; the numbers are seconds, and 20ms is the same as 0.02."
)


@checked
def constant(seconds: float) -> ServiceTime:
    """Every task takes so many seconds."""
    return ServiceTime("constant", (seconds,))


@checked
def uniform(low: float, high: float, *, seed: int = 0) -> ServiceTime:
    """Each time between `low` and `high` seconds is as likely as any other."""
    return ServiceTime("uniform", (low, high), seed)


@checked
def exponential(mean: float, *, seed: int = 0) -> ServiceTime:
    """Exponential with this mean in seconds, as the M in M/M/c."""
    return ServiceTime("exponential", (mean,), seed)


def parse_service(text: str, *, seed: int = 0) -> ServiceTime:
    """Read `constant:0.02`, `uniform:10ms,50ms` or `exponential:0.02`, in seconds; raises `SettingsError`."""
    distribution, _, numbers = text.partition(":")
    try:
        parameters = tuple(map(_seconds, numbers.split(",")))
    except ValueError:
        raise SettingsError(f"{text!r} is not a service time. {_HOW_TO_WRITE}") from None
    return ServiceTime(distribution, parameters, seed)


def _seconds(text: str) -> float:
    """What `0.02`, `0.02s` and `20ms` say; raises `ValueError`."""
    number = text.strip()
    for unit, factor in (("ms", 1000), ("s", 1)):
        if number.endswith(unit):
            return float(number.removesuffix(unit)) / factor
    return float(number)
