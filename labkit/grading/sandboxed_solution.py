"""A solution in a sandbox: its cells are run one by one when the first question asks, and again where they have to be.

A cell that ends its process, or takes too long, is left out of the next one; so the others run, whatever it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from labkit.errors import BrokerFailed, KernelEnded, SandboxUnavailable
from labkit.grading.question_verdict import Feedback
from labkit.grading.sandbox.contract import Backend, Limits
from labkit.grading.sandbox.kernel import ADVICE, ENDED, Answer, CodeError, Kernel
from labkit.grading.solution import CELL_TIMEOUT, BrokerSource, GradingBroker, SpareBroker
from labkit.grading.time_budget import TimeBudget
from labkit.resource import Resource

#: How long a submission's cells and calls may take together, in seconds.
SUBMISSION_TIMEOUT = 300.0
#: The same for its cells where they are run again for workers, of which an assignment may have 20 and more.
WORKERS_TIMEOUT = 600.0

#: What is asked of the process has its own time; that of the process is for what else a grader does meanwhile. Its time
#: on a processor is that of all questions together, or one of them would pay for those before it.
LIMITS = Limits(cpu_seconds=int(SUBMISSION_TIMEOUT), wall_seconds=3600.0)

#: The name of the function by which a value is read.
_READER = "_read_by_the_grader"


class SandboxedSolution(Resource):
    """Keeps `Solution`. `cells` are the code with the grade_id of each that has one, in order.

    A process that does not come up is no fault of the student's: `SandboxUnavailable`.
    """

    def __init__(
        self,
        sandbox: Backend,
        cells: Sequence[tuple[str | None, str]],
        *,
        student: str,
        seed: str,
        brokers: BrokerSource | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sandbox, self.student, self.clock = sandbox, student, clock
        self.worker_time = TimeBudget(WORKERS_TIMEOUT, "the cells of all workers", clock)
        self._time = TimeBudget(SUBMISSION_TIMEOUT, "the whole notebook", clock)
        #: what went wrong when the cells were run, by the number of the cell
        self.faults: dict[int, Feedback] = {}
        self._listed = list(cells)
        self._seed = seed
        self._brokers = brokers
        self._broker: SpareBroker | None = None
        self._left_out: set[int] = set()
        self._kernel: Kernel | None = None

    @property
    def cells(self) -> Sequence[str]:
        """The code of all cells, but for those that are left out."""
        return [code for number, (_, code) in enumerate(self._listed) if number not in self._left_out]

    def fault_of(self, grade_id: str) -> Feedback | None:
        """What went wrong when the cell of this grade_id was run."""
        names = [name for name, _ in self._listed]
        return self.faults.get(names.index(grade_id)) if grade_id in names else None

    def broker(self) -> GradingBroker:
        """As `Solution` says."""
        if self._brokers is None:
            raise BrokerFailed("A question of this assignment needs a broker, and the grader was given none.")
        if self._broker is not None and not self._broker.is_usable():
            self.renew_broker()
        self._broker = self._broker or self._brokers.take()
        return self._broker

    def renew_broker(self) -> None:
        """As `Solution` says."""
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()

    def rng(self, question: str) -> Random:
        """As `Solution` says; by SHA-512 of the text, so it is the same in every process and on every machine."""
        return Random(f"{self._seed}/{question}")

    def ready(self) -> None:
        """As `Solution` says."""
        self._ready()

    def call(self, name: str, arguments: Sequence[object], *, timeout: float) -> Answer:
        """As `Solution` says."""
        return self._ask(lambda kernel, left: kernel.call(name, arguments, timeout=left), timeout)

    def read(self, name: str, *, timeout: float) -> Answer:
        """As `Solution` says."""

        def ask(kernel: Kernel, left: float) -> Answer:
            kernel.run(f"def {_READER}():\n    return {name}", left)
            return kernel.call(_READER, timeout=left)

        return self._ask(ask, timeout)

    def afresh(self) -> None:
        """As `Solution` says."""
        self._end_process()

    def close(self) -> None:
        """End the process, and throw the broker away, if there are any."""
        try:
            self._end_process()
        finally:
            self.renew_broker()

    def _end_process(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def _ask(self, ask: Callable[[Kernel, float], Answer], timeout: float) -> Answer:
        kernel = self._ready()
        try:
            return self._time.spend(timeout, lambda left: ask(kernel, left))
        except KernelEnded as error:
            self._end_process()
            raise KernelEnded(_reason(error)) from error

    def _ready(self) -> Kernel:
        """A kernel in which the cells were run; each that ends one is left out of the next."""
        while self._kernel is None:
            self._time.left()
            kernel = Kernel(self.sandbox, limits=LIMITS)
            try:
                self._start(kernel)
                if self._run_cells(kernel):
                    self._kernel = kernel
            finally:
                if self._kernel is None:
                    kernel.close()
        return self._kernel

    @staticmethod
    def _start(kernel: Kernel) -> None:
        try:
            kernel.start()
        except KernelEnded as error:
            raise SandboxUnavailable(f"Student code cannot be run here now: {error}") from error

    def _run_cells(self, kernel: Kernel) -> bool:
        """Whether all cells were run, but for those that are left out."""
        for number, (name, code) in enumerate(self._listed):
            if number in self._left_out:
                continue
            which = f"The cell {name}" if name is not None else f"The {number + 1}. cell that is run"
            self._time.left()
            try:
                answer = self._time.spend(CELL_TIMEOUT, partial(kernel.run, code))
            except KernelEnded as error:
                self._left_out.add(number)
                self.faults[number] = Feedback("cell ended", f"{which} was left out. {_reason(error)}")
                return False
            if isinstance(answer, CodeError):
                self.faults.setdefault(number, _raised(which, answer))
        return True


def _reason(error: KernelEnded) -> str:
    """Why the process has ended, without what whoever runs kernels is told to do."""
    return str(error).removeprefix(ENDED).removesuffix(ADVICE).strip()


def _raised(which: str, error: CodeError) -> Feedback:
    line = f" in line {error.line}" if error.line is not None else ""
    return Feedback("cell failed", f"{which} raised an error{line}: {error.last_line}")
