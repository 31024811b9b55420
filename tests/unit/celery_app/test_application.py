"""The Celery application: where its broker is, in the words of all libraries that talk to it, and how it works."""

from __future__ import annotations

import ssl

import pytest
import redis

from labkit.celery_app.application import QUEUE, broker_url, celery_url, key_prefix, level_key, make_app, redis_py_url
from labkit.errors import LabNotRunning, SettingsError
from labkit.settings import Settings

SETTINGS = Settings(_env_file=None, topic_prefix="me.")


def as_kombu_sees_it(url: str) -> dict[str, object]:
    """The parameters of the connections that Celery's transport would open; nothing is opened."""
    connection = make_app(url, SETTINGS).connection_for_write()
    transport = connection.transport
    channel = transport.Channel.__new__(transport.Channel)
    channel.connection = transport
    found = channel._connparams()
    kind = found["connection_class"]
    return {
        "host": found.get("path") or (found["host"], found["port"]),
        "db": int(found["db"]),
        "username": found["username"],
        "password": found["password"],
        "tls": issubclass(kind, redis.SSLConnection),
        "ca": found.get("ssl_ca_certs"),
        "verify": found.get("ssl_cert_reqs"),
    }


def as_redis_py_sees_it(url: str) -> dict[str, object]:
    found = redis.connection.parse_url(redis_py_url(url))
    tls = found.get("connection_class") is redis.SSLConnection
    return {
        "host": found.get("path") or (found["host"], found.get("port", 6379)),
        "db": found.get("db", 0),
        "username": found.get("username"),
        "password": found.get("password"),
        "tls": tls,
        "ca": found.get("ssl_ca_certs"),
        "verify": redis.SSLConnection(ssl_cert_reqs=found["ssl_cert_reqs"]).cert_reqs if tls else None,
    }


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://r:6380/3", {"host": ("r", 6380), "db": 3}),
        ("redis://:s3cret@r:6380/0", {"host": ("r", 6380), "password": "s3cret"}),
        ("REDIS://r:6380", {"host": ("r", 6380)}),
        (
            "rediss://me:s3cret@r:6380/2",
            {"host": ("r", 6380), "db": 2, "username": "me", "password": "s3cret", "tls": True, "verify": "required"},
        ),
        ("rediss://r:6380/0?ssl_ca_certs=/ca.pem", {"tls": True, "ca": "/ca.pem", "verify": "required"}),
        ("rediss://r:6380/0?ssl_cert_reqs=none", {"tls": True, "verify": "none"}),
        ("unix:///run/redis.sock", {"host": "/run/redis.sock", "db": 0}),
        ("unix://:s3cret@/run/redis.sock?db=2", {"host": "/run/redis.sock", "db": 2, "password": "s3cret"}),
        ("redis+socket:///run/redis.sock?virtual_host=2", {"host": "/run/redis.sock", "db": 2}),
    ],
)
def test_all_libraries_find_the_same_redis(url, expected):
    verify = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
    expected |= {"verify": verify[expected["verify"]]} if "verify" in expected else {}
    kombu = as_kombu_sees_it(url)
    assert kombu | expected == kombu
    assert as_redis_py_sees_it(url) == kombu


@pytest.mark.parametrize("url", ["rediss://:pw@r:6380/0", "redis://r:6380/1", "unix:///run/redis.sock"])
def test_results_are_kept_in_the_same_redis_if_wanted(url):
    app = make_app(url, Settings(_env_file=None, celery_results=True))
    assert app.conf.task_ignore_result is False
    found = app.backend.connparams
    assert found.get("ssl_cert_reqs") in (None, ssl.CERT_REQUIRED)
    assert found["db"] == as_kombu_sees_it(url)["db"]


def test_results_are_not_kept_by_default():
    app = make_app("redis://r:6380/1", SETTINGS)
    assert app.conf.task_ignore_result is True
    assert app.conf.result_backend is None


@pytest.mark.parametrize("url", ["amqp://guest@rabbit//", "sqs://", "memory://", "localhost:6379", ""])
@pytest.mark.parametrize("of", [celery_url, redis_py_url])
def test_a_broker_whose_queue_cannot_be_counted_is_refused(of, url):
    with pytest.raises(SettingsError, match=r"Only a Redis .* LABKIT_CELERY_BROKER_URL"):
        of(url)


def test_the_refusal_does_not_tell_the_password():
    with pytest.raises(SettingsError) as refused:
        make_app("amqp://me:s3cret@rabbit//", SETTINGS)
    assert "s3cret" not in str(refused.value)


def test_the_broker_is_the_one_for_celery_or_else_the_one_for_labkit(monkeypatch, tmp_path):
    both = Settings(_env_file=None, celery_broker_url="redis://celery", redis_url="redis://labkit")
    assert broker_url(both) == "redis://celery"
    assert broker_url(Settings(_env_file=None, redis_url="redis://labkit")) == "redis://labkit"
    nowhere = Settings(_env_file=None, data_dir=tmp_path, lab="not-running")
    with pytest.raises(LabNotRunning):
        broker_url(nowhere)


def test_priorities_stay_true_and_killed_workers_lose_nothing():
    conf = make_app("redis://r", SETTINGS).conf
    assert conf.task_acks_late is True
    assert conf.task_reject_on_worker_lost is True
    assert conf.worker_prefetch_multiplier == 1
    assert conf.accept_content == ["json", "labkit"]
    assert conf.broker_transport_options["queue_order_strategy"] == "priority"
    assert conf.broker_transport_options["visibility_timeout"] == SETTINGS.celery_visibility_timeout


def test_each_level_has_the_key_that_kombu_gives_it():
    transport = make_app("redis://r", SETTINGS).connection_for_write().transport
    channel = transport.Channel.__new__(transport.Channel)
    options = make_app("redis://r", SETTINGS).conf.broker_transport_options
    channel.priority_steps, channel.sep = options["priority_steps"], options["sep"]
    prefix = key_prefix(SETTINGS)
    assert prefix.startswith("me.")
    for level in range(10):
        assert level_key(prefix, level) == prefix + channel._q_for_pri(QUEUE, level)
