"""Another Kafka and another Redis by settings: nothing is started, everything else is as before."""

from __future__ import annotations

import pytest
import redis

from labkit.errors import BrokerUnreachable, LabError, LabNotRunning
from labkit.lab import Lab, attach_lab, lifecycle, open_lab
from labkit.lab.folders import named_lab
from labkit.settings import Settings
from tests.integration.lab.conftest import consume, produce
from tests.ports import own_ports


def test_a_lab_of_external_servers_starts_none(lab: Lab, own_settings: Settings, unique_name: str) -> None:
    settings = own_settings.model_copy(
        update={"bootstrap_servers": lab.bootstrap_servers, "redis_url": lab.redis_url, "topic_prefix": "mine."}
    )
    for other in (Lab(settings=settings), Lab("default", settings=settings), open_lab(settings=settings)):
        with other:
            assert (other.kafka_pid, other.redis_pid, other.brokers) == (None, None, {})
            with pytest.raises(LabError, match="external"):
                other.kill_broker()
            assert (other.bootstrap_servers, other.redis_url) == (lab.bootstrap_servers, lab.redis_url)
            assert other.connection.topic_prefix == "mine."
            assert repr(other) == f"Lab {other.name!r}: Kafka at {lab.bootstrap_servers}, an external Redis"
    produce(lab.bootstrap_servers, unique_name, "still running")
    assert consume(lab.bootstrap_servers, unique_name, 1) == ["still running"]
    assert not named_lab(settings, "default").root.exists()


def test_with_an_external_kafka_only_redis_is_started(lab: Lab, own_settings: Settings) -> None:
    settings = own_settings.model_copy(update={"bootstrap_servers": lab.bootstrap_servers})
    with attach_lab(settings=settings) as attached:
        assert attached.bootstrap_servers == lab.bootstrap_servers
        with pytest.raises(LabNotRunning, match="No Redis"):
            assert attached.redis_url
    with open_lab(settings=settings) as own:
        assert own.kafka_pid is None
        assert own.redis_pid not in (None, lab.redis_pid)
        with redis.Redis.from_url(own.redis_url) as client:
            assert client.ping()


@pytest.mark.long
def test_an_external_redis_and_an_own_kafka(lab: Lab, own_settings: Settings) -> None:
    settings = own_settings.model_copy(update={"redis_url": lab.redis_url})
    with Lab(settings=settings) as own:
        assert own.redis_pid is None
        assert own.kafka_pid not in (None, lab.kafka_pid)
        assert own.redis_url == lab.redis_url


def test_an_external_kafka_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, own_settings: Settings) -> None:
    monkeypatch.setattr(lifecycle, "EXTERNAL_TIMEOUT", 0.5)
    nobody = f"127.0.0.1:{own_ports(1)[0]}"
    settings = own_settings.model_copy(update={"bootstrap_servers": nobody})
    with pytest.raises(BrokerUnreachable, match=f"{nobody}, which LABKIT_BOOTSTRAP_SERVERS names"):
        open_lab(settings=settings)
