"""How a Celery worker lets a lost connection go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker.consumer import Consumer

from labkit.celery_app.celery_overrides import CarefulConsumer


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
