"""What Beat is told, and how a run that is sent twice is recognised."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import schedule
from redbeat.schedulers import RedBeatScheduler, RedBeatSchedulerEntry, ensure_conf, get_redis
from redis import SSLConnection, UnixDomainSocketConnection

from labkit.celery_app.application import BEAT_SILENCE
from labkit.celery_app.beat import MAX_INTERVAL, Beat, BeatScheduler, beat_app, run_id
from labkit.celery_app.periodic_tasks import HEARTBEAT, LAG
from labkit.errors import SettingsError
from labkit.settings import Settings
from tests.refused_threads import refuse_threads
from tests.unit.failover import ANSWERS, failover_server

SOCKET = "unix:///tmp/redis.sock"
MOMENT = datetime(2024, 1, 1, 12, tzinfo=UTC)


def entry(name=HEARTBEAT, last_run_at=MOMENT, prefix=""):
    app = beat_app(SOCKET, Settings(topic_prefix=prefix))
    return RedBeatSchedulerEntry(name, HEARTBEAT, schedule(10), last_run_at=last_run_at, app=app)


def test_two_that_know_of_the_same_last_run_give_the_next_the_same_id():
    assert run_id(entry()) == run_id(entry())


def test_other_runs_tasks_and_users_have_other_ids():
    others = [entry(last_run_at=MOMENT + timedelta(microseconds=1)), entry(name=LAG), entry(prefix="me.")]
    assert len({run_id(each) for each in (entry(), *others)}) == 4


@pytest.mark.parametrize(
    ("ahead", "believed"), [(-7200, True), (0, True), (4, True), (6, False), (3600, False), (86400 * 400, False)]
)
@pytest.mark.parametrize("heartbeat", ["10", "*/5 * * * *"])
def test_a_run_that_is_still_to_come_by_the_clock_counts_as_one_of_now(monkeypatch, caplog, ahead, believed, heartbeat):
    """It was noted before the clock was set back."""
    app = beat_app(SOCKET, Settings(beat_heartbeat=heartbeat, beat_lag="10"))
    monkeypatch.setattr(app, "now", lambda: MOMENT)
    noted = {HEARTBEAT: MOMENT + timedelta(seconds=ahead), LAG: None}
    entries = {}

    class Noted(RedBeatSchedulerEntry):
        @classmethod
        def from_key(cls, key, app=None):
            (name,) = (name for name in noted if key == cls.generate_key(app, name))
            if noted[name] is None:
                raise KeyError(key)  # Redis does not have it
            return entries.setdefault(name, cls(name, name, schedule(10), last_run_at=noted[name], app=app))

        def reschedule(self, last_run_at=None):
            self.last_run_at = last_run_at

    monkeypatch.setattr(RedBeatScheduler, "tick", lambda self: 0.5)
    scheduler = BeatScheduler(app, lazy=True)
    scheduler.Entry = Noted
    assert [scheduler.tick(), scheduler.tick()] == [0.5, 0.5]
    assert entries[HEARTBEAT].last_run_at == (noted[HEARTBEAT] if believed else MOMENT)
    assert caplog.text.count("The clock was set back") == (0 if believed else 1)


def test_what_is_off_is_not_in_the_schedule():
    assert beat_app(SOCKET, Settings(beat_lag="off")).conf.beat_schedule.keys() == {HEARTBEAT}


def test_redbeat_keeps_to_our_redis_prefix_and_silence():
    app = beat_app(SOCKET, Settings(topic_prefix="me."))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        ensure_conf(app)
        pool = get_redis(app).connection_pool
    assert [str(warning.message) for warning in warned] == []
    assert (pool.connection_class, pool.connection_kwargs["path"]) == (UnixDomainSocketConnection, "/tmp/redis.sock")
    assert app.redbeat_conf.lock_key.startswith("me.labkit:celery:redbeat:")
    assert app.redbeat_conf.schedule_key.startswith("me.labkit:celery:redbeat:")
    # it ticks, and renews its lock, several times before others take it for dead
    assert 3 * MAX_INTERVAL < app.redbeat_conf.lock_timeout == BEAT_SILENCE <= 8


def test_redbeat_speaks_tls_and_knows_the_password():
    app = beat_app("rediss://:secret@redis.example:6380/2", Settings())
    ensure_conf(app)
    pool = get_redis(app).connection_pool
    assert pool.connection_class is SSLConnection
    assert (pool.connection_kwargs["password"], pool.connection_kwargs["db"]) == ("secret", 2)


def test_another_broker_is_refused():
    with pytest.raises(SettingsError, match="amqp"):
        beat_app("amqp://localhost", Settings())


def test_redbeat_finds_the_new_master_behind_the_same_address():
    with failover_server(ANSWERS["redis 7"]) as server:
        app = beat_app(server.url, Settings(topic_prefix=""))
        client = get_redis(app)
        assert client.echo("a") == "OK"
        server.fail_over()
        assert client.echo("a") == "OK"
        client.close()
        app.close()


def test_a_beat_that_could_not_begin_says_why(monkeypatch):
    refuse_threads(monkeypatch, "beat")
    with (
        pytest.raises(RuntimeError, match="can't start new thread"),
        Beat(settings=Settings(celery_broker_url=SOCKET)),
    ):
        pytest.fail("it is there")
