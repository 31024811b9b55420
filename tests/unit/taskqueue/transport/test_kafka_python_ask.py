"""How an admin client over kafka-python is asked: what is asked again, and of whom."""

from __future__ import annotations

from types import SimpleNamespace

import kafka.errors as kafka_errors
import pytest

from labkit.errors import BrokerUnreachable, TransportError
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.kafka_python.client import ask
from labkit.taskqueue.transport.values import Timeouts

#: Nothing listens there.
CONNECTION = Connection(bootstrap_servers="127.0.0.1:1")
PATIENT, IMPATIENT = Timeouts(connect=60.0), Timeouts(connect=0.0)
REFUSED = kafka_errors.KafkaConnectionError("111 ECONNREFUSED")
CUT_OFF = kafka_errors.KafkaConnectionError("socket disconnected")
MOVED = [
    REFUSED,
    kafka_errors.NodeNotReadyError(1),
    kafka_errors.NotCoordinatorError(),
    kafka_errors.NotLeaderForPartitionError(),
    kafka_errors.UnknownBrokerIdError(1),
]


class Admin:
    """Remembers a coordinator and a controller; answers with these errors, one after the other, and then with 7."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self._controller_id: int | None = 1
        self._manager = SimpleNamespace(cluster=SimpleNamespace(_coordinators={"group": 1}))

    def remembers(self) -> bool:
        return self._controller_id is not None or bool(self._manager.cluster._coordinators)

    def answer(self) -> int:
        if self.errors:
            raise self.errors.pop(0)
        return 7


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("error", MOVED, ids=lambda error: type(error).__name__)
def test_who_is_asked_is_found_anew_where_another_answers_now(error: Exception, repeatable: bool) -> None:
    admin = Admin(error, error, error)
    assert ask(admin, admin.answer, CONNECTION, PATIENT, repeatable=repeatable) == 7
    assert not admin.remembers()


def test_what_was_cut_off_is_asked_again_where_twice_is_as_once() -> None:
    admin = Admin(CUT_OFF, kafka_errors.NodeNotReadyError(1), CUT_OFF)
    assert ask(admin, admin.answer, CONNECTION, PATIENT) == 7
    changed = Admin(CUT_OFF)
    with pytest.raises(BrokerUnreachable):
        ask(changed, changed.answer, CONNECTION, PATIENT, repeatable=False)
    assert not changed.remembers()


@pytest.mark.parametrize("error", [*MOVED, CUT_OFF], ids=lambda error: type(error).__name__)
def test_when_the_time_is_over_nobody_answers(error: Exception) -> None:
    admin = Admin(error)
    with pytest.raises(BrokerUnreachable):
        ask(admin, admin.answer, CONNECTION, IMPATIENT)


def test_what_is_refused_is_not_asked_again() -> None:
    admin = Admin(kafka_errors.InvalidRequestError("no"))
    with pytest.raises(TransportError, match="no"):
        ask(admin, admin.answer, CONNECTION, PATIENT)
    assert not admin.errors
