"""A process that runs handlers, for work that keeps a CPU busy: both its sides.

Each of `concurrency` threads of a worker has one and waits for its answers. When it dies in the middle of a task, it
takes one attempt with it and is replaced. Each order is a task, for which there are two reports: true when it begins,
and then its answer, null when the handler has returned, why when it failed.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from signal import SIGKILL
from threading import Event
from typing import Any

from labkit.errors import ProcessDied, TaskTimedOut, TryAgainLater, WorkerFailed
from labkit.logs.safe_logger import safe_logger
from labkit.outage import Outage
from labkit.process.child_process import ChildProcess
from labkit.process.output_log import OutputLog
from labkit.process.parent_channel import ParentChannel
from labkit.taskqueue.engine.failure import Failure, RemoteError, failure_of
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.outcome import outcome_of
from labkit.taskqueue.task import Task
from labkit.typed_values import json_decoder, typed_json

#: How long a task waits at once for a process that gets ready, or that has it and does not begin, in seconds. A worker
#: that leaves has more time than this.
START_TIMEOUT = 10.0
#: A process that is not ready after so many of these waits is replaced; and if so many die before one was ever ready,
#: the next one would, too.
MOST_WAITS, MOST_DEATHS = 10, 5
#: How long to wait when no process could be had, in seconds: at first, and in the end.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
#: To so many processes a task is told, one after the other, if they die before they begin it.
TRIES = 2
#: What such a process is called.
NAME = "handlers"
#: Stands among the answers when the process has ended.
_ENDED = b""
#: The report that the task begins.
_BEGUN = b"true"

log = safe_logger("labkit.worker")


class HandlerProcess:
    """The worker's side: started when the first task comes, and again after it has died."""

    def __init__(self, work: dict[str, Any], timeout: float | None) -> None:
        self._work = work
        self._timeout = timeout
        #: what its processes have printed, also the former ones
        self.output = OutputLog(NAME)
        self._child: ChildProcess | None = None
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        self._is_ready = False
        # whether one of them ever was
        self._was_ready = False
        # in vain, since there was one that was ready
        self._waits = self._deaths = 0
        self._pause = FIRST_PAUSE
        self._closed = Event()
        self._outage = Outage(log, "A thread for handlers", "its process", meanwhile="its tasks wait")

    def start(self) -> ChildProcess:
        """The process when it is ready, which is started if there is none.

        Raises `TryAgainLater` if there is none to be had now, or if it is not ready yet, which it may be next time;
        `WorkerFailed` if the first one of all says that it cannot run the handler, or the first few die in silence.
        """
        child = self._child
        if self._closed.is_set():
            raise TryAgainLater("No more tasks come.")
        if child is None or (self._is_ready and not child.alive()):
            child = self._launch()
        if not self._is_ready:
            try:
                said = self._answers.get(timeout=START_TIMEOUT)
            except Empty:
                self._waits += 1
                if self._waits >= MOST_WAITS:
                    self._waits = 0
                    self._end(child)
                raise self._missing(f"It is not ready after {START_TIMEOUT:g} s.", pause=False) from None
            if said == _ENDED:
                self._child = None
                self._deaths += 1
                if not self._was_ready and (child.why() is not None or self._deaths >= MOST_DEATHS):
                    child.join()  # raises it: the next one could not either
                raise self._missing(f"It ended with {child.ending()} as soon as it was started.")
            self._is_ready = self._was_ready = True
            self._waits = 0
        return child

    def run(self, task: Task) -> BaseException | None:
        """Let the handler work on the task; why it failed, None if it did not.

        After `timeout` seconds the process is killed, with all that the handler has started: `TaskTimedOut`.
        `ProcessDied` if it ended by itself. `TryAgainLater` if no process could begin the task, which is no attempt.
        """
        try:
            child = self._begin(task)
        except TryAgainLater as error:
            return error
        try:
            answer = self._answers.get(timeout=self._timeout)
        except Empty:
            self._end(child)
            return TaskTimedOut(f"It took longer than {self._timeout:g} s and its process was killed.")
        if answer == _ENDED:
            return ProcessDied(f"The process that worked on it ended with {child.ending()}.")
        failure = typed_json(answer, Failure | None)
        return None if failure is None else RemoteError(failure)

    def close(self) -> None:
        """End the process, if there is one, and do not wait for that: there may be many to end, from any thread."""
        self._closed.set()
        child = self._child
        if child is not None and child.alive():
            child.signal(SIGKILL)

    def _begin(self, task: Task) -> ChildProcess:
        """The process in which the task has begun. One may have died since it answered, which is not this task's doing.

        Raises `TryAgainLater`.
        """
        for _ in range(TRIES):
            child, answer, how = self.start(), _ENDED, None
            try:
                child.tell(task)
                answer = self._answers.get(timeout=START_TIMEOUT)
            except WorkerFailed:
                pass  # it has ended, which is said below
            except Empty:
                how = f"our SIGKILL, as it had not begun it after {START_TIMEOUT:g} s"
            if answer == _BEGUN:
                self._pause = FIRST_PAUSE
                self._outage.ends()
                return child
            self._end(child)
            how = how or child.ending()
            log.warning("a process for handlers ended before it began a task, with %s; it is replaced", how)
        raise self._missing("Those that were started ended before they began a task.")

    def _launch(self) -> ChildProcess:
        answers: SimpleQueue[bytes] = SimpleQueue()
        self._answers, self._is_ready = answers, False
        child = ChildProcess(
            NAME, __name__, self._work, hear=answers.put, on_end=lambda: answers.put(_ENDED), output=self.output
        )
        self._child = child
        try:
            child.start()
        except WorkerFailed as error:
            self._child = None
            if child.alive():  # it does not listen
                self._end(child)
            raise self._missing(error) from None
        if self._closed.is_set():  # meanwhile, by another thread
            self._end(child)
        return child

    def _end(self, child: ChildProcess) -> None:
        """Kill it, as far as that can be done: one that Linux does not let go of now does nothing more either."""
        self._child = None
        try:
            child.kill()
        except WorkerFailed as error:
            log.warning("%s", error)

    def _missing(self, why: object, *, pause: bool = True) -> TryAgainLater:
        """That there is no process, which is said once, and not found out again before a growing pause is over."""
        if not self._closed.is_set():
            self._outage.begins(why)
        if pause:
            self._closed.wait(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return TryAgainLater(f"There is no process for the handler now. {why}")


def main(parent: ParentChannel) -> None:
    """The process's side: run the handler with one task after the other."""
    handler = Work.of(parent.job()).function()
    read_task = json_decoder(Task).decode
    parent.report(None)
    for order in parent.orders():
        parent.report(True)
        error = outcome_of(handler, read_task(order))
        parent.report(None if error is None else failure_of(error))
