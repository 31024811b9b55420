"""The guard: kills the process groups of this process's children, whole, when this process is gone.

A child of ours ends by itself when its parent is gone, but not what it has started in turn. So each process that has
children has one guard, this file run as a script (standard library only, so that it starts in a fraction of a second),
in a session of its own. It is told on its standard input which groups there are, `+1234` and `-1234`, and kills them
when that input ends or its owner is no longer its parent. It survives whatever kills the owner and the children.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

#: How often a guard looks whether its owner is still there, in seconds; the end of its input usually tells at once.
WATCH_INTERVAL = 1.0
#: How long a guard may take to end, in seconds, after it was told to.
END_TIMEOUT = 5.0


class ProcessGuard:
    """The owner's side of a guard, which is started with the first group, and again if it has ended or does not listen.

    `add` and `remove` raise what comes of it when it cannot be started; the next of them tries again.
    """

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked copy of the owner: what it starts is its own, and the groups of the owner are not."""
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """Kill this process group when this process is gone."""
        with self._lock:
            self._groups.add(group)
            self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """This group has ended."""
        with self._lock:
            self._groups.discard(group)
            if self._process is not None or self._groups:
                self._tell(f"-{group}\n")

    def end(self) -> None:
        """End the guard, which kills the groups that are left."""
        import subprocess

        with self._lock:
            process, self._process = self._process, None
            self._groups.clear()
        if process is None:
            return
        try:
            process.communicate(b".\n", timeout=END_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _tell(self, words: str) -> None:
        if self._process is not None and self._write(self._process, words):
            return
        self._drop()
        if self._groups:
            self._process = self._start()
            self._write(self._process, "".join(f"+{group}\n" for group in sorted(self._groups)))

    def _write(self, process: subprocess.Popen[bytes], words: str) -> bool:
        """Whether it could be told: somebody may have killed it, or stopped it until its pipe was full."""
        assert process.stdin is not None
        try:
            os.write(process.stdin.fileno(), words.encode())
        except (BrokenPipeError, BlockingIOError):
            return False
        return True

    def _drop(self) -> None:
        """Forget one that is of no use; it kills nothing more."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.kill()
            process.stdin.close()
            process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        import subprocess

        process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        return process


#: That of this process.
guard = ProcessGuard()


def main(owner: int) -> None:
    """Watch over the groups of the process `owner`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for group in _groups_left(owner):
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # it has ended; macOS says so by the latter
            continue


def _groups_left(owner: int) -> set[int]:
    """The groups to kill, once the owner is gone or asks for it."""
    groups: set[int] = set()
    words = b""
    while True:
        # looked at before reading: what it said before it ended counts, also if this guard was not up by then
        is_there = os.getppid() == owner
        if not select.select([0], [], [], WATCH_INTERVAL if is_there else 0)[0]:
            if is_there:
                continue
            return groups
        part = os.read(0, 65536)
        if not part:
            return groups
        *lines, words = (words + part).split(b"\n")
        for line in lines:
            if line == b".":
                return groups
            (groups.add if line.startswith(b"+") else groups.discard)(int(line[1:]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
else:
    atexit.register(guard.end)
    os.register_at_fork(after_in_child=guard.begin_anew)
