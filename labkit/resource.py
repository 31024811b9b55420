"""What is begun is ended: the `with` statement for everything that holds a connection, a thread or a process."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from labkit.errors import LabkitError


class Resource:
    """A context manager: `start` on the way in, `close` on the way out."""

    def start(self) -> Self:
        """Begin; by default there is nothing to begin."""
        return self

    def close(self) -> None:
        """End what has begun."""
        raise NotImplementedError

    def _give_up(self) -> None:
        """End what has begun, after a start that failed."""
        self.close()

    def _interrupted(self) -> None:
        """Ctrl-C came: prepare for a `close` for which nobody wants to wait; by default as for any other."""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException as error:
            _after(error, self._give_up)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._interrupted()
        if error is None:
            self.close()
        else:
            _after(error, self.close)


def _after(error: BaseException, end: Callable[[], object]) -> None:
    """End what has begun; what goes wrong then is added to this error, which came first and is the reason."""
    try:
        end()
    except LabkitError as failure:
        BaseException.add_note(error, str(failure))
