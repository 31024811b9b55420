"""Pollers under faults: processes of API servers are killed in the middle of giving out messages.

`python -m benchmarks.message_faults --messages 1000 --kills 3 --seeds 1` tries a small one, and keeps nothing of it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

from benchmarks.figure import Figure, never
from benchmarks.message_child import MessageChild
from benchmarks.report import number
from labkit.api.messages import Message, MessageQueues, Station
from labkit.lab import Lab
from labkit.settings import load_settings
from labkit.taskqueue.timeouts import wait_until

QUEUE, GROUP = "orders", "pollers"
AUTHOR = UUID("4f0f5f0e-2b8e-4c8e-9a43-0d7f6a1c9b11")
#: How many messages one call creates.
BATCH = 100
#: Redis tells times to the ms, so two leases may seem to overlap by that, in seconds.
GRAIN = 0.0015
#: How long nothing may happen before a run counts as stuck, in seconds.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """So many messages for so many pollers per process, with leases of so many seconds; `seconds` of work for each."""

    messages: int = 5_000
    pollers: int = 10
    processes: int = 2
    lease: float = 2.0
    seconds: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What went wrong, by message: never acknowledged; at two pollers within a lease; delivered after it was done.

    `again` counts deliveries that were not the first, which killed pollers cause.
    """

    lost: tuple[str, ...]
    shared: tuple[str, ...]
    after: tuple[str, ...]
    again: int
    seconds: float


def judge(
    created: Sequence[str], reports: Sequence[dict[str, Any]], done: Set[str], *, lease: float, seconds: float
) -> Run:
    """What the reports of all pollers say; times in them are those of Redis. Pure.

    `done` are those acknowledged by a poller that was killed before it could say so. Nobody acknowledges what it was
    not given, so a message is lost that is neither reported as acknowledged nor among these and given to somebody.
    """
    acked = {report["acked"]: report["token"] for report in reports if "acked" in report}
    got: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for report in reports:
        if "got" in report:
            got[report["got"]].append((report["until"], report["token"]))
    shared, after = [], []
    for message_id, leases in got.items():
        leases.sort()
        ends = [until for until, _ in leases]
        if any(until - lease < before - GRAIN for before, until in pairwise(ends)):
            shared.append(message_id)
        tokens = [token for _, token in leases]
        if message_id in acked and acked[message_id] != tokens[-1]:
            after.append(message_id)
    return Run(
        lost=tuple(one for one in created if one not in acked and not (one in done and one in got)),
        shared=tuple(shared),
        after=tuple(after),
        again=sum(len(leases) - 1 for leases in got.values()),
        seconds=seconds,
    )


def held(reports: Sequence[dict[str, Any]]) -> set[str]:
    """The tokens of deliveries that one process has got and not acknowledged. Pure."""
    return {report["token"] for report in reports if "got" in report} - {
        report["token"] for report in reports if "acked" in report
    }


def messages_under_faults(lab: Lab, load: Load, *, kills: int, seed: int) -> Run:
    """One run: create, poll and acknowledge everything, while `kills` processes of pollers are killed and replaced."""
    began = time.monotonic()
    crew = _Crew(lab, load, random.Random(seed))
    try:
        created = asyncio.run(crew.create())
        for share in range(1, kills + 1):
            crew.wait_for(share * load.messages // (kills + 1))
            crew.kill_one()
        done = asyncio.run(crew.finish(created))
    finally:
        crew.close()
    return judge(created, crew.reports, done, lease=load.lease, seconds=time.monotonic() - began)


class _Crew:
    """The processes of one run. All pollers wait for the messages before they come."""

    def __init__(self, lab: Lab, load: Load, rng: random.Random) -> None:
        self._lab = lab
        self._load = load
        self._rng = rng
        self._settings = {"topic_prefix": f"{uuid4().hex[:8]}.", "api_lease": load.lease, "api_deliveries": 100}
        self._started: list[MessageChild] = []
        for _ in range(load.processes):
            self._start()

    @property
    def reports(self) -> list[dict[str, Any]]:
        """What the processes have said so far, also those that were killed."""
        return [report for child in self._started for report in child.heard.copy()]

    async def create(self) -> list[str]:
        """All messages, in batches; their ids."""
        now = datetime.now(UTC)
        messages = [
            Message(timestamp=now, title=f"message {index}", body="x" * 100, author=AUTHOR, topic=QUEUE)
            for index in range(self._load.messages)
        ]
        ids: list[UUID] = []
        async with MessageQueues(self._lab, load_settings(**self._settings)) as queues:
            for start in range(0, len(messages), BATCH):
                ids += await queues.create(messages[start : start + BATCH])
        return [str(message_id) for message_id in ids]

    async def finish(self, created: Sequence[str]) -> set[str]:
        """Return when nothing is left, with those that are acknowledged though nobody has said so."""
        async with MessageQueues(self._lab, load_settings(**self._settings)) as queues:
            async with asyncio.timeout(PATIENCE):
                while (await queues.lags())[QUEUE]:
                    await asyncio.sleep(0.1)
            told = {report["acked"] for report in self.reports if "acked" in report}
            journeys = [await queues.journey(UUID(message_id)) for message_id in created if message_id not in told]
        return {str(one.id) for one in journeys if one is not None and one.station is Station.ACKNOWLEDGED}

    def wait_for(self, count: int) -> None:
        """Return when so many messages are acknowledged."""
        wait_until(lambda: self._acknowledged() >= count, timeout=PATIENCE, what=f"{count} were to be acknowledged")

    def kill_one(self) -> None:
        """SIGKILL one process that holds messages, and start another in its place."""
        wait_until(self._holding, timeout=PATIENCE, what="a poller was to get a message")
        self._rng.choice(self._holding() or self._alive()).kill()
        self._start()

    def close(self) -> None:
        """End all that are left."""
        for child in self._started:
            child.kill()

    def _alive(self) -> list[MessageChild]:
        return [child for child in self._started if child.alive()]

    def _holding(self) -> list[MessageChild]:
        """The processes with messages that they have not acknowledged yet."""
        return [child for child in self._alive() if held(child.heard.copy())]

    def _acknowledged(self) -> int:
        return len({report["acked"] for report in self.reports if "acked" in report})

    def _start(self) -> None:
        load = self._load
        job = {"role": "poll", "queue": QUEUE, "group": GROUP, "pollers": load.pollers, "seconds": load.seconds}
        child = MessageChild(
            "pollers",
            job,
            bootstrap_servers=self._lab.bootstrap_servers,
            redis_url=self._lab.redis_url,
            **self._settings,
        )
        child.start()
        self._started.append(child)
        child.tell("go")


def measure(load: Load | None = None, *, kills: int = 5, seeds: Sequence[int] = (1, 2, 3)) -> Iterator[Figure]:
    """Three seeds, each on a lab of its own: some two minutes."""
    load = load or Load()
    runs = [_run(load, kills, seed) for seed in seeds]
    how = (
        f"{load.messages} messages; {load.processes} processes with {load.pollers} pollers each, which work for "
        f"{load.seconds * 1000:g} ms and acknowledge; leases of {load.lease:g} s; {kills} times one process is killed "
        "by SIGKILL and replaced, when given shares of the work are done. Times of leases are those of Redis."
    )
    beside = {
        "deliveries that were not the first": float(max(run.again for run in runs)),
        "the longest run in s": max(run.seconds for run in runs),
    }
    yield never(
        "messages_lost",
        "pollers under faults: messages lost",
        [len(run.lost) for run in runs],
        unit="messages",
        how=how,
        beside=beside,
    )
    shared = [len(run.shared) + len(run.after) for run in runs]
    yield never(
        "messages_shared",
        "pollers under faults: at two within a lease, or after it was done",
        shared,
        unit="messages",
        how=how,
    )


def _run(load: Load, kills: int, seed: int) -> Run:
    with Lab() as lab:
        run = messages_under_faults(lab, load, kills=kills, seed=seed)
    print(f"  seed {seed}: lost {len(run.lost)}, at two {len(run.shared)}, after it was done {len(run.after)}, "
          f"again {run.again}, {run.seconds:.0f} s", flush=True)  # fmt: skip
    return run


def main() -> None:
    """Try one out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    load = Load(messages=chosen.messages)
    for figure in measure(load, kills=chosen.kills, seeds=range(1, chosen.seeds + 1)):
        print(f"{figure.what}: {number(figure.value, figure.unit)}, reached: {figure.reached}")


if __name__ == "__main__":
    main()
