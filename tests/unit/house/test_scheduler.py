"""The tests of a process that dies are run by others, whenever it dies and however far those are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer

from tests.scheduler import pytest_xdist_make_scheduler

TESTS = [f"test_{file}.py::test_{number}" for file in "abc" for number in range(4)]


class Node:
    """A process that others see by what it is sent."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.sent: list[str] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        assert not self.shutting_down
        self.sent += [TESTS[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.fixture
def scheduler() -> Any:
    values = {"tx": ["popen"] * 2, "dist": "load"}
    config = SimpleNamespace(getvalue=values.__getitem__, option=SimpleNamespace(loadscopereorder=False))
    return pytest_xdist_make_scheduler(config, Producer("scheduler", enabled=False))


def started(scheduler: Any, name: str) -> Node:
    node = Node(name)
    scheduler.add_node(node)
    return node


def ready(scheduler: Any, node: Node, found: list[str] = TESTS) -> None:
    scheduler.add_node_collection(node, found)
    if scheduler.collection_is_completed:
        scheduler.schedule()


def run_all(scheduler: Any, node: Node) -> list[str]:
    """Run what the node is sent, until nothing more comes."""
    run = []
    while left := [nodeid for nodeid in node.sent if nodeid not in run]:
        scheduler.mark_test_complete(node, TESTS.index(left[0]))
        run.append(left[0])
    return run


def test_a_process_that_does_not_know_its_tests_yet_gets_none_when_another_dies(scheduler):
    first, second = started(scheduler, "gw0"), started(scheduler, "gw1")
    ready(scheduler, first)
    ready(scheduler, second)
    crashed = [scheduler.remove_node(first)]
    heir = started(scheduler, "gw2")
    crashed.append(scheduler.remove_node(second))
    assert crashed == ["test_a.py::test_0", "test_b.py::test_0"]
    assert not heir.sent
    ready(scheduler, heir)
    assert sorted([*crashed, *run_all(scheduler, heir)]) == TESTS
    assert scheduler.tests_finished
    assert heir.shutting_down
    assert scheduler.remove_node(heir) is None


def test_a_process_that_found_other_tests_is_sent_home(scheduler):
    first, second = started(scheduler, "gw0"), started(scheduler, "gw1")
    ready(scheduler, first)
    ready(scheduler, second)
    scheduler.remove_node(first)
    heir = started(scheduler, "gw2")
    ready(scheduler, heir, TESTS[:-1])
    assert heir.shutting_down
    assert not heir.sent
    run_all(scheduler, second)
    assert scheduler.tests_finished
