"""Where no sandbox can be made: student code in an ordinary process, for students who check their own on their own
machine. It keeps nothing out, so no grader uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from labkit.grading.check_errors import NotChecked
from labkit.grading.sandbox.contract import Limits
from labkit.grading.sandbox.conversation import PipeConversation
from labkit.grading.sandbox.conversation_pipes import ConversationPipes
from labkit.grading.sandbox.launch_program import ORDERS, REPORTS
from labkit.grading.sandbox.local_process import LocalProcess
from labkit.grading.sandbox.mounts import environment

#: Takes up the descriptors by the numbers of the contract, lets go of the others, and becomes the command.
_LAUNCHER = f"""
import os, sys
inherited = [int(number) for number in sys.argv[1:4]]
aside = [os.dup(number) for number in inherited[:2]]
for number in inherited:
    os.close(number)
for copy, number in zip(aside, ({ORDERS}, {REPORTS})):
    os.dup2(copy, number)
    os.close(copy)
os.chdir(sys.argv[4])
os.execv(sys.argv[5], sys.argv[5:])
"""


class PlainBackend:
    """Takes orders as `Backend`, and keeps of its promises only that time and output are bounded, and that what the
    command starts in its session ends with it. What it is handed lies in `folder`, where the command begins.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> None:
        """Return: an ordinary process can be started everywhere."""

    def start(
        self,
        command: Sequence[str],
        *,
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
        files: Mapping[str, bytes] | None = None,
        sockets: Mapping[int, Path] | None = None,
    ) -> PipeConversation:
        """Start the command, in whose words the paths of `files` become those in the folder.

        Raises `NotChecked` where it is to have sockets: only in a sandbox they can stand in a broker's place.
        """
        if sockets:
            raise NotChecked(
                "This question is about how code behaves when its broker is cut off, and that takes the sandbox, which "
                "cannot be made here. `make bubblewrap` installs it on Linux. Until then, try the function on your lab."
            )
        places = {path: self._folder / Path(path).name for path in files or {}}
        for path, content in (files or {}).items():
            places[path].write_bytes(content)
        pipes = ConversationPipes()
        ends = (pipes.orders, pipes.reports, pipes.info)
        surroundings = environment() | {"HOME": str(self._folder)}
        words = [
            *("/usr/bin/env", "-i", *(f"{name}={value}" for name, value in surroundings.items())),
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, *(str(end.inherited) for end in ends), str(self._folder)),
            *(str(places.get(word, word)) for word in command),
        ]
        begin = partial(LocalProcess, words, pipes)
        return PipeConversation(begin, pipes, limits=limits, held=ExitStack()).launch()
