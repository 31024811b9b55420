"""Kernels of the tests attach to the lab of the run: one Kafka for all notebooks, of which several run at once."""

from __future__ import annotations

import pytest

from labkit.lab import Lab


@pytest.fixture
def kernels_in_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process started now finds the session's Kafka and Redis."""
    monkeypatch.setenv("LABKIT_BOOTSTRAP_SERVERS", lab.bootstrap_servers)
    monkeypatch.setenv("LABKIT_REDIS_URL", lab.redis_url)
