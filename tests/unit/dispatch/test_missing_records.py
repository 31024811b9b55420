"""A record that is missing may still come, until nothing has changed for some seconds."""

from __future__ import annotations

import pytest

from labkit.dispatch.missing_records import SETTLED, Look, MissingRecords

DONE = Look(done=True, records=3, ends=4, concurrency=1)


class Session:
    """What a drain asks; the test says what there is."""

    def __init__(self) -> None:
        self.now = 100.0
        self.number = 1
        self.has_lost_all = False
        self.missing = MissingRecords(lambda: {"low": self.number} if self.number else {}, clock=lambda: self.now)

    def are_final(self, look: Look = DONE, *, after: float = 0.0) -> bool:
        self.now += after
        return self.missing.are_final(look, lambda: self.has_lost_all)


@pytest.fixture
def session():
    return Session()


def test_where_none_is_missing_all_is_said_at_once(session):
    session.number = 0
    assert not session.are_final(DONE._replace(done=False))
    assert session.are_final()
    assert not session.missing.by_class


def test_what_is_not_known_in_time_is_not_taken_for_nothing():
    counts = iter([None, None, {}])
    missing = MissingRecords(lambda: next(counts))
    assert [missing.are_final(DONE, lambda: False) for _ in range(3)] == [False, False, True]


def test_a_record_that_comes_late_is_counted(session):
    assert not session.are_final()
    session.number = 0
    assert session.are_final(DONE._replace(records=4), after=SETTLED - 0.1)
    assert not session.missing.by_class


def test_what_stays_away_for_so_long_is_missing(session):
    assert not session.are_final()
    assert not session.are_final(after=SETTLED - 0.1)
    assert session.are_final(after=0.1)
    assert session.missing.by_class == {"low": 1}


@pytest.mark.parametrize(
    "change", [{"records": 4}, {"ends": 5}, {"done": False}, {"concurrency": 0}, {"concurrency": 2}]
)
def test_with_every_change_the_waiting_begins_anew(session, change):
    session.are_final()
    assert not session.are_final(DONE._replace(**change), after=SETTLED - 0.1)
    assert not session.are_final(after=0.1)
    assert not session.are_final(after=SETTLED - 0.1)
    assert session.are_final(after=0.1)


@pytest.mark.parametrize("change", [{"done": False}, {"concurrency": 0}])
def test_while_something_is_under_way_or_no_worker_runs_nothing_is_final(session, change):
    for _ in range(3):
        assert not session.are_final(DONE._replace(**change), after=SETTLED)


def test_where_redis_has_lost_all_there_is_nothing_to_wait_for(session):
    session.has_lost_all = True
    assert not session.are_final(DONE._replace(done=False))
    assert session.are_final()
    assert session.missing.by_class == {"low": 1}


def test_an_answer_that_did_not_come_is_asked_for_again(session):
    session.missing._count = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        session.are_final()
    session.missing._count = dict
    assert session.are_final()
