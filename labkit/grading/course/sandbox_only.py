"""Student code runs in the sandbox only: nbgrader's own autograding, also by a button of the formgrader, is refused."""

from __future__ import annotations

from typing import Any

from nbconvert.preprocessors import Preprocessor

from labkit.errors import SandboxUnavailable


class SandboxOnly(Preprocessor):
    """Stands first in the way of a notebook through nbgrader's `Autograde`. Raises `SandboxUnavailable`."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Refuse it."""
        raise SandboxUnavailable(
            "nbgrader would run student code outside of the sandbox. Say `labkit grade auto` instead, which also makes "
            "again what nbgrader has just deleted."
        )
