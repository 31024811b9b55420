"""What keeps a student's checks from passing, or from being run. A notebook shows the words of these errors alone:
where in labkit one was raised is no news for a student.
"""

from __future__ import annotations

from labkit.errors import LabkitError


class _ToldPlainly:
    def _render_traceback_(self) -> list[str]:
        """What IPython shows."""
        return [str(self)]


class NotChecked(_ToldPlainly, LabkitError):
    says = "The notebook cannot be checked here."


class ChecksFailed(_ToldPlainly, LabkitError, AssertionError):
    says = "A visible check of a question has failed."
