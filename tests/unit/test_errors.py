"""The default message of an error is its docstring, and it is there where Python throws docstrings away."""

from __future__ import annotations

import inspect

import pytest

from labkit import errors

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.LabkitError)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_something_by_default(kind: type[errors.LabkitError]) -> None:
    assert issubclass(kind, errors.LabkitError)
    said = str(kind())
    assert said == kind.__doc__
    assert said.endswith(".")
    assert "\n\n" not in said, "one paragraph"


def test_the_default_is_no_docstring_which_python_may_throw_away() -> None:
    assert all("says" in vars(kind) for kind in ALL)


def test_a_message_of_its_own_goes_before_the_default() -> None:
    assert str(errors.PortInUse("Port 1 is in use.")) == "Port 1 is in use."


def test_whatever_a_user_can_mend_is_caught_in_one_place() -> None:
    assert {kind.__module__ for kind in errors.LabkitError.__subclasses__()} >= {"labkit.errors"}
