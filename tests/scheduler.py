"""How the tests are spread over processes: in which units, in which order, and what the death of one costs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

#: What takes longest goes first, so that no process waits for another one at the end; one file is one process's.
LONGEST_FIRST = ("tests/notebooks/", "tests/integration/", "tests/acceptance/", "tests/unit/test_parameters.py")
#: A process has this many tests at hand: it begins one only when it knows which comes after it.
AT_HAND = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in LONGEST_FIRST])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    return None if config.getvalue("dist") == "worksteal" else _Spreading(config, log)  # who asks for that, gets it


class _Spreading(LoadScopeScheduling):
    """The tests of a file run in one process, for they share what they start; those on the other Kafka share that.

    A process that dies costs the test it was at, which fails; all others are run by those that are left, and by the
    process that xdist starts in its place. The base class runs the deadly test again, hands out units of which
    nothing is left, after which a process waits for ever, ends the run when two processes die at once, and forgets
    what it hands to a process that does not know its tests yet.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith("tests/notebooks/"):
            return nodeid
        return file.rpartition("/")[0] if file.startswith("tests/integration/external/") else file

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Note what a process has found; one that has found others, since a file was changed, is of no use."""
        super().add_node_collection(node, collection)
        if node not in self.registered_collections:
            node.shutdown()

    def remove_node(self, node: WorkerController) -> str | None:
        """Forget a process that has ended; returns the test that it was at, if any."""
        crashed = None
        for scope, unit in reversed(self.assigned_work.pop(node).items()):
            left = {nodeid: False for nodeid, done in unit.items() if not done}
            if left:
                self._queue_first(scope, left)
                crashed = next(iter(left))
        if crashed is not None:
            self._drop(crashed)
        for other in self.nodes:
            self._reschedule(other)
        return crashed

    def _drop(self, nodeid: str) -> None:
        unit = self.workqueue[self._split_scope(nodeid)]
        del unit[nodeid]
        if not unit:
            del self.workqueue[self._split_scope(nodeid)]

    def _queue_first(self, scope: str, unit: dict[str, bool]) -> None:
        self.workqueue[scope] = unit
        self.workqueue.move_to_end(scope, last=False)

    def _reschedule(self, node: WorkerController) -> None:
        if node not in self.registered_collections:
            return  # it has just been started; when it has found the tests, it gets some
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < AT_HAND:
            self._assign_work_unit(node)
        if not self.workqueue and not node.shutting_down:
            node.shutdown()

    def _assign_work_unit(self, node: WorkerController) -> None:
        scope, unit = next(iter(self.workqueue.items()))
        try:
            super()._assign_work_unit(node)
        except OSError:  # it has died, which xdist will say in a moment
            del self.assigned_work[node][scope]
            self._queue_first(scope, unit)
            node.shutdown()
