"""What integration tests share."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import unwrap

import pytest

from labkit.dispatch.dispatcher import Dispatcher
from labkit.taskqueue import WorkerGroup
from labkit.taskqueue.engine import handler_process
from tests.conditions import PATIENCE
from tests.integration.own_redis import OwnRedis


@pytest.fixture(scope="session", autouse=True)
def patient_groups() -> Iterator[None]:
    """On a busy machine what starts and joins may take longer than anybody at a notebook wants to wait."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(handler_process, "START_TIMEOUT", PATIENCE)
        for waits in (WorkerGroup.wait_until_balanced, WorkerGroup.wait_for_progress, Dispatcher.wait_until_balanced):
            patched.setitem(unwrap(waits).__kwdefaults__, "timeout", PATIENCE)
        yield


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    """A Redis of the test's own."""
    made = OwnRedis(tmp_path_factory.mktemp("r"))
    made.start()
    yield made
    made.kill()
