"""A process that creates or polls messages, and may be killed: both its sides.

It reports `ready` when it is connected, begins with its next order, and ends with the order to stop. `reservation`
in its job is for how long it reserves messages, in seconds, where it is not to be taken for dead.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from msgspec.json import decode

from labkit.api.messages import Delivery, Message, MessageQueues, reservation
from labkit.api.messages.record_sender import RecordSender
from labkit.api.messages.reservation import Reservations
from labkit.errors import LabkitError, StaleLease
from labkit.lab import attach_lab
from labkit.process.child_process import ChildProcess
from labkit.process.parent_channel import ParentChannel
from labkit.settings import environment_with, load_settings

#: How long one poll waits, in seconds.
WAIT = 0.5

Job = dict[str, Any]
Orders = asyncio.Queue[bytes | None]


class MessageChild(ChildProcess):
    """The child, seen from its parent. `heard` are its reports; `settings` by their names."""

    def __init__(self, name: str, job: Job, *, hear: Callable[[Job], object] | None = None, **settings: object) -> None:
        self.heard: list[Job] = []
        super().__init__(
            name,
            __name__,
            job,
            hear=lambda report: (hear or self.heard.append)(decode(report)),
            environment=environment_with(**settings),
        )

    def has_said(self, word: str) -> bool:
        """Whether it has reported this."""
        return any(word in report for report in self.heard)


def main(parent: ParentChannel) -> None:
    """The process's side."""
    asyncio.run(_run(parent))


async def _run(parent: ParentChannel) -> None:
    """Connect, wait for the word, do the job."""
    job = parent.job()
    orders = _listen(parent)
    reservation.RESERVATION = job.get("reservation", reservation.RESERVATION)
    if job.get("dies"):
        _die_when(job["dies"])
    settings = load_settings()
    async with MessageQueues(attach_lab(settings=settings), settings) as queues:
        parent.report({"ready": True})
        await orders.get()
        await {"create": _create, "poll": _poll}[job["role"]](queues, job, parent, orders)


def _listen(parent: ParentChannel) -> Orders:
    """The orders as they come; None for the one to stop."""
    loop, orders = asyncio.get_running_loop(), Orders()

    def pass_on(order: bytes | None = None) -> None:
        loop.call_soon_threadsafe(orders.put_nowait, order)

    parent.listen(on_order=pass_on, on_stop=pass_on)
    return orders


async def _create(queues: MessageQueues, job: Job, parent: ParentChannel, _: Orders) -> None:
    """The same messages, so many times at once."""
    messages = [Message.of_payload(payload) for payload in job["messages"]]
    answers = await asyncio.gather(*(queues.create(messages) for _ in range(job.get("times", 1))))
    parent.report({"ids": [[str(message_id) for message_id in ids] for ids in answers]})


async def _poll(queues: MessageQueues, job: Job, parent: ParentChannel, orders: Orders) -> None:
    """So many pollers, until the order to stop."""
    pollers = [asyncio.create_task(_poll_on(queues, job, parent)) for _ in range(job["pollers"])]
    await orders.get()
    for poller in pollers:
        poller.cancel()
    await asyncio.gather(*pollers, return_exceptions=True)


async def _poll_on(queues: MessageQueues, job: Job, parent: ParentChannel) -> None:
    while True:
        try:
            got = await queues.poll(job["queue"], job["group"], wait=WAIT, explicit=True)
            if got is not None:
                await _work(queues, got, job.get("seconds", 0.0), parent)
        except StaleLease as error:
            parent.report({"stale": str(error)})
        except LabkitError as error:  # a server is away: go on as a client would
            parent.report({"trouble": str(error)})
            await asyncio.sleep(0.05)


async def _work(queues: MessageQueues, got: Delivery, seconds: float, parent: ParentChannel) -> None:
    parent.report({"got": str(got.id), "token": got.token, "until": got.leased_until, "deliveries": got.deliveries})
    await asyncio.sleep(seconds)
    await queues.ack(got.id, got.token or "")
    parent.report({"acked": str(got.id), "token": got.token})


def _die_when(moment: str) -> None:
    """SIGKILL this process when the first reservation is made (`reserved`), or the first message is on the topic."""

    async def die(*_: object, **__: object) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it is dead")

    if moment == "reserved":
        RecordSender.send = die  # type: ignore[method-assign, assignment]
    else:
        Reservations.mark = die  # type: ignore[method-assign, assignment]
