"""What all tests share: one private lab per session, started by the first test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A private lab: its own Kafka and Redis, gone after the session."""
    with Lab() as private:
        yield private
