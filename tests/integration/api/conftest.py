"""One server of the API for all tests of a module, on the session's lab, with names of its own."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from labkit.api.api_process import ApiProcess
from labkit.api.client import ApiClient
from labkit.lab import Lab
from labkit.settings import Settings, load_settings

TOKEN = "token-of-the-tests"


@pytest.fixture(scope="module")
def api_settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Names that no other module uses, short leases, and a store of its own; a module may ask for more."""
    store = tmp_path_factory.mktemp("jobs") / "jobs.sqlite"
    more = getattr(request.module, "API_SETTINGS", {})
    return load_settings(topic_prefix=f"{uuid4().hex[:12]}.", jobs_url=f"sqlite:///{store}", **more)


@pytest.fixture(scope="module")
def api(lab: Lab, api_settings: Settings) -> Iterator[ApiProcess]:
    """A server that asks for a token."""
    with ApiProcess(lab, token=TOKEN, settings=api_settings) as running:
        yield running


@pytest.fixture
def client(api: ApiProcess) -> Iterator[ApiClient]:
    """A client that is let in."""
    with ApiClient(api.url, token=TOKEN) as made:
        yield made
