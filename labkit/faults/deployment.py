"""A deployment under faults: dispatchers or bridges, and Celery's workers, killed and replaced."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Literal, Self

from labkit.dispatch.process_fleet import CeleryWorker, DispatcherProcess
from labkit.errors import LabkitError
from labkit.faults.event import Event
from labkit.lab import Lab
from labkit.resource import Resource

Make = Callable[[], DispatcherProcess] | Callable[[], CeleryWorker]

DispatchFault = Literal["kill dispatcher", "kill celery worker", "kill redis"]

#: How long a killed Redis is away, in seconds: longer than clients try again by themselves.
REDIS_AWAY = 1.0


class Deployment(Resource):
    """Dispatchers and Celery workers, each made by a function, and a nemesis among them; `events` tells what it did.

    A context manager: all ready inside, all ended after. Whatever is killed is replaced, while the rest goes on.
    """

    def __init__(
        self,
        lab: Lab,
        dispatchers: Sequence[Make],
        workers: Sequence[Make],
        *,
        rng: random.Random,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.events: list[Event] = []
        self._lab = lab
        self._dispatchers = [_Replica(make) for make in dispatchers]
        self._workers = [_Replica(make) for make in workers]
        self._rng = rng
        self._clock = clock
        self._wait = wait
        self._numbers = count()
        self._replacing = ThreadPoolExecutor(1, thread_name_prefix="crew")
        self._faults: dict[DispatchFault, Callable[[], None]] = {
            "kill dispatcher": lambda: self._replace_one(self._dispatchers),
            "kill celery worker": lambda: self._replace_one(self._workers),
            "kill redis": self._kill_redis,
        }

    def start(self) -> Self:
        """Start all of them; returns when they are ready."""
        _at_once([self._start_dispatchers, *(post.process.start for post in self._workers)])
        return self

    def close(self) -> None:
        """End all of them, in order."""
        self._replacing.shutdown()
        _at_once([post.process.stop for post in self._all()])

    def _give_up(self) -> None:
        self._kill_all()

    def strike(self, fault: DispatchFault) -> None:
        """Do this; raises `LabkitError` if there is no fault of that name."""
        if fault not in self._faults:
            raise LabkitError(f"There is no fault {fault!r}; choose one of {', '.join(self._faults)}.")
        self._faults[fault]()

    def check(self) -> None:
        """Raise `WorkerFailed` if one has ended by itself."""
        for post in self._all():
            post.check()

    def _all(self) -> list[_Replica]:
        return [*self._dispatchers, *self._workers]

    def _replace_one(self, posts: Sequence[_Replica]) -> None:
        """One that is still on its way is waited for: it would not have had anything to lose."""
        post = self._rng.choice(posts)
        post.wait()
        post.process.kill()
        self._tell("SIGKILL", post.process.name)
        post.replace(self._replacing)

    def _start_dispatchers(self) -> None:
        for post in self._dispatchers:  # one after the other: they ask over one connection
            post.process.start()

    def _kill_redis(self) -> None:
        """Those that are on their way are waited for: a start needs Redis."""
        for post in self._all():
            post.wait()
        self._lab.kill_redis()
        self._tell("SIGKILL", "Redis")
        self._wait(REDIS_AWAY)
        self._lab.restart_redis()
        self._tell("started again", "Redis")

    def _kill_all(self) -> None:
        _at_once([post.process.kill for post in self._all() if post.process.alive()])

    def _tell(self, note: str, whom: str) -> None:
        number = next(self._numbers)
        self.events.append(Event(what="fault", by="nemesis", seq=number, at=self._clock(), whom=whom, note=note))


class _Replica:
    """A place in the crew, and who has it now."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self.process = make()
        self._on_its_way: Future[object] | None = None

    def replace(self, starting: ThreadPoolExecutor) -> None:
        """Another one takes the place, and gets ready on that thread."""
        self.process = self._make()
        self._on_its_way = starting.submit(self.process.start)

    def wait(self) -> None:
        """Return when who has the place is ready; raises what its start raised."""
        if self._on_its_way is not None:
            self._on_its_way.result()
            self._on_its_way = None

    def check(self) -> None:
        """Raise `WorkerFailed` if it has ended by itself."""
        if self._on_its_way is not None and self._on_its_way.done():
            self.wait()
        if self._on_its_way is None:
            self.process.check()


def _at_once(acts: Sequence[Callable[[], object]]) -> None:
    """Do all of them at once and to the end; raises what the first of them raised."""
    with ThreadPoolExecutor(max(1, len(acts))) as pool:
        begun = [pool.submit(act) for act in acts]
    for one in begun:
        one.result()
