"""`python -m benchmarks.message_child`: creates or polls messages in a process of its own, which may be killed.

The job comes as one JSON line on standard input, and reports go out as JSON lines on standard output. It says `ready`
when it is connected, begins with the next line of its input, and ends when that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from labkit.api.messages import Delivery, Message, MessageQueues
from labkit.api.messages.record_sender import RecordSender
from labkit.api.messages.reservation import Reservations
from labkit.errors import LabkitError, StaleLease
from labkit.lab import attach_lab
from labkit.process.child_process import ChildProcess
from labkit.settings import environment_with, load_settings

#: How long one poll waits, in seconds.
WAIT = 0.5

Job = dict[str, Any]
Lines = asyncio.Queue[str | None]


class MessageChild(ChildProcess):
    """The child, seen from its parent. `heard` are its reports; `settings` by their names."""

    def __init__(self, name: str, job: Job, *, hear: Callable[[Job], object] | None = None, **settings: object) -> None:
        self.heard: list[Job] = []
        super().__init__(
            name,
            "benchmarks.message_child",
            job,
            hear=hear or self.heard.append,
            environment=environment_with(**settings),
        )

    def has_said(self, word: str) -> bool:
        """Whether it has reported this."""
        return any(word in report for report in self.heard)


def say(**report: object) -> None:
    """One line to the parent."""
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


async def run(job: Job) -> None:
    """Connect, wait for the word, do the job."""
    lines = _listen()
    if job.get("dies"):
        _die_when(job["dies"])
    settings = load_settings()
    async with MessageQueues(attach_lab(settings=settings), settings) as queues:
        say(ready=True)
        await lines.get()
        await {"create": _create, "poll": _poll}[job["role"]](queues, job, lines)


def _listen() -> Lines:
    """The lines of the input as they come; None at its end."""
    loop, lines = asyncio.get_running_loop(), Lines()

    def pass_on() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=pass_on, daemon=True).start()
    return lines


async def _create(queues: MessageQueues, job: Job, _: Lines) -> None:
    """The same messages, so many times at once."""
    messages = [Message.of_payload(payload) for payload in job["messages"]]
    answers = await asyncio.gather(*(queues.create(messages) for _ in range(job.get("times", 1))))
    say(ids=[[str(message_id) for message_id in ids] for ids in answers])


async def _poll(queues: MessageQueues, job: Job, lines: Lines) -> None:
    """So many pollers, until the input ends."""
    pollers = [asyncio.create_task(_poll_on(queues, job)) for _ in range(job["pollers"])]
    await lines.get()
    for poller in pollers:
        poller.cancel()
    await asyncio.gather(*pollers, return_exceptions=True)


async def _poll_on(queues: MessageQueues, job: Job) -> None:
    while True:
        try:
            got = await queues.poll(job["queue"], job["group"], wait=WAIT, explicit=True)
            if got is not None:
                await _work(queues, got, job.get("seconds", 0.0))
        except StaleLease as error:
            say(stale=str(error))
        except LabkitError as error:  # a server is away: go on as a client would
            say(trouble=str(error))
            await asyncio.sleep(0.05)


async def _work(queues: MessageQueues, got: Delivery, seconds: float) -> None:
    say(got=str(got.id), token=got.token, until=got.leased_until, deliveries=got.deliveries)
    await asyncio.sleep(seconds)
    await queues.ack(got.id, got.token or "")
    say(acked=str(got.id), token=got.token)


def _die_when(moment: str) -> None:
    """SIGKILL this process when the first reservation is made (`reserved`), or the first message is on the topic."""

    async def die(*_: object, **__: object) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it is dead")

    if moment == "reserved":
        RecordSender.send = die  # type: ignore[method-assign, assignment]
    else:
        Reservations.mark = die  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.stdin.readline())))
