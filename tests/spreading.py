"""How the tests are spread over the processes of pytest-xdist: in which units, and which go first."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

#: What takes longest goes first, so that no process waits for another one at the end.
LONGEST_FIRST = ("tests/notebooks/", "tests/integration/", "tests/acceptance/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in LONGEST_FIRST])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _Spreading(config, log)


class _Spreading(LoadScopeScheduling):
    """The tests of a file run in one process, for they share what they start; those on the other Kafka share that."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith("tests/notebooks/"):
            return nodeid
        return file.rpartition("/")[0] if file.startswith("tests/integration/external/") else file
