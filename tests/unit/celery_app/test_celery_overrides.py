"""How a Celery worker lets a lost connection go, and what it has taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.message import Message

from labkit.celery_app.celery_overrides import CarefulConsumer, LabkitRequest, PreforkPool, _give_back


class HalfWay:
    """A channel that can't be closed while a command is under way."""

    closed = False
    attempts = 0
    left_out: list[str] | None = None

    def leave_out(self, tags: list[str]) -> None:
        assert not self.attempts
        self.left_out = tags

    def close(self) -> None:
        self.attempts += 1
        if self.attempts == 1:
            raise ConnectionError("it is lost")
        self.closed = True


def consumer_of(*channels: HalfWay) -> Any:
    consumer = CarefulConsumer.__new__(CarefulConsumer)
    consumer.connection_errors, consumer.channel_errors = (ConnectionError,), (LookupError,)
    consumer.connection = SimpleNamespace(
        transport=SimpleNamespace(channels=list(channels)), _connection=None, _transport=None
    )
    consumer.app = SimpleNamespace(longest_wait=10.0)
    return consumer


def test_all_channels_are_closed_before_celery_forgets_their_address(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = [HalfWay(), HalfWay()]
    seen: list[bool] = []
    monkeypatch.setattr(
        Consumer, "on_connection_error_after_connected", lambda self, error: seen.extend(one.closed for one in channels)
    )
    consumer_of(*channels).on_connection_error_after_connected(ConnectionError())
    assert seen == [True, True]


def test_what_runs_on_is_not_put_back_into_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Consumer, "on_connection_error_after_connected", lambda self, error: None)
    requests = [SimpleNamespace(message=SimpleNamespace(delivery_tag=tag)) for tag in ("a", "b")]
    monkeypatch.setattr("celery.worker.state.active_requests", requests)
    channel = HalfWay()
    consumer_of(channel).on_connection_error_after_connected(ConnectionError())
    assert channel.left_out == ["a", "b"]


def test_a_message_from_before_the_clock_was_set_back_waits_no_longer_than_any_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[dict[str, Any]] = []
    take = lambda message: taken.append(message.headers)  # noqa: E731
    monkeypatch.setattr(Consumer, "create_task_handler", lambda self: take)
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    message = SimpleNamespace(headers={"id": "1", "task": "t", "eta": in_an_hour.isoformat()})
    consumer_of().create_task_handler()(message)
    (headers,) = taken
    assert in_an_hour - datetime.fromisoformat(headers["eta"]) > timedelta(minutes=59)


class Pool(PreforkPool):
    """The processes of a worker: what they were told to end."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self._pool = SimpleNamespace(_pool=[])

    def terminate_job(self, pid: int, _signal: int) -> None:
        """Celery calls it."""
        self.ended.append(pid)


def taken_request(app: Celery) -> Any:
    """A request that was handed to a process, which has not begun with it as far as the worker knows."""
    message = Message(  # type: ignore[no-untyped-call]
        body="[[], {}, {}]",
        content_type="application/json",
        content_encoding="utf-8",
        headers={"id": "1", "task": "wait", "reply_to": None},
        channel=SimpleNamespace(no_ack_consumers=None),
    )
    request = LabkitRequest(message, app=app, task=app.tasks["wait"], on_ack=pytest.fail, on_reject=pytest.fail)
    request._announce_cancelled = lambda **_: None  # it tells the backend, of which there is none
    state.task_reserved(request)
    return request


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    for name in ("should_terminate", "should_stop"):
        monkeypatch.setattr(state, name, None)
    celery = Celery(set_as_current=False)

    @celery.task(name="wait", acks_late=True)  # type: ignore[untyped-decorator]
    def wait() -> None:
        raise AssertionError("nothing is performed here")

    return celery


def test_what_no_process_is_known_to_have_begun_is_given_back_when_one_does(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery gives back what runs, and would wait for the end of what begins while it does."""
    pool, ended = Pool(), list[Any]()
    monkeypatch.setattr("labkit.celery_app.celery_overrides.on_cold_shutdown", ended.append)
    request, worker = taken_request(app), SimpleNamespace(pool=pool)
    _give_back(worker)  # type: ignore[arg-type]
    assert (ended, pool.ended) == ([worker], [])
    state.should_terminate = True
    request.on_accepted(4711, 0.0)
    state.task_ready(request)
    assert pool.ended == [4711]
    assert not request.acknowledged, "its message goes back into the queue"
