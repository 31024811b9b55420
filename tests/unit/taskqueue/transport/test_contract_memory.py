"""The contract's tests over the transport in memory."""

from __future__ import annotations

import pytest

from labkit.taskqueue.transport import ConsumerConfig
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.contract.fixtures import *  # noqa: F403
from tests.contract.fixtures import SHORT_SESSION, Member
from tests.contract.groups import *  # noqa: F403
from tests.contract.listed_groups import *  # noqa: F403
from tests.contract.producing import *  # noqa: F403
from tests.contract.reading import *  # noqa: F403
from tests.contract.topics import *  # noqa: F403
from tests.contract.transactions import *  # noqa: F403


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
