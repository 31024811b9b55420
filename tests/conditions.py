"""What a test waits for: with a deadline that only a failure reaches, however busy the machine is."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TypeVar

import psutil

from labkit.taskqueue.timeouts import wait_until

T = TypeVar("T")

#: Seconds for what usually takes one.
PATIENCE = 120.0
#: Longer than any test may take: a wait of so long has been cut short when it returns.
FOR_EVER = 3600.0


async def eventually(condition: Callable[[], bool | Awaitable[bool]], what: str, *, interval: float = 0.02) -> None:
    """Return when the condition holds, which may be a coroutine function; it is asked every `interval` seconds."""

    async def holds() -> bool:
        found = condition()
        return bool(await found if inspect.isawaitable(found) else found)

    try:
        async with asyncio.timeout(PATIENCE):
            while not await holds():
                await asyncio.sleep(interval)
    except TimeoutError as error:
        raise AssertionError(f"{what}, and {PATIENCE:g} s were not enough") from error


def in_time(call: Callable[[], T], *, within: float = PATIENCE) -> T:
    """What the call returns or raises; an `AssertionError` if it has not ended by then."""
    outcome: list[Callable[[], T]] = []

    def run() -> None:
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            outcome.append(lambda error=error: _raise(error))
        else:
            outcome.append(lambda: value)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(within)
    assert outcome, f"it has not ended within {within:g} s"
    return outcome[0]()


def _raise(error: BaseException) -> NoReturn:
    raise error


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Inside, no thread of this process runs; it neither answers nor closes its connections."""
    process = psutil.Process(pid)
    process.send_signal(signal.SIGSTOP)
    try:
        # one thread takes the signal; on a busy machine the others run on until it comes to its turn
        wait_until(lambda: _states(process) == {"T"}, timeout=PATIENCE, what="all its threads were to stop")
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _states(process: psutil.Process) -> set[str]:
    """The states of its threads, where the system tells; else that of the process."""
    threads = list(Path(f"/proc/{process.pid}/task").glob("*/stat"))
    if not threads:
        return {"T"} if process.status() == psutil.STATUS_STOPPED else set()
    states = set()
    for thread in threads:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            states.add(thread.read_text().rpartition(")")[2].split()[0])
    return states
