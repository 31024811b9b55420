"""How a command in the sandbox has ended, in words, with the limit that ended it where one is known."""

from __future__ import annotations

import signal
from collections.abc import Collection
from typing import Literal

from labkit.grading.sandbox.contract import MIB, Ending, LimitName, Limits

#: Why the grader itself has ended a command; nothing if it ended by itself.
Cause = Literal["wall time", "output", "cut off", "closed"] | None

#: What a shell makes of a signal.
_SIGNALLED = 128


def ending_of(status: int, cause: Cause, limits: Limits, used_up: Collection[LimitName]) -> Ending:
    """`status` is that of the command, as a shell has it; a signal that ended what ran the command is negative.

    `used_up` are limits that were reached, whether or not it has ended for that.
    """
    status = status if status >= 0 else _SIGNALLED - status
    if cause is not None:
        words = {
            "wall time": f"It was ended after {limits.wall_seconds:g} s.",
            "output": f"It was ended because it wrote more than {limits.output} bytes.",
            "cut off": "It was ended because it had closed the descriptors that lead to the grader.",
            "closed": "It was ended by the grader.",
        }
        limit: LimitName | None = cause if cause in ("wall time", "output") else None
        return Ending(status, words[cause], limit)
    how = _in_words(status)
    if "memory" in used_up:
        return Ending(status, f"{how} It had used up its {limits.memory // MIB} MiB of memory.", "memory")
    if status == _SIGNALLED + signal.SIGXCPU:
        return Ending(status, f"{how} It had used up its {limits.cpu_seconds} s of processor time.", "CPU time")
    if "processes" in used_up:
        return Ending(status, f"{how} It had used up its {limits.processes} processes and threads.", "processes")
    return Ending(status, how)


def _in_words(status: int) -> str:
    if status > _SIGNALLED:
        try:
            return f"It ended by {signal.Signals(status - _SIGNALLED).name}."
        except ValueError:  # a status that is none of a signal
            pass
    return f"It ended with status {status}."
