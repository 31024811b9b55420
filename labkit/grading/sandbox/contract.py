"""What a backend of the sandbox has to keep, in its own words: it starts a command, and one can talk with it.

A backend promises of a command that it reaches no file of the host but what it needs to run, no network but the sockets
that it was given, no process outside; that it may write into its own `/tmp` and home only, and that both are gone
afterwards; and that it ends at its limits, with all that it has started. Whatever it says is a student's word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from labkit.parameters import check_fields, check_names

MIB = 1024 * 1024

#: What can end a run, or have kept it from going on.
LimitName = Literal["memory", "processes", "CPU time", "wall time", "output"]


@check_names
@dataclass(frozen=True, slots=True)
class Limits:
    """How much a command may use, with all that it starts unless it says otherwise. Sizes are in bytes."""

    #: resident memory, the files in `/tmp` and the home included; where there are no control groups, the address space
    #: of each process
    memory: int = 1024 * MIB
    #: processes and threads at one time
    processes: int = 128
    #: open files of each process, at least 80
    open_files: int = 256
    #: the largest file
    file_size: int = 64 * MIB
    #: all files in `/tmp`, and as many in the home
    tmp_size: int = 64 * MIB
    #: the time on a processor, in seconds, of each process
    cpu_seconds: int = 60
    #: the time from the start to the end, in seconds
    wall_seconds: float = 120.0
    #: what it writes to its standard output and error
    output: int = MIB
    #: one line of what it tells
    line: int = MIB

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command has ended: its status (that of the shell: 128 and the signal), and the limit, if one is known."""

    status: int
    words: str
    limit: LimitName | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """It has told this: any value of JSON, which is the student's word and no more."""

    value: object


@dataclass(frozen=True, slots=True)
class Late:
    """It has told nothing in time, and runs."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TooLong:
    """It has told a line that is longer than it may be, in bytes; nothing more is heard of it."""

    limit: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """It has told what is no JSON in UTF-8."""

    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """It has ended, or has closed the way to the grader and was ended for it."""

    ending: Ending


#: What comes of listening.
Reply = Said | Late | TooLong | Malformed | Ended


class Conversation(Protocol):
    """A command that runs in a sandbox. One thread at a time may talk with it, and any thread may close it."""

    def send(self, message: object, timeout: float) -> bool:
        """Tell it this, which can be written as JSON; whether it has taken it within `timeout` seconds.

        One that has taken half a line can be told nothing more.
        """

    def receive(self, timeout: float) -> Reply:
        """What it tells next, waited for up to `timeout` seconds.

        Raises `SandboxUnavailable` if the sandbox itself has failed, which is no doing of the command's.
        """

    def output(self) -> str:
        """What it has written to its standard output and error so far."""

    def ending(self) -> Ending | None:
        """How it has ended; nothing while it runs."""

    def wait(self, timeout: float) -> Ending | None:
        """How it has ended, waited for up to `timeout` seconds."""

    def close(self) -> None:
        """End it with all that it has started, and return when all of that is gone. Closing twice is no error."""


class Backend(Protocol):
    """A kind of sandbox. Any thread may use it."""

    def check(self) -> None:
        """Return if student code can run here; else raise `SandboxUnavailable`, which says what to install or do."""

    def start(
        self,
        command: Sequence[str],
        *,
        limits: Limits = Limits(),
        files: Mapping[str, bytes] | None = None,
        sockets: Mapping[int, Path] | None = None,
    ) -> Conversation:
        """Start the command.

        It reads its orders, a line of JSON each, from descriptor 64 and tells its lines to descriptor 65. `files` lie
        there read-only, by their absolute paths. Each of `sockets`, a Unix socket of the host, is reached at that port
        of the sandbox's own 127.0.0.1. Raises what `check` raises.
        """
