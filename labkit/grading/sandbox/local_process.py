"""A command that this process starts itself, by bwrap or plainly, until all that it has started is gone."""

from __future__ import annotations

import logging
import os
import re
import select
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from labkit.grading.sandbox.control_group import ControlGroup
from labkit.grading.sandbox.conversation_pipes import ConversationPipes
from labkit.grading.sandbox.sandbox_process import ProcessEnd
from labkit.lab.condition import wait_for
from labkit.process.process_group import ProcessGroup

#: How long what was killed may take to be gone, in seconds.
KILL_TIMEOUT = 30.0
#: How often to look whether what was killed is gone, in seconds: it takes a moment.
LOOK_AGAIN = 0.001
#: How often to look whether a process still runs, in seconds, where the system does not tell.
LOOK_INTERVAL = 0.05

log = logging.getLogger("labkit.grading")


class LocalProcess:
    """Keeps `SandboxProcess`. It inherits the pipes' ends and these further descriptors."""

    def __init__(
        self,
        words: Sequence[str],
        pipes: ConversationPipes,
        *,
        inherited: Sequence[int] = (),
        control: ControlGroup | None = None,
    ) -> None:
        ends = [end.inherited for end in (pipes.orders, pipes.reports, pipes.info)]
        self._info = pipes.info
        self._control = control
        self._group = ProcessGroup(words, output=pipes.output.inherited, inherited=[*ends, *inherited], environment={})

    @property
    def end_watch(self) -> Sequence[int]:
        """What is readable when it has ended, bwrap with the command."""
        return self._group.end_watch

    def has_ended(self) -> bool:
        """Whether it has ended, bwrap with the command."""
        return self._group.has_ended()

    def end(self) -> ProcessEnd:
        """End it with all that it has started, and return when all of that is gone."""
        first = self._kill_first_inside()
        status = self._group.reap()
        if first and not wait_for(lambda: not _is_first_inside(first), KILL_TIMEOUT, interval=LOOK_AGAIN):
            log.warning("the processes of a sandbox are not gone %g s after it was ended", KILL_TIMEOUT)
        return ProcessEnd(status, self._control.used_up() if self._control is not None else frozenset())

    def _kill_first_inside(self) -> int:
        """Kill the first process inside, with which Linux kills all others there; returns its process id, or 0.

        It ends with bwrap too, but only when it has asked Linux for that, which is a moment after it has left bwrap's
        process group. So bwrap is not killed before it has told who that is.
        """
        poll = select.poll()
        for number in (self._info.number, *self._group.end_watch):
            poll.register(number, select.POLLIN)
        wait_for(lambda: self._group.has_ended() or bool(poll.poll(LOOK_INTERVAL * 1000)), KILL_TIMEOUT)
        told = re.search(rb'"child-pid": (\d+)', self._info.read() or b"")
        first = int(told[1]) if told else 0
        if first and not self._group.has_ended() and _is_first_inside(first):
            with suppress(ProcessLookupError):
                os.kill(first, signal.SIGKILL)
        return first


def _is_first_inside(pid: int) -> bool:
    """Whether this is a process that lives, and has the number 1 in a namespace of its own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    state = re.search(r"^State:\s+(\S)", status, re.M)
    numbers = re.search(r"^NSpid:\s+(.*)$", status, re.M)
    return state is not None and state[1] not in "ZX" and numbers is not None and numbers[1].split()[1:] == ["1"]
