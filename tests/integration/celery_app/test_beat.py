"""Beat on a real Redis."""

from __future__ import annotations

from datetime import timedelta

from redbeat.schedulers import RedBeatSchedulerEntry, ensure_conf

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
