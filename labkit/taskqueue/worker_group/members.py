"""The members of a worker group: a worker in a thread of this process, or in a process of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Protocol

from labkit.errors import Unsupported, WorkerFailed
from labkit.process.child_process import STOP_TIMEOUT
from labkit.taskqueue.engine.worker_config import Mode
from labkit.taskqueue.timeouts import on_a_thread
from labkit.taskqueue.worker_group.base_worker import BaseWorker, RunningTask, WorkerStatus
from labkit.taskqueue.worker_group.share_worker import ShareWorker
from labkit.taskqueue.worker_group.worker import Worker

_HOW = "Make the group with membership=Membership(processes=True)."


def worker_class(mode: Mode) -> type[BaseWorker]:
    """The kind of worker for a consumer group, or for a share group."""
    return ShareWorker if mode == "share" else Worker


class Member(Protocol):
    """One worker of a group, wherever it runs."""

    name: str

    def start(self) -> None:
        """Begin to join the group."""
        ...

    def status(self) -> WorkerStatus:
        """What the worker is doing now, as far as is known here."""
        ...

    def alive(self) -> bool:
        """Whether it has begun and not ended."""
        ...

    def running(self, timeout: float) -> list[RunningTask] | None:
        """What it works on now, the longest first; None if it does not answer within `timeout` seconds.

        When it has answered, everything that it had recorded before is known here.
        """
        ...

    def ask_to_stop(self) -> None:
        """Finish the tasks in hand, commit and leave."""
        ...

    def join(self, timeout: float = STOP_TIMEOUT) -> None:
        """Return when the worker has ended.

        Raises `WorkerFailed` if it ended with an error, or had not ended after `timeout` seconds: then a process is
        killed, and a thread is left behind.
        """
        ...

    def kill(self) -> None:
        """End the worker at once, in the middle of what it does."""
        ...

    def signal(self, number: signal.Signals) -> None:
        """Send this signal to the worker."""
        ...

    def output(self) -> str:
        """What its process has written to its standard output and error: the newest of it."""
        ...


class ThreadMember:
    """A worker in a thread of this process."""

    def __init__(self, worker: BaseWorker) -> None:
        self.name = worker.name
        self._worker = worker
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=worker.name, daemon=True)

    def start(self) -> None:
        """Begin to join the group."""
        self._thread.start()

    def status(self) -> WorkerStatus:
        """What the worker is doing now."""
        return self._worker.status()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def running(self, timeout: float) -> list[RunningTask]:
        """What it works on now, the longest first."""
        return self._worker.running()

    def ask_to_stop(self) -> None:
        """Finish the tasks in hand, commit and leave."""
        self._worker.stop()

    def join(self, timeout: float = STOP_TIMEOUT) -> None:
        """Return when the worker has ended; raises `WorkerFailed` if it ended with an error, or not in time."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if self._thread.is_alive():
            tasks = "; ".join(map(str, self._worker.running()[:3])) or "no task of it is running"
            raise WorkerFailed(
                f"{self.name} did not stop within {round(timeout, 1):g} s, and its thread is left behind: {tasks}."
            )
        if type(self._error) is WorkerFailed:
            raise self._error
        if self._error is not None:
            raise WorkerFailed(f"{self.name} ended with an error: {self._error}") from self._error

    def kill(self) -> None:
        """A thread cannot be killed; raises `Unsupported`."""
        raise Unsupported(f"A worker in a thread cannot be killed. {_HOW}")

    def signal(self, number: signal.Signals) -> None:
        """A thread gets no signals; raises `Unsupported`."""
        raise Unsupported(f"A worker in a thread gets no signals. {_HOW}")

    def output(self) -> str:
        """A thread writes where this process writes; raises `Unsupported`."""
        raise Unsupported(f"A worker in a thread has no output of its own. {_HOW}")

    def _run(self) -> None:
        try:
            self._worker.run()
        except BaseException as error:  # noqa: BLE001 - handed on by `join`
            self._error = error


def stop_members(members: list[Member], timeout: float) -> list[Exception]:
    """Ask all to stop and see that all end within `timeout` seconds, whatever one of them does; what went wrong.

    All are waited for at once, so what it takes to kill one is not added to what it takes to kill the next.
    """
    failures: list[Exception] = []
    ends: list[Future[None]] = []
    steps: list[Callable[[Member], object]] = [
        lambda member: member.ask_to_stop(),
        lambda member: ends.append(_joined(member, timeout)),
    ]
    for step, member in product(steps, members):
        with _kept(failures):
            step(member)
    for end in ends:
        with _kept(failures):
            end.result()
    return failures


def _joined(member: Member, timeout: float) -> Future[None]:
    """Its join, on a thread; here and now where no thread can be started, as when the interpreter ends."""
    join = partial(member.join, timeout)
    try:
        return on_a_thread(join)
    except RuntimeError:
        join()
        done: Future[None] = Future()
        done.set_result(None)
        return done


@contextmanager
def _kept(failures: list[Exception]) -> Iterator[None]:
    """What goes wrong inside is kept: the others are to end all the same."""
    try:
        yield
    except Exception as failure:  # noqa: BLE001 - see above
        failures.append(failure)
