"""A kernel: runs a student's cells in a sandbox, and calls what they define. Verdicts are up to who asks, out here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from labkit.errors import KernelEnded
from labkit.grading.sandbox import kernel_program
from labkit.grading.sandbox.contract import Backend, Conversation, Ended, Late, Limits, Malformed, Said, TooLong
from labkit.grading.sandbox.kernel_program import MAX_ERROR
from labkit.grading.sandbox.plain_value import fault_of
from labkit.resource import Resource

#: Where the program lies in the sandbox.
PROGRAM = "/run/labkit/kernel_program.py"
#: How long a kernel may take to be ready, in seconds.
START_TIMEOUT = 120.0
#: What is said around the reason why it has ended.
ENDED, ADVICE = "The process that ran the cells has ended.", "Start a new kernel to go on."
#: How much longer a line is than the value in it, in bytes.
AROUND_VALUE = 1_000


@dataclass(frozen=True, slots=True)
class Returned:
    """The code came to its end; what the function returned, a plain value, and None for a cell."""

    value: object


@dataclass(frozen=True, slots=True)
class CodeError:
    """The code has raised an error: its text, up to 10,000 characters, and the line of the cell, if it is known.

    Both are the student's words.
    """

    text: str
    line: int | None

    @property
    def last_line(self) -> str:
        """The line of the text that tells the error."""
        return self.text.strip().rpartition("\n")[2]


@dataclass(frozen=True, slots=True)
class Unfit:
    """There is no such function, or what it returned is no plain value: why, in a sentence."""

    why: str


#: What comes of asking.
Answer = Returned | CodeError | Unfit


class Kernel(Resource, checked=True):
    """Cells run one by one in one namespace, until one of them hangs or ends the process; then a new kernel is needed.

    A forged answer is a wrong value, and no more.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
        files: Mapping[str, bytes] | None = None,
        sockets: Mapping[int, Path] | None = None,
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._files = {PROGRAM: Path(kernel_program.__file__).read_bytes(), **(files or {})}
        self._sockets = sockets
        self._conversation: Conversation | None = None
        self._why: str | None = None
        self._asked = 0

    def start(self) -> Kernel:
        """Start the process. Raises `SandboxUnavailable`, and `KernelEnded` if the process does not come up."""
        longest = str(self._limits.line - AROUND_VALUE)
        self._conversation = self._backend.start(
            [sys.executable, "-I", PROGRAM, longest], limits=self._limits, files=self._files, sockets=self._sockets
        )
        self._hear(START_TIMEOUT, "The kernel was not ready")
        return self

    def run(self, code: str, timeout: float) -> Answer:
        """Run a cell for up to `timeout` seconds. Raises `KernelEnded`, which says why, also if it takes longer."""
        return self._ask({"run": code}, timeout, "The cell has not ended")

    def call(self, name: str, arguments: Sequence[object] = (), *, timeout: float) -> Answer:
        """Call the function of this name, which the cells have defined, with plain values; as `run`."""
        return self._ask({"call": name, "arguments": list(arguments)}, timeout, f"{name} has not returned")

    def output(self) -> str:
        """What the cells have written to standard output and error so far."""
        return self._conversation.output() if self._conversation is not None else ""

    def close(self) -> None:
        """End the process, with all that it has started."""
        if self._conversation is not None:
            self._conversation.close()

    def _ask(self, order: dict[str, object], timeout: float, late: str) -> Answer:
        if self._conversation is None:
            raise RuntimeError("The kernel was not started.")
        if self._why is not None:
            raise KernelEnded(self._why)
        self._asked += 1
        self._conversation.send({"id": self._asked, **order}, timeout)  # how it failed, if so, is heard
        said = self._hear(timeout, late)
        return _answer(said) or self._end("It told something that is no answer, and was ended.")

    def _hear(self, timeout: float, late: str) -> dict[str, object]:
        """The answer to what was asked last."""
        assert self._conversation is not None
        match self._conversation.receive(timeout):
            case Said(value) if isinstance(value, dict) and value.get("id") == self._asked:
                return value
            case Said():
                self._end("It told something that it was not asked for, and was ended.")
            case Late(seconds):
                self._end(f"{late} within {seconds:g} s, so the process was ended.")
            case TooLong(limit):
                self._end(f"It told more than {limit} bytes at once, and was ended.")
            case Malformed(why):
                self._end(f"It told something that is no JSON, and was ended: {why}")
            case Ended(ending):
                self._end(ending.words)
        raise AssertionError("unreachable")

    def _end(self, why: str) -> NoReturn:
        assert self._conversation is not None
        self._conversation.close()
        self._why = f"{ENDED} {why} {ADVICE}"
        raise KernelEnded(self._why)


def _answer(said: Mapping[str, object]) -> Answer | None:
    """What a line says, type by type; nothing if it is no answer."""
    match said:
        case {"returned": value}:
            fault = fault_of(value)
            return Returned(value) if fault is None else Unfit(fault)
        case {"error": str(text), "line": int() | None as line}:
            return CodeError(_printable(text), line)
        case {"unfit": str(why)}:
            return Unfit(_printable(why))
    return None


def _printable(text: str) -> str:
    return text[-MAX_ERROR:].encode("utf-8", errors="replace").decode()
