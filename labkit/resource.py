"""What is begun is ended: the `with` statement for everything that holds a connection, a thread or a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from labkit.errors import LabkitError
from labkit.parameters import check_methods


class Resource:
    """A context manager: `start` on the way in, `close` on the way out.

    Of one that users make, what they hand in is `checked`, apart from what goes to the `unchecked` methods.
    """

    def __init_subclass__(cls, *, checked: bool = False, unchecked: Collection[str] = ()) -> None:
        super().__init_subclass__()
        if checked:
            check_methods(cls, unchecked)

    def start(self) -> Self:
        """Begin; by default there is nothing to begin. What has begun when this fails is ended by `close`."""
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


class _Closeable(Protocol):
    def close(self) -> object: ...


Opened = TypeVar("Opened", bound=_Closeable)


class LazyResource(Generic[Opened]):
    """What is opened when it is first used, once for all threads. After a `close` the next use opens another."""

    def __init__(self, opening: Callable[[], Opened]) -> None:
        self._opening = opening
        self._opened: Opened | None = None
        self._lock = threading.Lock()

    def get(self) -> Opened:
        """It is open; raises what the opening raises."""
        with self._lock:
            if self._opened is None:
                self._opened = self._opening()
            return self._opened

    def close(self) -> None:
        """Let go of it, if it is open."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()


def end_all(*ends: Callable[[], object]) -> None:
    """Call all of these in this order, whatever one of them raises: what comes after it is ended all the same.

    Raises what the first one that has failed raises, with what others have said as notes.
    """
    errors: list[BaseException] = []
    for end in ends:
        try:
            end()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
    if errors:
        for other in errors[1:]:
            BaseException.add_note(errors[0], f"{type(other).__name__}: {other}")
        raise errors[0]


def _after(error: BaseException, end: Callable[[], object]) -> None:
    """End what has begun; what goes wrong then is added to this error, which came first and is the reason."""
    try:
        end()
    except LabkitError as failure:
        BaseException.add_note(error, str(failure))
