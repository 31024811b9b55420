"""A student's worker: the cells of a solution run in a sandbox of their own, and one function of theirs is called."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from labkit.errors import KernelEnded, SandboxUnavailable
from labkit.grading.behaviour import effect_program, mistakes
from labkit.grading.behaviour.request_count import RequestCount
from labkit.grading.effect_sink import EffectSink
from labkit.grading.question_verdict import printable
from labkit.grading.sandbox import Limits
from labkit.grading.sandbox.kernel import Answer, CodeError, Kernel, Returned
from labkit.grading.sandbox.mounts import PROGRAMS
from labkit.grading.sandbox.socket_relay import SocketRelay
from labkit.grading.solution import CELL_TIMEOUT, GradingBroker, Solution
from labkit.lab.condition import wait_for
from labkit.resource import Resource

#: Stands for the sink of effects in the sandbox: a port that no broker of the lab's is given.
EFFECTS_PORT = 64_999
#: How long all may take that a worker does, in seconds. Its run is cut before, when the student's time is over.
WORKER_TIMEOUT = 3600.0
#: How long a cell may take that has come to its end before, in seconds: several workers begin at once here.
AGAIN_TIMEOUT = 4 * CELL_TIMEOUT
#: How long it may take at most until the function is called, in seconds: the sandbox and the cells end before.
START_LIMIT = 1800.0
#: How often to look whether it has come to its end, in seconds.
LOOK_INTERVAL = 0.05
#: What a worker may use. A loop that polls without a pause is slow and right, so the processor's time is no limit.
LIMITS = Limits(processes=64, cpu_seconds=int(WORKER_TIMEOUT), wall_seconds=WORKER_TIMEOUT)

#: The functions that call the student's one with what it needs to do tasks, and tell whether it is there: see
#: `effect_program`.
WORK, HAS = "labkit_run", "labkit_has"

_PROGRAM = f"{PROGRAMS}/{Path(effect_program.__file__).name}"
#: Makes these functions known.
_CALLING_CELL = f"""
import sys
sys.path.insert(0, {PROGRAMS!r})
from effect_program import has as {HAS}, mend_consumers, run as {WORK}
sys.path.pop(0)
mend_consumers()
del mend_consumers
"""


class StudentWorker(Resource):
    """The worker of this name. `begin` calls the solution's `function`, by its `order`, when the cells have run;
    `answer` or `ended` tell of the end. `stopping` is for who has asked it to stop, and `may_fail` for
    whom it may end by an error.

    The broker sees it come from the `address`, which nobody else has, and knows its members of a group by that.
    `requests` counts what it asks the broker.
    """

    def __init__(
        self,
        name: str,
        address: str,
        solution: Solution,
        broker: GradingBroker,
        sink: EffectSink,
        *,
        function: str,
        order: tuple[str, Sequence[object]],
        works: bool,
    ) -> None:
        self.name, self.address = name, address
        self.answer: Answer | None = None
        self.ended: str | None = None
        #: when its function had come to its end, by the sink's clock
        self.over_at: float | None = None
        self.works = works
        self.is_called = self.killed = self.stopping = self.may_fail = self._lacks_function = False
        self._cells, self._time = solution.cells, solution.worker_time
        self._function, self._order = function, order
        self._sink, effects = sink, sink.open(name)
        self.requests = RequestCount()
        self.relay = SocketRelay(broker.port, source=self.address, observe=self.requests.connection)
        self._kernel = Kernel(
            solution.sandbox,
            limits=LIMITS,
            files={_PROGRAM: Path(effect_program.__file__).read_bytes()},
            sockets={broker.port: self.relay.path, EFFECTS_PORT: effects},
        )
        self._error: BaseException | None = None
        self._wanted = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"labkit-student-{address}", daemon=True)

    def start(self) -> StudentWorker:
        """Start the sandbox and run the cells in it."""
        self.relay.start()
        self._thread.start()
        return self

    def begin(self) -> None:
        """Call the function as soon as the cells have run; returns then, or when they have ended the process.

        Raises `SandboxUnavailable` if that does not come.
        """
        self._wanted.set()
        if not wait_for(lambda: self.is_called or self.is_over(), START_LIMIT, interval=LOOK_INTERVAL):
            raise SandboxUnavailable(f"Student code was not ready within {START_LIMIT:g} s.")

    def is_over(self) -> bool:
        """Whether the function has come to its end, or its process has. Raises what the grader itself could not do."""
        if self._error is not None:
            raise self._error
        self.relay.check()
        return self._over.is_set()

    def wrong_end(self) -> tuple[str, str] | None:
        """By which mistake it has ended, and a sentence; nothing if it runs, was killed, or has ended as it may."""
        if not self.is_over() or self.killed:
            return None
        if isinstance(self.answer, CodeError):
            if self.may_fail:
                return None
            line = "" if self.answer.line is None else f" in line {self.answer.line} of the cell"
            return mistakes.CRASHED, f"It ended by an error{line}: {printable(self.answer.last_line, 300)}."
        if self.ended is not None:
            return mistakes.CRASHED, self.ended
        if self._lacks_function:
            return mistakes.NOT_THERE, f"The cells define no function of the name {self._function}."
        if self.works and not self.stopping:
            return mistakes.ENDED_EARLY, "It returned before it was asked to stop."
        return None

    def kill(self) -> None:
        """End its process at once, as by SIGKILL."""
        self.killed = True
        self._end()

    def close(self) -> None:
        """End its process and the way to its broker."""
        try:
            self._end()
        finally:
            self.relay.close()

    def _end(self) -> None:
        self._wanted.set()
        while self._thread.is_alive():  # the sandbox may be about to start
            self._kernel.close()
            self._thread.join(LOOK_INTERVAL)

    def _run(self) -> None:
        try:
            self._start()
            self._call()
        except BaseException as error:  # noqa: BLE001 - raised where the worker is asked
            self._error = None if self.killed else error
        finally:
            self.over_at = self._sink.now()
            self._kernel.close()
            self._over.set()

    def _start(self) -> None:
        try:
            self._kernel.start()
        except KernelEnded as error:  # nothing of the student's has run yet
            raise SandboxUnavailable(f"Student code cannot be run here now: {error}") from error

    def _call(self) -> None:
        try:
            for cell in (*self._cells, _CALLING_CELL):  # one that fails does not end the others
                self._time.spend(AGAIN_TIMEOUT, partial(self._kernel.run, cell))
            if self._time.spend(AGAIN_TIMEOUT, self._has_function) == Returned(False):
                self._lacks_function = True
                return
            self._wanted.wait()
            self.is_called = True
            function, arguments = self._order
            self.answer = self._kernel.call(function, arguments, timeout=WORKER_TIMEOUT)
        except KernelEnded as ended:
            self.ended = str(ended)

    def _has_function(self, timeout: float) -> Answer:
        return self._kernel.call(HAS, [self._function], timeout=timeout)
