"""The contract's tests over the transport in memory."""

from __future__ import annotations

import pytest

from labkit.taskqueue.transport import ConsumerConfig
from labkit.taskqueue.transport.memory import MemoryTransport

pytest.register_assert_rewrite(
    "tests.contract.fixtures",
    "tests.contract.groups",
    "tests.contract.producing",
    "tests.contract.reading",
    "tests.contract.topics",
    "tests.contract.transactions",
)

from tests.contract.fixtures import *  # noqa: E402, F403
from tests.contract.fixtures import SHORT_SESSION, Member  # noqa: E402
from tests.contract.groups import *  # noqa: E402, F403
from tests.contract.producing import *  # noqa: E402, F403
from tests.contract.reading import *  # noqa: E402, F403
from tests.contract.topics import *  # noqa: E402, F403
from tests.contract.transactions import *  # noqa: E402, F403


@pytest.fixture(scope="module")
def transport():
    return MemoryTransport()


class DoomedMember:
    """A member that can be crashed. It has no process of its own, so it is polled when it is looked at."""

    def __init__(self, transport, name, topic):
        config = ConsumerConfig(group=topic, client_id=name, session_timeout=SHORT_SESSION)
        self._consumer = transport.consumer(config)
        self._member = Member(self._consumer, topic)

    def partitions(self):
        self._member.poll()
        return self._member.partitions()

    def kill(self):
        self._consumer.crash()


@pytest.fixture
def doomed(transport):
    return lambda name, topic: DoomedMember(transport, name, topic)
