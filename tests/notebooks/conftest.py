"""Kernels of the tests attach to the lab of the run: one Kafka for all notebooks, of which several run at once."""

from __future__ import annotations

import pytest

from labkit.lab import Lab


@pytest.fixture
def kernels_in_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every process started now finds the session's Kafka and Redis, and keeps nothing in the user's own folder."""
    monkeypatch.setenv("LABKIT_DATA_DIR", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setenv("LABKIT_BOOTSTRAP_SERVERS", lab.bootstrap_servers)
    monkeypatch.setenv("LABKIT_REDIS_URL", lab.redis_url)
