"""What is in the way of grading on several computers."""

from __future__ import annotations

from labkit.errors import TryAgainLater


class FilesUnavailable(TryAgainLater):
    says = "The files of submissions and of what was found of them cannot be read or written now."
