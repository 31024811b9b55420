"""What is begun is ended."""

from __future__ import annotations

import pytest

from labkit.resource import Resource


class Told(Resource):
    def __init__(self, *, fails: bool = False) -> None:
        self.told: list[str] = []
        self._fails = fails

    def start(self):
        self.told.append("started")
        if self._fails:
            raise ConnectionError("away")
        return self

    def close(self):
        self.told.append("closed")


def test_it_is_started_on_the_way_in_and_closed_on_the_way_out():
    with Told() as resource:
        assert resource.told == ["started"]
    assert resource.told == ["started", "closed"]


def test_it_is_closed_whatever_happens_inside():
    resource = Told()
    with pytest.raises(KeyboardInterrupt), resource:
        raise KeyboardInterrupt
    assert resource.told == ["started", "closed"]


def test_a_start_that_fails_leaves_nothing_behind():
    resource = Told(fails=True)
    with pytest.raises(ConnectionError), resource:
        pytest.fail("it has not begun")
    assert resource.told == ["started", "closed"]


def test_without_a_start_of_its_own_there_is_nothing_to_begin():
    class Closed(Resource):
        def close(self):
            self.told = "closed"

    with Closed() as resource:
        pass
    assert resource.told == "closed"
