"""Scenarios by name: labkit's own, and somebody else's at `module:name` or by an entry point."""

from __future__ import annotations

from collections.abc import Callable

from labkit.errors import GradingFailed, LabkitError, SettingsError
from labkit.grading.behaviour.behaviour_run import BehaviourRun, RunCut
from labkit.grading.behaviour.bridge_scenario import play_bridge
from labkit.grading.behaviour.group_scenario import play_group
from labkit.grading.behaviour.job_scenario import play_jobs
from labkit.grading.behaviour.keyed_producer_scenario import play_keyed_producer
from labkit.grading.behaviour.producer_scenario import play_producer
from labkit.grading.behaviour.purpose_scenario import play_purposes
from labkit.grading.behaviour.view_scenario import play_view
from labkit.grading.behaviour.worker_scenario import play_worker
from labkit.parameters import checked
from labkit.plugin import plugin_object, plugin_place
from labkit.taskqueue.engine.failure import foreign_function

#: A function that plays one: it does things to a run, and tells the run what goes wrong.
Scenario = Callable[[BehaviourRun], None]

#: The group of entry points of such functions.
GROUP = "labkit.scenarios"

#: labkit's own, by name.
SCENARIOS: dict[str, Scenario] = {
    "producer": play_producer,
    "keyed_producer": play_keyed_producer,
    "worker": play_worker,
    "group": play_group,
    "bridge": play_bridge,
    "jobs": play_jobs,
    "purposes": play_purposes,
    "view": play_view,
}


@checked
def find_scenario(name: str) -> Scenario:
    """The one of this name: in `SCENARIOS`, of an entry point, or at `module:name`.

    What somebody else's raises, other than `RunCut` and labkit's own errors, becomes a `GradingFailed`: it is no fault
    of the submission. Raises `SettingsError` if there is none of that name, or it cannot be imported or called.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    place = plugin_place("scenario", name, GROUP, SCENARIOS)
    play = plugin_object("scenario", name, place)
    if not callable(play):
        raise SettingsError(f"{place} is no scenario: that is a function, which is called with a BehaviourRun.")

    return foreign_function(f"The scenario {name!r}", play, raises=GradingFailed, passing=(RunCut, LabkitError))
