"""An outage is said once, and its end once, whoever notices and however late."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress

import pytest

from labkit.outage import Outage


def test_an_outage_is_said_once_however_many_threads_notice_and_once_when_it_is_over(caplog):
    outage = Outage(logging.getLogger("labkit.worker"), "w-1", "Redis", meanwhile="its tasks wait")
    outage.ends()
    start = threading.Barrier(8)

    def notice():
        start.wait(30)
        outage.begins("it is full")

    threads = [threading.Thread(target=notice) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outage.on
    outage.ends()
    outage.ends()
    assert not outage.on
    assert [record.getMessage() for record in caplog.records] == [
        "w-1 waits for Redis, and its tasks wait: it is full",
        "w-1 goes on: Redis answers again",
    ]


def test_others_can_look_at_a_flag_whether_it_is_away():
    flag = threading.Event()
    outage = Outage(logging.getLogger("w-1"), "w-1", "Redis", flag=flag)
    outage.begins("it is full")
    assert flag.is_set()
    outage.ends()
    assert not flag.is_set()


@pytest.fixture
def outage():
    return Outage(logging.getLogger("labkit.worker"), "w-1", "Redis")


def test_what_failed_before_the_end_and_tells_it_after_says_nothing_new(outage, caplog):
    outage.begins("it is full")
    with suppress(OSError), outage.asked(OSError):
        outage.ends()
        raise OSError("it was full")
    assert not outage.on
    assert len(caplog.records) == 2


def test_what_went_well_before_the_beginning_and_tells_it_after_is_no_end(outage, caplog):
    with outage.asked(OSError):
        outage.begins("it is full")
    assert outage.on
    with outage.asked(OSError):
        pass
    assert not outage.on
    assert len(caplog.records) == 2


def test_an_error_of_another_kind_tells_nothing(outage):
    with pytest.raises(ValueError, match="no number"), outage.asked(OSError):
        raise ValueError("no number")
    assert not outage.on
    outage.begins("it is full")
    with pytest.raises(ValueError, match="no number"), outage.asked(OSError):
        raise ValueError("no number")
    assert outage.on
