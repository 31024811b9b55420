"""Whether a value that came out of the sandbox is the expected one, type by type."""

from __future__ import annotations

import math

from msgspec import Struct


class Tolerance(Struct, frozen=True):
    """How far a float may be from the expected one; whole numbers, texts and truth values have to be equal."""

    relative: float = 1e-9
    absolute: float = 1e-12

    def holds(self, value: object, expected: object) -> bool:
        """Whether the value is as expected; both are plain values.

        A whole number will do for a float, and a float for no whole number; a truth value is neither.
        """
        if isinstance(expected, list):
            return (
                isinstance(value, list)
                and len(value) == len(expected)
                and all(self.holds(mine, theirs) for mine, theirs in zip(value, expected, strict=True))
            )
        if isinstance(expected, dict):
            return (
                isinstance(value, dict)
                and value.keys() == expected.keys()
                and all(self.holds(value[key], theirs) for key, theirs in expected.items())
            )
        if isinstance(expected, float):
            return is_number(value) and self._near(value, expected)
        return type(value) is type(expected) and value == expected

    def _near(self, value: object, expected: float) -> bool:
        assert isinstance(value, int | float)
        if math.isnan(expected):
            return math.isnan(value)
        try:
            return math.isclose(value, expected, rel_tol=self.relative, abs_tol=self.absolute)
        except OverflowError:  # a whole number that no float holds
            return False


def is_number(value: object) -> bool:
    """Whether this is a number, which a truth value is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
