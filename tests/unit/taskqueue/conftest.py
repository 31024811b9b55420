"""What the tests of the task queue share."""

from __future__ import annotations

import pytest

from labkit.taskqueue import repeated_question
from tests.conditions import PATIENCE


@pytest.fixture(autouse=True)
def patient_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an answer from memory may take longer than a moment."""
    for name in ("MOMENT", "SILENCE"):
        monkeypatch.setattr(repeated_question, name, PATIENCE)
