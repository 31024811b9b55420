"""Waiting for what must come, and for no longer than a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from labkit.errors import BrokerUnreachable, DeadlineExceeded, LabkitError, UnknownTopic
from labkit.lab.condition import wait_for
from labkit.parameters import checked

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


@checked
def wait_until(
    condition: Callable[[], bool],
    *,
    timeout: float,
    what: str,
    told: Callable[[], str] = str,
    interval: float = LOOK_INTERVAL,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Return as soon as the condition holds; `DeadlineExceeded`, which names `what`, after `timeout` seconds.

    `told` says then how far it has come, and what to do.
    """
    if not wait_for(condition, timeout, interval=interval, clock=clock, pause=pause):
        raise DeadlineExceeded(f"Waited {timeout:g} s in vain: {what}. {told()}".rstrip())


def wait_until_there(
    condition: Callable[[], bool], *, timeout: float, what: str, told: Callable[[], str] = str
) -> None:
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
        wait_until(holds, timeout=timeout, what=what, told=told)
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{error}{trouble}") from None


def answer_of_broker(
    call: Callable[[], Answer], deadline: float, *, away: type[LabkitError] = BrokerUnreachable
) -> Answer:
    """What the call returns or raises, made on a thread, or what `wait_for_answer` raises after the deadline."""
    asked = on_a_thread(call)
    wait_for_answer(asked, deadline, away=away)
    return asked.result()


def wait_for_answer(asked: Future[Answer], deadline: float | None, *, away: type[LabkitError]) -> None:
    """Return when there is an answer, or an error in its place, however long it takes where there is no deadline.

    After the deadline, a moment of `time.monotonic`, raises `away`, or `DeadlineExceeded` if there was too little time
    to tell.
    """
    left = None if deadline is None else left_until(deadline)
    if asked in wait([asked], left).done or left is None:
        return
    raise away if left >= SILENCE else DeadlineExceeded


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
