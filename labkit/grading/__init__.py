"""The grader: student code runs in a sandbox, and verdicts are computed outside of it.

`check` is what a released notebook calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.lazy_names import lazy_names, whole_dir

if TYPE_CHECKING:
    from labkit.grading.notebook_check import check

__all__ = ["check"]


__getattr__ = lazy_names(__name__, {"check": "labkit.grading.notebook_check"})
__dir__ = whole_dir(__name__)
