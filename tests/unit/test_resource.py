"""What is begun is ended."""

from __future__ import annotations

import threading

import pytest

from labkit.resource import LazyResource, Resource, end_all


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


def test_what_is_opened_when_it_is_used_is_opened_once_for_all_threads():
    opened, seen = [], []

    def opening():
        opened.append(Told())
        if len(opened) == 1:
            other.start()
            other.join(0.2)  # it would be through if it did not wait; else this takes nothing from the test
        return opened[-1]

    lazy = LazyResource(opening)
    other = threading.Thread(target=lambda: seen.append(lazy.get()))
    seen.append(lazy.get())
    other.join(60)
    assert seen == [opened[0]] * 2
    lazy.close()
    lazy.close()
    assert opened[0].told == ["closed"]
    assert lazy.get() is not opened[0]


def test_what_cannot_be_opened_is_tried_again_by_the_next():
    answers = [ConnectionError("away"), Told()]

    def opening():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    lazy = LazyResource(opening)
    with pytest.raises(ConnectionError):
        lazy.get()
    lazy.close()
    assert lazy.get().told == []


def test_all_is_ended_in_order_whatever_one_of_them_raises():
    told = []

    def fails(name):
        told.append(name)
        raise ConnectionError(name)

    with pytest.raises(ConnectionError, match="second") as caught:
        end_all(
            lambda: told.append("first"), lambda: fails("second"), lambda: fails("third"), lambda: told.append("fourth")
        )
    assert told == ["first", "second", "third", "fourth"]
    assert caught.value.__notes__ == ["ConnectionError: third"]
    end_all()
