"""One lab for all processes of a run: pytest-xdist's first process starts it and ends it, the others attach to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from xdist.workermanage import WorkerController

from labkit.lab import Lab
from labkit.settings import load_settings

_LAB = pytest.StashKey[Lab]()
_SERVERS = "labkit_servers"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """In the first process, for each process that it starts: tell it where the servers are."""
    config = node.config
    if not _needs_servers(config):
        return
    if _LAB not in config.stash:
        config.stash[_LAB] = Lab()
    lab = config.stash[_LAB]
    node.workerinput[_SERVERS] = {"bootstrap_servers": lab.bootstrap_servers, "redis_url": lab.redis_url}


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the lab with the run."""
    if _LAB in config.stash:
        config.stash[_LAB].close()


def _needs_servers(config: pytest.Config) -> bool:
    return not all("tests/unit" in one for one in config.args)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab of everybody, gone after the run: a test that kills or freezes its servers takes `own_lab`."""
    shared = getattr(request.config, "workerinput", {}).get(_SERVERS)
    with Lab(settings=load_settings(**shared) if shared else None) as found:
        yield found


@pytest.fixture(scope="module")
def own_lab() -> Iterator[Lab]:
    """A lab whose servers may be killed and frozen, and emptied."""
    with Lab() as private:
        yield private
