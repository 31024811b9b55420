"""Student code runs in the sandbox only: nbgrader's own autograding, also by a button of the formgrader, is refused."""

from __future__ import annotations

from typing import Any

from nbgrader.preprocessors import NbGraderPreprocessor

from labkit.errors import SandboxUnavailable


class SandboxOnly(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader has no types
    """Stands first in the way of a notebook through nbgrader's `Autograde`, and lets none pass.

    nbconvert's own preprocessors are off unless they are switched on; nbgrader's are on.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Raises `SandboxUnavailable`."""
        raise SandboxUnavailable(
            "nbgrader would run student code outside of the sandbox. Say `labkit grade auto` instead, which also makes "
            "again what nbgrader has just deleted."
        )
