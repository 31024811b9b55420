"""What Redis refuses is no outage: whoever asks says so, and a task waits only for a Redis that is away."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.exceptions import Reject
from celery.exceptions import Retry as CeleryRetry
from kombu.exceptions import OperationalError

from labkit.celery_app import performer
from labkit.celery_app.capacity import Capacity, Presence, running_workers
from labkit.celery_app.celery_worker import _Deaths
from labkit.celery_app.envelope import Delivered, Envelope
from labkit.celery_app.outcome_writer import OutcomeWriter
from labkit.celery_app.performer import Performer
from labkit.celery_app.periodic_tasks import LagSample, LagStream
from labkit.celery_app.record_stream import RecordStream
from labkit.celery_app.task_starts import TaskStarts
from labkit.dispatch.account import ids_in_celery
from labkit.errors import LabkitError, RedisRefused, RedisUnreachable
from labkit.measure.task_record import DONE
from labkit.redis_state import labkit_error
from labkit.settings import Settings
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.run_lease import RunLease
from labkit.taskqueue.task import new_task

WRONG_TYPE = redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
REFUSALS = [WRONG_TYPE, redis.ResponseError("ERR unknown command 'FLY'"), redis.DataError("Invalid input")]
AWAY = [redis.OutOfMemoryError("OOM"), redis.ConnectionError("refused"), redis.TimeoutError("frozen")]

SETTINGS = Settings(_env_file=None, topic_prefix="mine.")  # type: ignore[call-arg]
ENVELOPE = Envelope(task=new_task("sleep", 0), topic="t", partition=0, offset=0, rank=0, produced_at=1.0, sent_at=2.0)
RECORD = ENVELOPE.record(DONE, worker="w", attempt=1, started_at=3.0, finished_at=4.0, error=None)


class Failing:
    """In place of a client or a pipeline: whatever is asked fails with this error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._fail

    def _fail(self, *arguments: object, **options: object) -> Any:
        raise self._error

    def register_script(self, text: str) -> Callable[..., Any]:
        return self._fail

    def pipeline(self, **options: object) -> Failing:
        return self

    def __enter__(self) -> Failing:
        return self

    def __exit__(self, *error: object) -> None: ...


def starts(client: Any) -> TaskStarts:
    return TaskStarts(client, SETTINGS, run="r")


def lease(client: Any) -> RunLease:
    return RunLease(client, "mine.once", lease=1.0, ttl=2.0)


CALLS: dict[str, Callable[[Any], object]] = {
    "append a record": lambda client: RecordStream(client, SETTINGS).append(RECORD),
    "append a record instead of a start": lambda client: RecordStream(client, SETTINGS).append(RECORD, instead_of="k"),
    "skip records": lambda client: RecordStream(client, SETTINGS).skip(),
    "read records": lambda client: RecordStream(client, SETTINGS).read(),
    "begin": lambda client: starts(client).begin(ENVELOPE),
    "withdraw": lambda client: starts(client).withdraw(ENVELOPE),
    "is over": lambda client: starts(client).is_over(ENVELOPE),
    "process died": lambda client: starts(client).process_died(ENVELOPE, 1),
    "reserve": lambda client: Capacity(client, SETTINGS).reserve(1),
    "count": lambda client: Capacity(client, SETTINGS).count(),
    "say": lambda client: Presence(client, SETTINGS, "w").say(1),
    "leave": lambda client: Presence(client, SETTINGS, "w").leave(),
    "running workers": lambda client: running_workers(client, SETTINGS),
    "append a sample": lambda client: LagStream(client, SETTINGS).append(LagSample("id", 1.0, [])),
    "read samples": lambda client: LagStream(client, SETTINGS).read(),
    "messages": lambda client: ids_in_celery(client, SETTINGS),
    "begin a lease": lambda client: lease(client).begin(),
    "renew a lease": lambda client: lease(client).renew(),
    "finish a lease": lambda client: lease(client).finish(),
    "give a lease back": lambda client: lease(client).give_back(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_each_call_tells_the_one_from_the_other_and_names_the_key(call: Callable[[Any], object]) -> None:
    for error in REFUSALS:
        with pytest.raises(RedisRefused, match=r"mine\."):
            call(Failing(error))
    for error in AWAY:
        with pytest.raises(RedisUnreachable):
            call(Failing(error))


@pytest.mark.parametrize("error", [WRONG_TYPE, AWAY[0], OSError("refused")])
def test_a_library_around_it_changes_nothing(error: Exception) -> None:
    around = OperationalError(str(error))
    around.__cause__ = error
    expected = RedisRefused if error is WRONG_TYPE else RedisUnreachable
    assert type(labkit_error(error, "It could not be sent")) is type(labkit_error(around, "It could not be sent"))
    assert isinstance(labkit_error(around, "It could not be sent"), expected)


class ComesAgain(CeleryRetry):
    """As Celery's."""


class Worker:
    """A performer whose starts and outcomes are noted by these functions, and what it has done."""

    def __init__(self, starts: Any, write: Callable[..., object], refuse: Exception | None = None) -> None:
        self.handled = 0
        self._refuse = refuse
        self._performer = Performer(
            SimpleNamespace(),
            "redis://127.0.0.1",
            retry=Retry(),
            starts=starts,
            write=write,  # type: ignore[arg-type]
        )

    def perform(self) -> None:
        def call(task: object) -> tuple[bool, None]:
            self.handled += 1
            return True, None

        celery_task = SimpleNamespace(request=SimpleNamespace(hostname="w@here"), retry=self._retry)
        self._performer._perform_or_requeue(celery_task, call, Delivered(ENVELOPE, 1))  # type: ignore[arg-type]

    def _retry(self, **options: object) -> Exception:
        if self._refuse is not None:
            raise Reject(self._refuse, requeue=False)
        return ComesAgain()


def test_a_task_is_done_whose_start_cannot_be_noted(caplog: pytest.LogCaptureFixture) -> None:
    written: list[object] = []
    worker = Worker(starts(Failing(WRONG_TYPE)), lambda envelope, record: written.append(record.outcome))
    for _ in range(3):
        worker.perform()
    assert (worker.handled, written) == (3, [DONE] * 3)
    (said,) = caplog.records
    assert (said.levelname, "is not recognised" in said.getMessage()) == ("ERROR", True)


def test_an_outcome_that_cannot_be_noted_comes_again_also_where_nothing_else_can() -> None:
    def write(*_: object) -> None:
        raise LabkitError("Kafka takes no letter.")

    with pytest.raises(ComesAgain):
        Worker(starts(Failing(WRONG_TYPE)), write).perform()


def test_a_message_that_the_queue_refuses_goes_back_and_its_worker_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performer, "RETRY_INTERVAL", 0.0)

    def write(*_: object) -> None:
        raise LabkitError("Kafka takes no letter.")

    with pytest.raises(Reject) as rejected:
        Worker(starts(Failing(WRONG_TYPE)), write, refuse=WRONG_TYPE).perform()
    assert rejected.value.requeue
    assert "does not take a message" in str(rejected.value.reason), "it waits before, and is counted"


def test_a_record_that_redis_refuses_is_said_once_and_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("labkit.celery_app.outcome_writer.connect", lambda url: Failing(WRONG_TYPE))
    counted: list[str] = []
    writer = OutcomeWriter("redis://127.0.0.1", SETTINGS, starts(Failing(WRONG_TYPE)), counted.append)
    for _ in range(3):
        writer.write(ENVELOPE, RECORD)
    assert counted == [DONE] * 3
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_death_that_redis_refuses_to_note_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    class Noting:
        def __init__(self) -> None:
            self.noted: list[int | None] = []

        def process_died(self, envelope: Envelope, process: int | None) -> None:
            if process == 1:
                raise RedisRefused
            self.noted.append(process)

    noting = Noting()
    deaths = _Deaths(noting)  # type: ignore[arg-type]
    for process in (1, 2):
        deaths([ENVELOPE.to_json()], process)
    assert noting.noted == [2]
    assert "is not recognised" in caplog.text
