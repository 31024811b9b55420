"""A process that runs handlers, for work that keeps a CPU busy: both its sides.

Each of `concurrency` threads of a worker has one and waits for its answers. When it dies, it takes one attempt with it
and is replaced. Each order is a task, each report its answer: null when the handler has returned, why when it failed.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import Any

from msgspec.json import Decoder, decode

from labkit.errors import ProcessDied, TaskTimedOut, WorkerFailed
from labkit.process.child_process import ChildProcess
from labkit.process.output_log import OutputLog
from labkit.process.parent_channel import ParentChannel
from labkit.taskqueue.engine.failure import Failure, RemoteError, failure_of
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.outcome import outcome_of
from labkit.taskqueue.task import Task

#: How long a new process may take until it is ready, in seconds.
START_TIMEOUT = 30.0
#: What such a process is called.
NAME = "handlers"
#: Stands among the answers when the process has ended.
_ENDED = b""


class HandlerProcess:
    """The worker's side: started when the first task comes, and again after it has died."""

    def __init__(self, work: dict[str, Any], timeout: float | None) -> None:
        self._work = work
        self._timeout = timeout
        #: what its processes have printed, also the former ones
        self.output = OutputLog(NAME)
        self._child: ChildProcess | None = None
        self._answers: SimpleQueue[bytes] = SimpleQueue()

    def start(self) -> ChildProcess:
        """Start the process and return it when it is ready; raises `WorkerFailed` if it is not in time."""
        answers: SimpleQueue[bytes] = SimpleQueue()
        self._answers = answers
        self._child = child = ChildProcess(
            NAME, __name__, self._work, hear=answers.put, on_end=lambda: answers.put(_ENDED), output=self.output
        )
        child.start()
        try:
            if answers.get(timeout=START_TIMEOUT) == _ENDED:
                child.join()
                raise WorkerFailed("The process for handlers ended as soon as it was started.")
        except Empty:
            self.close()
            raise WorkerFailed(f"The process for handlers was not ready after {START_TIMEOUT:g} s.") from None
        return child

    def run(self, task: Task) -> BaseException | None:
        """Let the handler work on the task; why it failed, None if it did not.

        After `timeout` seconds the process is killed, with all that the handler has started: `TaskTimedOut`.
        `ProcessDied` if it ended by itself.
        """
        child = self._child
        if child is None or not child.alive():
            child = self.start()
        try:
            child.tell(task)
            answer = self._answers.get(timeout=self._timeout)
        except WorkerFailed:
            self.close()
            answer = _ENDED
        except Empty:
            self.close()
            return TaskTimedOut(f"It took longer than {self._timeout:g} s and its process was killed.")
        if answer == _ENDED:
            return ProcessDied(f"The process that worked on it ended with {child.ending()}.")
        failure = decode(answer, type=Failure | None)
        return None if failure is None else RemoteError(failure)

    def close(self) -> None:
        """End the process at once, if there is one."""
        child, self._child = self._child, None
        if child is not None and child.alive():
            child.kill()


def main(parent: ParentChannel) -> None:
    """The process's side: run the handler with one task after the other."""
    handler = Work.of(parent.job()).function()
    read_task = Decoder(Task).decode
    parent.report(None)
    for order in parent.orders():
        error = outcome_of(handler, read_task(order))
        parent.report(None if error is None else failure_of(error))
