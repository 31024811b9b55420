"""A world for each test, in which no student code is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.grading.remote import grading_worker
from tests.unit.grading.remote.fakes import Grader, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(grading_worker, "Grader", Grader)
    monkeypatch.setattr(Grader, "calls", 0)
    return World(tmp_path)
