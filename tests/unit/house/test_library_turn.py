"""Of two tests that differ by the client alone, one is in every run; of what tries the clients, both are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.library_turn import pytest_collection_modifyitems


class _Item:
    def __init__(self, nodeid: str) -> None:
        self.nodeid, self.name = nodeid, nodeid.rpartition("::")[2]
        self.path = Path(nodeid.partition("::")[0])
        self.marks: list[Any] = []

    def add_marker(self, mark: Any) -> None:
        self.marks.append(mark.name)


def marks(*nodeids: str) -> list[list[str]]:
    items: list[Any] = [_Item(nodeid) for nodeid in nodeids]
    pytest_collection_modifyitems(items)
    return [item.marks for item in items]


def pair(file: str) -> tuple[str, str]:
    return f"{file}::test_it[kafka-python-7]", f"{file}::test_it[confluent-kafka-7]"


def test_one_of_two_is_long() -> None:
    assert sorted(marks(*pair("tests/integration/test_x.py"))) == [[], ["long"]]


def test_each_library_has_its_turn() -> None:
    first = {marks(*pair(f"tests/integration/test_{number}.py"))[0] == [] for number in range(20)}
    assert first == {True, False}


def test_what_has_no_counterpart_or_tries_the_clients_is_in_every_run() -> None:
    assert marks(pair("tests/integration/test_x.py")[0]) == [[]]
    assert marks(*pair("tests/integration/taskqueue/test_contract.py")) == [[], []]
    assert marks(*pair("tests/unit/test_x.py")) == [[], []]
