"""What a thread does for a child from its start to its end: reads what it reports and writes, and notices its end."""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import ExitStack

from labkit.process.pipe_end import ReadEnd, WriteEnd
from labkit.process.process_group import ProcessGroup

#: How often to look whether a process still runs, in seconds, where the system does not tell.
LOOK_INTERVAL = 0.05
#: How many reads there are at most after the end of a process: what it had started elsewhere may go on writing.
LAST_READS = 64


class ChildWatch:
    """The pipes of one child. `on_line` gets each whole line that it reports, `on_output` whatever else it writes."""

    def __init__(self, *, on_line: Callable[[bytes], object], on_output: Callable[[bytes], object]) -> None:
        self._on_line = on_line
        self._partial = b""
        with ExitStack() as stack:  # there may be too many open files
            self.orders = WriteEnd()
            stack.callback(self.orders.close)
            self.reports = ReadEnd()
            stack.callback(self.reports.close)
            self.output = ReadEnd()
            stack.callback(self.output.close)
            self._pipes = stack.pop_all()
        self._takers = {self.reports: self._take_lines, self.output: on_output}

    def handed_over(self) -> None:
        """The child has its ends of the pipes."""
        for end in (self.orders, self.reports, self.output):
            end.handed_over()

    def attend(self, group: ProcessGroup) -> None:
        """Return when the child has ended; raises what `on_line` and `on_output` raise."""
        poll = select.poll()
        readers = {end.number: end for end in self._takers}
        for number in (*readers, self.orders.wake, *group.end_watch):
            poll.register(number, select.POLLIN)
        timeout = None if group.end_watch else LOOK_INTERVAL * 1000
        while not group.has_ended():
            for number, _ in poll.poll(timeout):
                if number in readers and self._read(readers[number]) == b"":
                    poll.unregister(number)  # closed by the child, which may live on
                elif number == self.orders.wake:
                    self.orders.rest()
                    poll.register(self.orders.number, select.POLLOUT)
                elif number == self.orders.number and self.orders.flush():
                    poll.unregister(number)

    def read_rest(self) -> None:
        """Take what is left in the pipes when the child has ended."""
        for end in self._takers:
            for _ in range(LAST_READS):
                if not self._read(end):
                    break

    def close(self) -> None:
        """Let go of all pipes."""
        self._pipes.close()

    def _read(self, end: ReadEnd) -> bytes | None:
        part = end.read()
        if part:
            self._takers[end](part)
        return part

    def _take_lines(self, part: bytes) -> None:
        *lines, self._partial = (self._partial + part).split(b"\n")
        for line in lines:
            self._on_line(line)
