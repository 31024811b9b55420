"""A run of the dispatcher or the bridge under faults: tasks with an effect each, a deployment, and the verdict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labkit.faults.checker import check
from labkit.faults.deployment import Deployment, DispatchFault
from labkit.faults.history import History
from labkit.faults.nemesis import STRIKES
from labkit.faults.testbed import DispatchLoad, Testbed
from labkit.faults.verdict import DEAD_TWICE, EFFECT_TWICE, LOST, Verdict
from labkit.lab import Lab
from labkit.taskqueue.timeouts import wait_until
from labkit.temporary_folder import passing_folder

#: How long a run may take between two faults, and after the last one, in seconds.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchRun:
    """What happened. A history and a verdict for each topic; `events` are the faults.

    `seconds` from the first dispatcher's start to the end of the last task.
    """

    load: DispatchLoad
    seed: int
    faults: tuple[DispatchFault, ...]
    histories: dict[str, History]
    events: History
    seconds: float

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The checker's verdict on each topic."""
        return {topic: check(history) for topic, history in self.histories.items()}

    @property
    def tasks(self) -> int:
        """How many tasks were promised to be done."""
        return sum(verdict.tasks for verdict in self.verdicts.values())

    @property
    def lost(self) -> int:
        """Tasks that neither had their effect nor became dead letters."""
        return self._count(LOST)

    @property
    def double_effects(self) -> int:
        """Effects beyond the first of a task."""
        return self._count(EFFECT_TWICE)

    @property
    def dead(self) -> int:
        """Tasks among the dead letters."""
        return len({event.task for history in self.histories.values() for event in history if event.what == "dead"})

    @property
    def in_vain(self) -> int:
        """How many faults struck when no effect was left: they prove nothing."""
        ended = max(event.at for history in self.histories.values() for event in history if event.what == "effect")
        return sum(event.note in STRIKES and event.at > ended for event in self.events)

    @property
    def ok(self) -> bool:
        """Whether each task had its effect once or is a dead letter. Two dead letters of one task have the same key
        and count as one (see `labkit.taskqueue.dead_letter`)."""
        return all(verdict.ok((DEAD_TWICE,)) for verdict in self.verdicts.values())

    def _count(self, anomaly: str) -> int:
        return sum(verdict.counts[anomaly] for verdict in self.verdicts.values())


def dispatch_under_faults(lab: Lab, load: DispatchLoad, faults: Sequence[DispatchFault], *, seed: int) -> DispatchRun:
    """Send the tasks, let the crew begin, strike at equal shares of the effects, and wait until nothing is left.

    Nobody else should use the Celery queue of the lab. Raises `DeadlineExceeded` if something is left for too long.
    """
    with passing_folder("effects") as folder:
        scene = Testbed(lab, load, folder / "effects.sqlite")
        with scene.set_up():
            scene.produce(load.tasks)
            started = time.monotonic()
            with _crew(lab, scene, load, seed) as crew:
                _strike_all(scene, crew, load, faults)
                _wait(scene.is_done, crew, "Celery was to finish all tasks")
                ended = time.monotonic()
            return DispatchRun(
                load=load,
                seed=seed,
                faults=tuple(faults),
                histories=scene.histories(),
                events=History(crew.events),
                seconds=ended - started,
            )


def _crew(lab: Lab, scene: Testbed, load: DispatchLoad, seed: int) -> Deployment:
    return Deployment(
        lab,
        [scene.dispatcher] * load.dispatchers,
        [lambda pool=pool: scene.worker(pool) for pool in load.pools],
        rng=random.Random(seed),
    )


def _strike_all(scene: Testbed, crew: Deployment, load: DispatchLoad, faults: Sequence[DispatchFault]) -> None:
    for number, fault in enumerate(faults, start=1):
        share = load.tasks * number // (len(faults) + 1)
        _wait(
            lambda share=share: scene.effects() >= share,  # type: ignore[misc]
            crew,
            f"{share} effects were to be had before fault {number}, {fault!r}",
        )
        crew.strike(fault)


def _wait(condition: Callable[[], bool], crew: Deployment, what: str) -> None:
    def look() -> bool:
        crew.check()
        return condition()

    wait_until(look, timeout=PATIENCE, what=what, interval=0.05)
