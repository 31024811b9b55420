"""Waiting for what must come, and for no longer than a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from labkit.errors import BrokerUnreachable, DeadlineExceeded, UnknownTopic
from labkit.lab.condition import wait_for

#: How long to wait between two looks at a condition on the broker, in seconds.
LOOK_INTERVAL = 0.02
#: How long a change may take until the brokers show it, in seconds.
CHANGE_TIMEOUT = 10.0
#: A broker that gives no answer for so long may be away, in seconds.
SILENCE = 1.0

Answer = TypeVar("Answer")


def left_until(deadline: float) -> float:
    """How many seconds are left until this moment of `time.monotonic`; 0 if it has passed."""
    return max(0.0, deadline - time.monotonic())


def wait_until(
    condition: Callable[[], bool],
    *,
    timeout: float,
    what: str,
    interval: float = LOOK_INTERVAL,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Return as soon as the condition holds; `DeadlineExceeded`, which names `what`, after `timeout` seconds."""
    if not wait_for(condition, timeout, interval=interval, clock=clock, pause=pause):
        raise DeadlineExceeded(f"Waited {timeout:g} s in vain: {what}.")


def wait_until_there(condition: Callable[[], bool], *, timeout: float, what: str) -> None:
    """As `wait_until`, of something on the broker: it is waited for also while the broker or the topic is away."""
    trouble = ""

    def holds() -> bool:
        nonlocal trouble
        trouble = ""
        try:
            return condition()
        except (BrokerUnreachable, UnknownTopic) as error:  # it may come back, or be made anew, in time
            trouble = f" {error}"
            return False

    try:
        wait_until(holds, timeout=timeout, what=what)
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{error}{trouble}") from None


def answer_of_broker(call: Callable[[], Answer], deadline: float) -> Answer:
    """What the call returns or raises, made on a thread. Where it takes beyond the deadline: `BrokerUnreachable`, or
    `DeadlineExceeded` if there was too little time to tell.
    """
    left = left_until(deadline)
    asked = on_a_thread(call)
    wait([asked], left)
    if asked.done():
        return asked.result()
    raise BrokerUnreachable if left >= SILENCE else DeadlineExceeded


def on_a_thread(call: Callable[[], Answer]) -> Future[Answer]:
    """Call it on a thread, which is left behind if it takes longer than anybody waits."""
    outcome: Future[Answer] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            outcome.set_exception(error)

    threading.Thread(target=run, name="labkit-aside", daemon=True).start()
    return outcome
