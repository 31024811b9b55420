"""What each client does while the broker is away for longer than it has patience, and after."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import get_args

import psutil
import pytest

from labkit.errors import NotAcknowledged
from labkit.settings import TransportName
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import connect_transport
from tests.conditions import in_time
from tests.contract.fixtures import TIMEOUT, Outbox, admin, topic  # noqa: F401 - fixtures

#: How long a record may be under way in these tests, in seconds.
PATIENCE = 1.0


@pytest.fixture(scope="module", params=get_args(TransportName))
def transport(request, lab):
    return connect_transport(lab.connection, request.param)


@contextmanager
def frozen(lab):
    """A broker that neither answers nor closes its connections."""
    java = psutil.Process(lab.kafka_pid)
    java.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        java.send_signal(signal.SIGCONT)


@contextmanager
def killed(lab):
    """A broker that is gone, and comes back."""
    lab.kill_broker()
    try:
        yield
    finally:
        lab.restart_broker()


@pytest.mark.parametrize("outage", [frozen, killed])
def test_a_producer_refuses_what_is_too_late_and_goes_on_afterwards(lab, transport, topic, admin, outage):  # noqa: F811
    with Outbox(transport, delivery_timeout=PATIENCE) as outbox:
        outbox.send_all(topic, [b"before"])
        with outage(lab):
            for partition in (0, 1):  # with a batch under way, and with none
                in_time(lambda partition=partition: outbox.send_all(topic, [b"late"] * 10, partition=partition))
            assert len(outbox.outcomes) == 21
            assert all(isinstance(error, NotAcknowledged) for _, error in outbox.outcomes[1:])
        outbox.outcomes.clear()

        def is_back():
            """Whether a record arrives; until the broker is back to work, they may be late."""
            outbox.send_all(topic, [b"first"], partition=1)
            return outbox.outcomes.pop()[1] is None

        wait_until(is_back, timeout=3 * TIMEOUT, what="a record was to arrive", pause=lambda _: None)
        for partition in (0, 1, 0, 1):
            outbox.send_all(topic, [b"after"] * 10, partition=partition)
        places = [place.partition for place in outbox.delivered()]
        assert [places.count(partition) for partition in (0, 1)] == [20, 20]
