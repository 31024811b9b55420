"""The pipes between the grader and one command in the sandbox."""

from __future__ import annotations

from labkit.process.pipe_end import PipeEnd, ReadEnd


class ConversationPipes:
    """The pipes to one command, before it is started; the ends that it is to inherit have their numbers already.

    `info` is where bwrap tells the process id of the first process inside, which all others there end with.
    """

    def __init__(self) -> None:
        self.orders = PipeEnd(writes=True)
        self.reports, self.output, self.info = ReadEnd(), ReadEnd(), ReadEnd()
        self._all: tuple[PipeEnd, ...] = (self.orders, self.reports, self.output, self.info)

    def handed_over(self) -> None:
        """The command has its ends."""
        for end in self._all:
            end.handed_over()

    def close(self) -> None:
        """Let go of all ends."""
        for end in self._all:
            end.close()
