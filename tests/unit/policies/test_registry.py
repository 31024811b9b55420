"""The policies that there are, by name."""

import sys
from pathlib import Path

import pytest

import labkit.policies
from labkit.errors import SettingsError
from labkit.policies import POLICIES, make_policy, options_of

NEWEST_FIRST = '''
from dataclasses import dataclass
from labkit.policies.policy import POLICIES, Decision, View

@POLICIES.register
@dataclass(frozen=True)
class Idle:
    """Never starts anything."""
    name = "idle"
    def decide(self, view: View, now: float) -> Decision:
        return Decision(start=None, held={})
'''


def test_the_policies_are_the_modules_that_hold_one():
    modules = {path.stem for path in Path(labkit.policies.__path__[0]).glob("*.py")}
    assert set(POLICIES) == modules - {"__init__", "policy"}
    assert {"strict", "reserve", "weighted", "aging", "earliest_deadline", "quota"} <= set(POLICIES)
    assert all(kind.__doc__ for kind in POLICIES.values())


def test_a_new_file_is_a_new_policy(tmp_path, monkeypatch):
    (tmp_path / "idle.py").write_text(NEWEST_FIRST)
    monkeypatch.setattr(labkit.policies, "__path__", [*labkit.policies.__path__, str(tmp_path)])
    try:
        POLICIES.discover([str(tmp_path)], "labkit.policies")
        assert make_policy("idle").name == "idle"
    finally:
        POLICIES.pop("idle", None)
        sys.modules.pop("labkit.policies.idle", None)


def test_options_are_those_of_the_class():
    assert options_of("aging") == ("rate",)
    assert options_of("strict") == ()
    assert make_policy("aging", rate=0.25) == make_policy("aging", rate=0.25) != make_policy("aging")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fair", {}, "no policy 'fair'; there are aging, earliest_deadline, quota, reserve, strict, weighted"),
        ("strict", {"rate": 1.0}, "'strict' has no option 'rate'; it takes none"),
        ("aging", {"speed": 1.0}, "'aging' has no option 'speed'; it takes rate"),
        ("aging", {"rate": 0.0}, "'rate' of the policy 'aging' is 0.0; give a number above 0"),
        ("aging", {"rate": float("nan")}, "'rate' of the policy 'aging' is nan"),
        ("aging", {"rate": "fast"}, "'rate' of the policy 'aging' is 'fast'"),
    ],
)
def test_what_does_not_fit_is_refused(name, options, message):
    with pytest.raises(SettingsError, match=message):
        make_policy(name, **options)
