"""Priority classes and options of policies, as they are typed."""

from __future__ import annotations

import pytest

from labkit.cli.dispatch_commands import parse_classes, parse_options
from labkit.errors import LabkitError
from labkit.policies import PriorityClass


def test_values_go_to_the_classes_in_their_order() -> None:
    assert parse_classes("high, low", weights="4,1", shares="0,0.2", deadlines="1,10", limits="5,100") == [
        PriorityClass(name="high", weight=4, share=0, relative_deadline=1, limit=5),
        PriorityClass(name="low", weight=1, share=0.2, relative_deadline=10, limit=100),
    ]


def test_what_is_left_out_has_its_default() -> None:
    assert parse_classes("a,b,c", weights=",2,", limits=" ,,0") == [
        PriorityClass(name="a"),
        PriorityClass(name="b", weight=2),
        PriorityClass(name="c", limit=0),
    ]


@pytest.mark.parametrize(
    ("names", "values", "reason"),
    [
        ("high,low", {"weights": "4"}, "one value for each of the 2 classes high, low"),
        ("high,low", {"weights": "4,1,1"}, "one value for each of the 2 classes high, low"),
        ("high,low", {"weights": "4,much"}, "--weights: 'much' is not a number"),
        ("high,low", {"limits": "1.5,"}, "--limits: '1.5' is not a whole number"),
        ("high,low", {"weights": "0,1"}, "the weight 0"),
        ("high,low", {"shares": "0.7,0.7"}, "add up to 1.4"),
        ("high,high", {}, "two priority classes named 'high'"),
        ("high,,low", {}, "write them like high,low"),
    ],
)
def test_what_makes_no_sense_is_named(names: str, values: dict[str, str], reason: str) -> None:
    with pytest.raises(LabkitError, match=reason):
        parse_classes(names, **values)


def test_options_are_names_with_numbers() -> None:
    assert parse_options(["rate=0.5", "other = 2"]) == {"rate": 0.5, "other": 2.0}


@pytest.mark.parametrize(
    ("text", "reason"), [("rate", "is not written name=value"), ("rate=fast", "'fast' is not a number")]
)
def test_an_option_that_is_none_is_named(text: str, reason: str) -> None:
    with pytest.raises(LabkitError, match=reason):
        parse_options([text])
