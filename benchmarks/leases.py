"""Who has which message: a lease table in Redis, or Kafka's share groups (KIP-932)? Both give out one at a time.

A poller asks for one message, gets it, acknowledges it, and asks again.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from benchmarks.figure import Figure, alternate, measured, ratios
from labkit.api.messages import Message, MessageQueues
from labkit.errors import DeadlineExceeded
from labkit.lab import Lab
from labkit.settings import load_settings
from labkit.taskqueue.transport import connect_transport
from labkit.taskqueue.transport.share_contract import ShareConfig, ShareGroups

MESSAGES, BATCH, POLLERS, REPEATS = 2_000, 100, 10, 5
QUEUE = "orders"
AUTHOR = UUID("4f0f5f0e-2b8e-4c8e-9a43-0d7f6a1c9b11")
#: How long all messages may take, in seconds.
PATIENCE = 120.0


@dataclass(slots=True)
class Times:
    """How long each message took, from the question until it was acknowledged, in seconds; of all runs of one kind."""

    seconds: list[float] = field(default_factory=list)

    def in_ms(self, share: float) -> float:
        """The quantile, in ms."""
        return statistics.quantiles(self.seconds, n=1000)[round(share * 1000) - 1] * 1000


def measure() -> Iterator[Figure]:
    """One figure: messages/s of the lease table over those of share groups."""
    leased, shared = Times(), Times()
    with Lab() as lab:
        ours, theirs = alternate(
            lambda: asyncio.run(_lease_table(lab, leased)), lambda: _share_group(lab, shared), repeats=REPEATS
        )
    yield measured(
        "message_leases",
        "messages given out one by one: a lease table in Redis against share groups",
        ratios(ours, theirs),
        unit="times",
        better="higher",
        how=f"{MESSAGES} messages that were created in batches of {BATCH}, for {POLLERS} pollers, each of which asks "
        "for one, acknowledges it and asks again; connecting is not counted. The lease table: all pollers in one event "
        "loop, two scripts per message.",
        rival=f"a share group with {POLLERS} members, each with a thread, because a member gets no further records "
        "until it has said what becomes of those it has. The broker hands out whole batches, as they were "
        "written; a member answers the next questions from its batch and commits each verdict.",
        beside={
            "lease table in messages/s": statistics.median(ours),
            "share group in messages/s": statistics.median(theirs),
            "lease table p50 in ms": leased.in_ms(0.5),
            "lease table p99 in ms": leased.in_ms(0.99),
            "share group p50 in ms": shared.in_ms(0.5),
            "share group p99 in ms": shared.in_ms(0.99),
        },
    )


async def _create(queues: MessageQueues) -> None:
    now = datetime.now(UTC)
    messages = [
        Message(timestamp=now, title=f"message {index}", body="x" * 100, author=AUTHOR, topic=QUEUE)
        for index in range(MESSAGES)
    ]
    for start in range(0, MESSAGES, BATCH):
        await queues.create(messages[start : start + BATCH])


async def _lease_table(lab: Lab, times: Times) -> float:
    async with MessageQueues(lab, load_settings(topic_prefix=f"{uuid4().hex[:8]}.")) as queues:
        await _create(queues)
        first = await queues.poll(QUEUE, "g", wait=10, explicit=True)  # the feeder is there
        if first is None:
            raise RuntimeError("no message came")

        async def poll() -> int:
            count = 0
            while True:
                asked = time.perf_counter()
                got = await queues.poll(QUEUE, "g", wait=0, explicit=True)
                if got is None:
                    return count
                await queues.ack(got.id, got.token or "")
                times.seconds.append(time.perf_counter() - asked)
                count += 1

        began = time.perf_counter()
        counts = await asyncio.gather(*(poll() for _ in range(POLLERS)))
        took = time.perf_counter() - began
    if sum(counts) != MESSAGES - 1:
        raise RuntimeError(f"{sum(counts)} of {MESSAGES - 1} messages were given out")
    return sum(counts) / took


def _share_group(lab: Lab, times: Times) -> float:
    settings = load_settings(topic_prefix=f"{uuid4().hex[:8]}.")

    async def create() -> None:
        async with MessageQueues(lab, settings) as queues:
            await _create(queues)

    asyncio.run(create())
    transport = connect_transport(lab.connection, "confluent-kafka")
    with closing(transport.share_groups()) as groups:
        crew = _Members(groups, settings.topic_prefix, times)
        return crew.run()


class _Members:
    """The members of one share group. They begin together when all have joined."""

    def __init__(self, groups: ShareGroups, prefix: str, times: Times) -> None:
        self._groups = groups
        self._config = ShareConfig(group=f"{prefix}g", max_poll_records=1)
        self._topic = prefix + QUEUE
        self._times = times
        self._done: set[tuple[int, int]] = set()
        self._all = threading.Event()
        self._began = threading.Barrier(POLLERS + 1)

    def run(self) -> float:
        threads = [threading.Thread(target=self._poll, daemon=True) for _ in range(POLLERS)]
        for thread in threads:
            thread.start()
        self._began.wait(PATIENCE)
        began = time.perf_counter()
        if not self._all.wait(PATIENCE):
            raise DeadlineExceeded(f"{len(self._done)} of {MESSAGES} messages were given out by the share group.")
        took = time.perf_counter() - began
        for thread in threads:
            thread.join()
        return MESSAGES / took

    def _poll(self) -> None:
        with closing(self._groups.consumer(self._config)) as member:
            member.subscribe([self._topic])
            held = member.poll(5.0)  # joined
            self._began.wait(PATIENCE)
            asked = time.perf_counter()
            while not self._all.is_set():
                for record, _ in held:
                    member.acknowledge(record, "accept")
                    member.commit()
                    now = time.perf_counter()
                    self._times.seconds.append(now - asked)
                    asked = now
                    self._done.add((record.partition, record.offset))
                if len(self._done) == MESSAGES:
                    self._all.set()
                held = member.poll(0.2)
