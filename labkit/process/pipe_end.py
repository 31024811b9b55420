"""The parent's ends of the pipes to a child: none of them makes this process wait."""

from __future__ import annotations

import os
import threading

#: How much is read at once, in bytes.
AT_ONCE = 65_536


class PipeEnd:
    """One end of a pipe; the child is to inherit the other. `writes` says which is ours."""

    def __init__(self, *, writes: bool) -> None:
        reader, writer = os.pipe()
        self.number, self.inherited = (writer, reader) if writes else (reader, writer)
        os.set_blocking(self.number, False)

    def handed_over(self) -> None:
        """The child has the other end: here it is closed."""
        os.close(self.inherited)
        self.inherited = -1

    def close(self) -> None:
        """Let go of both ends."""
        os.close(self.number)
        if self.inherited >= 0:
            self.handed_over()


class ReadEnd(PipeEnd):
    """What comes out of a pipe, as it comes."""

    def __init__(self) -> None:
        super().__init__(writes=False)

    def read(self) -> bytes | None:
        """What is there, nothing at the end of the pipe, and None if there is nothing now."""
        try:
            return os.read(self.number, AT_ONCE)
        except BlockingIOError:
            return None


class WriteEnd(PipeEnd):
    """Takes whatever is to go into a pipe; what does not fit waits here until `flush`. Threads may share it.

    `wake` is readable from when something has begun to wait until `rest`.
    """

    def __init__(self) -> None:
        super().__init__(writes=True)
        self.wake, self._waker = os.pipe()
        self._waiting = bytearray()
        self._lock = threading.Lock()
        self._closed = False

    def write(self, data: bytes) -> None:
        """Write, or have it wait. Raises `BrokenPipeError` if nobody can read it any more."""
        with self._lock:
            if self._closed:
                raise BrokenPipeError
            waits = bool(self._waiting)
            self._waiting += data
            if not self._flush() and not waits:
                os.write(self._waker, b"!")

    def flush(self) -> bool:
        """Write what waits; whether nothing waits any more. What nobody can read is thrown away."""
        with self._lock:
            try:
                return self._closed or self._flush()
            except BrokenPipeError:
                self._waiting.clear()
                return True

    def rest(self) -> None:
        """Let `wake` be quiet."""
        os.read(self.wake, AT_ONCE)

    def close(self) -> None:
        """Let go of the pipe, and of what waits. Closing twice is no error."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.wake)
                os.close(self._waker)
                super().close()

    def _flush(self) -> bool:
        while self._waiting:
            try:
                del self._waiting[: os.write(self.number, self._waiting)]
            except BlockingIOError:
                return False
        return True
