"""What the script says of the ids, sorted."""

from __future__ import annotations

from labkit.api.messages.reservation import Reserved


def sort(*answers: str) -> Reserved:
    reserved = Reserved()
    for number, answer in enumerate(answers):
        reserved.note(str(number), answer)
    return reserved


def test_each_goes_where_it_belongs() -> None:
    reserved = sort("q", "w", "n", '{"0":5}', "n")
    assert (reserved.queued, reserved.work, reserved.new, reserved.taken) == (["0"], ["1"], ["2", "4"], ["3"])
    assert reserved.floor == {0: 5}


def test_one_look_begins_at_the_lowest_floor_and_where_one_knew_of_none_at_the_start() -> None:
    assert sort('{"0":5,"1":9}', '{"0":7,"1":2}').floor == {0: 5, 1: 2}
    assert sort('{"0":5,"1":9}', '{"0":7}').floor == {0: 5}
    assert sort("{}", '{"0":7}').floor == {}
