"""Beat on a real Redis."""

from __future__ import annotations

from datetime import timedelta

from redbeat.schedulers import RedBeatSchedulerEntry, ensure_conf, get_redis

from labkit.celery_app.application import BEAT_SILENCE
from labkit.celery_app.beat import Beat, beat_app
from labkit.celery_app.periodic_tasks import HEARTBEAT
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.conftest import new_settings

TIMEOUT = 60.0


def test_it_goes_on_after_the_clock_was_set_back(lab, caplog):
    """By the clock of now, what has run last has run in an hour."""
    settings = new_settings(beat_heartbeat="1", beat_lag="off")
    app = beat_app(lab.redis_url, settings)
    ensure_conf(app)
    for _ in range(2):
        with Beat(lab, settings=settings) as beat:
            wait_until(lambda beat=beat: beat.sent > 0, timeout=TIMEOUT, what="Beat was to send")
            beat.check()
        entry = RedBeatSchedulerEntry.from_key(RedBeatSchedulerEntry.generate_key(app, HEARTBEAT), app=app)
        entry.reschedule(app.now() + timedelta(hours=1))
    assert caplog.text.count("The clock was set back") == 1


def test_a_schedule_that_a_killed_beat_had_before_the_clock_was_set_back_is_taken_over(lab):
    settings = new_settings(beat_heartbeat="1", beat_lag="off")
    app = beat_app(lab.redis_url, settings)
    conf, client = ensure_conf(app), get_redis(app)
    assert client.set(conf.lock_key, "of one that is dead", px=3_600_000)
    with Beat(lab, settings=settings) as beat:
        wait_until(
            lambda: client.pttl(conf.lock_key) <= BEAT_SILENCE * 1000, timeout=TIMEOUT, what="it was to end soon"
        )
        client.pexpire(conf.lock_key, 1)
        wait_until(lambda: beat.sent > 0, timeout=TIMEOUT, what="Beat was to send")
