"""A history to be told."""

from __future__ import annotations

import pytest

from tests.unit.faults.story import Story


@pytest.fixture
def story():
    return Story()
