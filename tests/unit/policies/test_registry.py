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


OWN = """
from dataclasses import dataclass
from labkit.policies import Decision

@dataclass(frozen=True)
class Patient:
    'Serves the last class first.'
    name = "patient"
    rate: float = 1.0

    def __post_init__(self):
        if self.rate == 13:
            raise RuntimeError("unlucky")

    def decide(self, view, now):
        return Decision(start=view.startable[-1].name, held={}) if view.startable else Decision(start=None, held={})

class Nameless:
    def decide(self, view, now): ...

nothing = 3
"""


@pytest.fixture
def own(own_distribution, tmp_path):
    """A module of somebody else's, and entry points for what is in it."""
    (tmp_path / "own_broken.py").write_text("raise SystemExit('not today')")
    own_distribution(
        "own_policies",
        OWN,
        "labkit.policies",
        "patient = own_policies:Patient",
        "strict = own_policies:Patient",
        "broken = own_broken:Policy",
        "odd = own_policies",
        "patent = own_policies:Patient",
    )
    own_distribution("own_others", OWN, "labkit.policies", "patent = own_others:Patient")
    yield
    sys.modules.pop("own_broken", None)


@pytest.mark.parametrize("name", ["patient", "own_policies:Patient"])
def test_one_of_somebody_else_s_is_made_by_its_place_or_its_entry_point(own, name):
    made = make_policy(name, rate=0.5)
    assert (made.name, made.rate) == ("patient", 0.5)
    assert options_of(name) == ("rate",)
    assert POLICIES.parse(f"{name}:rate=2").rate == 2
    assert POLICIES.parse(name).rate == 1


def test_labkit_s_own_comes_first_and_all_are_listed(own):
    assert make_policy("strict") == POLICIES["strict"]()
    found = POLICIES.all()
    assert set(found) == {*POLICIES, "patient", "patent", "broken", "odd"}
    assert [found[name] for name in ("broken", "odd", "patent")] == [None] * 3
    assert POLICIES.names() == sorted(found)
    assert found["patient"].__doc__ == "Serves the last class first."


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("own_policies:Patience", {}, "'own_policies:Patience' could not be imported: .*no attribute 'Patience'"),
        ("no_such_module:Policy", {}, "could not be imported: No module named 'no_such_module'"),
        ("own_broken:Policy", {}, "could not be imported: SystemExit: not today"),
        ("broken", {}, "'broken' could not be imported: SystemExit: not today"),
        ("own_policies:nothing", {}, "own_policies:nothing is no policy: that is a class with a text `name`"),
        ("own_policies:Nameless", {}, "own_policies:Nameless is no policy"),
        ("own_policies:Patient", {"rats": 1}, "has no option 'rats'; it takes rate. Did you mean 'rate'"),
        ("patient", {"rate": 13}, "'patient' could not be made: RuntimeError: unlucky"),
        ("patien", {}, "there are .*patient.* Did you mean 'patient'.*module:name"),
        ("odd", {}, "'odd' could not be imported: module 'own_policies' has no attribute ''"),
        (
            "patent",
            {},
            "several entry points 'patent' in the group 'labkit.policies': own_others:Pat.*, own_policies:Pat",
        ),
    ],
)
def test_what_is_wrong_with_one_of_somebody_else_s_is_a_sentence(own, name, options, message):
    with pytest.raises(SettingsError, match=message):
        make_policy(name, **options)
