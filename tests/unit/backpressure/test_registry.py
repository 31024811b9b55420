"""The strategies that there are, by name."""

import sys
from pathlib import Path

import pytest

import labkit.backpressure
from labkit.backpressure import STRATEGIES, make_strategy, options_of
from labkit.errors import SettingsError

CLOSED = '''
from dataclasses import dataclass
from labkit.backpressure.strategy import STRATEGIES, Action, AdmissionDecision, QueueView

@STRATEGIES.register
@dataclass(frozen=True)
class Closed:
    """Refuses everything."""
    name = "closed"
    def begin(self) -> None: ...
    def judge(self, sight: QueueView, state: None, now: float) -> tuple[AdmissionDecision, None]:
        return AdmissionDecision(action=Action.REFUSE, reason="it is closed"), None
'''


def test_every_module_holds_one_and_the_limits_are_in_one():
    modules = {path.stem for path in Path(labkit.backpressure.__path__[0]).glob("*.py")}
    assert {kind.__module__.rpartition(".")[2] for kind in STRATEGIES.values()} == modules - {"__init__", "strategy"}
    assert {"unlimited", "refuse", "slow", "pause", "shed_newest", "shed_lowest", "spill"} <= set(STRATEGIES)
    assert {"token_bucket", "aimd"} <= set(STRATEGIES)
    assert all(kind.__doc__ for kind in STRATEGIES.values())


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_can_be_made_by_its_name_alone(name):
    assert make_strategy(name).name == name
    assert make_strategy(name) == make_strategy(name)


def test_a_new_file_is_a_new_strategy(tmp_path, monkeypatch):
    (tmp_path / "closed.py").write_text(CLOSED)
    monkeypatch.setattr(labkit.backpressure, "__path__", [*labkit.backpressure.__path__, str(tmp_path)])
    try:
        STRATEGIES.discover([str(tmp_path)], "labkit.backpressure")
        assert make_strategy("closed").name == "closed"
    finally:
        STRATEGIES.pop("closed", None)
        sys.modules.pop("labkit.backpressure.closed", None)


def test_options_are_those_of_the_class():
    assert options_of("token_bucket") == ("rate", "burst")
    assert options_of("unlimited") == ()
    assert make_strategy("refuse", limit=5) == make_strategy("refuse", limit=5) != make_strategy("refuse")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "block",
            {},
            "no strategy 'block'; there are aimd, pause, refuse, shed_lowest, shed_newest, slow, spill, token",
        ),
        ("unlimited", {"limit": 1}, "'unlimited' has no option 'limit'; it takes none"),
        ("aimd", {"limit": 1}, "'aimd' has no option 'limit'; it takes target, beta, start"),
        ("refuse", {"limit": 0}, "'limit' of the strategy 'refuse' is 0; give a whole number, 1 or more"),
        ("spill", {"limit": 1.5}, "'limit' of the strategy 'spill' is 1.5"),
        ("shed_newest", {"limit": float("inf")}, "'limit' of the strategy 'shed_newest' is inf"),
        ("shed_lowest", {"limit": "many"}, "'limit' of the strategy 'shed_lowest' is 'many'"),
        ("slow", {"threshold": -1}, "'threshold' of the strategy 'slow' is -1; give a whole number, 0 or more"),
        ("slow", {"per_task": 0}, "'per_task' of the strategy 'slow' is 0; give a number above 0"),
        ("pause", {"high": 10, "low": 10}, "make 'low' smaller than 'high'"),
        ("pause", {"look": float("nan")}, "'look' of the strategy 'pause' is nan"),
        ("token_bucket", {"rate": 0}, "'rate' of the strategy 'token_bucket' is 0"),
        ("token_bucket", {"burst": 0.5}, "'burst' of the strategy 'token_bucket' is 0.5"),
        ("aimd", {"beta": 1.0}, "'beta' of the strategy 'aimd' is 1.0; give a number above 0 and below 1"),
        ("aimd", {"target": -1}, "'target' of the strategy 'aimd' is -1"),
        ("aimd", {"start": 0}, "'start' of the strategy 'aimd' is 0"),
    ],
)
def test_what_does_not_fit_is_refused(name, options, message):
    with pytest.raises(SettingsError, match=message):
        make_strategy(name, **options)
