"""When the periodic tasks are due, as the settings say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import crontab

from labkit.celery_app.periodic_tasks import HEARTBEAT, LAG, parse_period, periods
from labkit.errors import SettingsError
from labkit.settings import Settings


def test_by_default_both_are_sent():
    assert {name: period.in_words for name, period in periods(Settings()).items()} == {
        HEARTBEAT: "every 10 s",
        LAG: "every 5 s",
    }


def test_every_n_seconds():
    period = parse_period("beat_lag", " 2.5 ")
    assert period.schedule.run_every == timedelta(seconds=2.5)
    assert period.in_words == "every 2.5 s"


def test_a_crontab_is_in_utc_and_may_have_more_spaces():
    period = parse_period("beat_lag", "30  6 * *  1")
    assert period.schedule == crontab(minute="30", hour="6", day_of_week="1")
    assert period.in_words == "at 30 6 * * 1 UTC"
    monday = datetime(2024, 1, 1, 6, 29, tzinfo=UTC)
    period.schedule.nowfun = lambda: monday
    assert period.schedule.remaining_estimate(monday) == timedelta(minutes=1)


@pytest.mark.parametrize("word", ["off", "OFF", " off "])
def test_one_can_be_off(word):
    assert periods(Settings(beat_heartbeat=word)).keys() == {LAG}


def test_both_off_is_a_mistake():
    with pytest.raises(SettingsError, match="nothing to send"):
        periods(Settings(beat_heartbeat="off", beat_lag="off"))


@pytest.mark.parametrize(
    "text", ["often", "0.5", "0", "-1", "nan", "inf", "1e300", "61 * * * *", "* * * *", "x * * * *"]
)
def test_what_is_no_schedule_is_named(text):
    with pytest.raises(SettingsError, match=r"LABKIT_BEAT_LAG is .* which is no schedule") as refused:
        periods(Settings(beat_lag=text))
    assert repr(text) in str(refused.value)
    assert "\n" not in str(refused.value)
