"""Priority classes as they are written on the command line: one value per class, with commas between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from labkit.errors import LabkitError

if TYPE_CHECKING:
    from labkit.policies import PriorityClass

N = TypeVar("N")
D = TypeVar("D")


def parse_classes(
    names: str,
    *,
    weights: str | None = None,
    shares: str | None = None,
    deadlines: str | None = None,
    limits: str | None = None,
) -> list[PriorityClass]:
    """The classes in rank order. Where a value is left out, as in `,100`, the class has its default.

    Raises `LabkitError` for what is no number, for values that are not one per class, and for what makes no sense.
    """
    from labkit.policies import Ledger, PriorityClass

    known = [name.strip() for name in names.split(",")]
    if not all(known):
        raise LabkitError(f"The classes {names!r} do not all have a name; write them like high,low.")
    columns = zip(
        known,
        _numbers("weights", weights, known, float, 1.0),
        _numbers("shares", shares, known, float, 0.0),
        _numbers("deadlines", deadlines, known, float, None),
        _numbers("limits", limits, known, int, None),
        strict=True,
    )
    classes = [
        PriorityClass(name=name, weight=weight, share=share, relative_deadline=deadline, limit=limit)
        for name, weight, share, deadline, limit in columns
    ]
    Ledger(classes)  # whether they go together
    return classes


def parse_options(texts: Iterable[str]) -> dict[str, float]:
    """The options of a policy, each written name=value; raises `LabkitError`."""
    options = {}
    for text in texts:
        name, found, value = text.partition("=")
        if not found:
            raise LabkitError(f"--option {text!r} is not written name=value, like rate=0.5.")
        options[name.strip()] = _number("option", value, float)
    return options


def _numbers(
    option: str, text: str | None, classes: Sequence[str], kind: Callable[[str], N], default: D
) -> Sequence[N | D]:
    if text is None:
        return [default] * len(classes)
    words = text.split(",")
    if len(words) != len(classes):
        raise LabkitError(
            f"--{option} {text!r} does not have one value for each of the {len(classes)} classes "
            f"{', '.join(classes)}; write them with commas between."
        )
    return [_number(option, word, kind) if word.strip() else default for word in words]


def _number(option: str, word: str, kind: Callable[[str], N]) -> N:
    try:
        return kind(word)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise LabkitError(f"--{option}: {word.strip()!r} is not a {what}.") from None
