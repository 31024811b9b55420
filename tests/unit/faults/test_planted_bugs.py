"""Bugs planted into workers and producers, run over the transport in memory: the checker names each one."""

from __future__ import annotations

import pytest

from labkit.faults import (
    AHEAD,
    DEAD_THOUGH_DONE,
    DEAD_TWICE,
    DEAD_UNBEGUN,
    DUPLICATE,
    EFFECT_TWICE,
    GOING_BACK,
    LOST,
    LOST_IN_REPLAY,
    NO_EFFECT,
    OUT_OF_ORDER,
    REUSED_ID,
    SKIPPED,
    SWAPPED,
    UNWRITTEN,
    check,
)
from tests.unit.faults import bugs
from tests.unit.faults.names import names_in
from tests.unit.faults.play import peaceful_plan, play, rough_plan
from tests.unit.faults.run import Replayer, Sender
from tests.unit.faults.worker import Worker

pytestmark = pytest.mark.slow

#: A bug has luck in some runs: a rebalance also resumes what was paused, say.
SEEDS = range(4)

#: What each bug must be called.
BUGS = {
    bugs.CommitsBeforeTheWork: {LOST, AHEAD},
    bugs.CommitsPosition: {LOST, AHEAD},
    bugs.DropsOnRebalance: {LOST},
    bugs.AcksEachOnReceipt: {LOST, AHEAD, GOING_BACK},
    bugs.CommitsHighestFinished: {LOST, AHEAD},
    bugs.RemembersTooMuch: {LOST, AHEAD},
    bugs.SwallowsErrors: {LOST},
    bugs.ForgetsToResume: {LOST},
    bugs.SkipsOnPoll: {LOST, SKIPPED},
    bugs.WorksSideBySide: {OUT_OF_ORDER},
    bugs.RetriesLater: {OUT_OF_ORDER},
    bugs.RetriesLaterInVain: {OUT_OF_ORDER},
    bugs.SeeksBack: {GOING_BACK},
    bugs.KeepsOldProgress: {GOING_BACK},
    bugs.BuriesAgain: {DEAD_TWICE},
    bugs.BuriesTheFinished: {DEAD_THOUGH_DONE},
    bugs.BuriesUnbegun: {DEAD_UNBEGUN},
    bugs.RepeatsTheEffect: {EFFECT_TWICE},
    bugs.MarksFirst: {NO_EFFECT},
    bugs.MixesUpResults: {SWAPPED},
    bugs.BelievesItself: {LOST, UNWRITTEN},
    bugs.ReusesIds: {REUSED_ID},
    bugs.LosesReplays: {LOST, LOST_IN_REPLAY},
}

#: What else a bug brings about: a record that was passed over may be delivered after a crash, and then it is late; of
#: two tasks with one another's results, one may have none when a worker dies.
CONSEQUENCES = {bugs.SkipsOnPoll: {OUT_OF_ORDER}, bugs.MixesUpResults: {LOST}}

#: What commits too early, and loses nothing where nobody dies.
TOO_EARLY = (
    bugs.CommitsBeforeTheWork,
    bugs.CommitsPosition,
    bugs.AcksEachOnReceipt,
    bugs.CommitsHighestFinished,
    bugs.RemembersTooMuch,
)


@pytest.fixture(scope="module")
def correct_runs():
    return [play(rough_plan(seed)) for seed in range(20)]


def test_a_correct_worker_passes_whatever_is_done_to_it(correct_runs):
    for history in correct_runs:
        verdict = check(history)
        assert names_in(verdict) <= {DUPLICATE}, verdict
        assert verdict.ok()
        assert verdict.tasks == 200


def test_these_runs_hold_what_they_are_to_test(correct_runs):
    happened = {(event.what, event.note) for history in correct_runs for event in history}
    assert happened >= {("fault", note) for note in ("SIGKILL", "SIGTERM", "SIGSTOP", "SIGCONT")} | {("dead", None)}
    for history in correct_runs:
        verdict = check(history)
        assert verdict.redeliveries > 10
        assert verdict.counts[DUPLICATE] > 0
        assert not verdict.ok(allow=())
    assert any(event.beyond for history in correct_runs for event in history)


@pytest.mark.parametrize("seed", range(3))
def test_a_correct_worker_in_peace_repeats_nothing(seed):
    verdict = check(play(peaceful_plan(seed)))
    assert verdict.ok(allow=()), verdict
    assert (verdict.tasks, verdict.redeliveries) == (200, 0)


@pytest.mark.parametrize("seed", range(4))
def test_a_correct_replay_loses_nothing(seed):
    verdict = check(play(rough_plan(seed), replayer=Replayer))
    assert names_in(verdict) <= {DUPLICATE}, verdict


@pytest.mark.parametrize("bug", TOO_EARLY, ids=lambda bug: bug.__name__)
def test_a_commit_ahead_of_the_work_is_named_also_where_it_went_well(bug):
    for seed in range(8):
        verdict = check(play(peaceful_plan(seed), worker=bug))
        assert verdict.counts[AHEAD], seed
        assert not verdict.ok(allow=(LOST,)), "also what was not lost was committed too early"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_is_caught_under_its_name(bug):
    roles = {"worker": Worker, "sender": Sender, "replayer": Replayer}
    whose = {role: bug for role, correct in roles.items() if issubclass(bug, correct)}
    verdicts = [check(play(rough_plan(seed), **whose)) for seed in SEEDS]
    found = set().union(*map(names_in, verdicts)) - {DUPLICATE}
    assert found - CONSEQUENCES.get(bug, set()) == BUGS[bug]
    assert sum(not verdict.ok() for verdict in verdicts) >= len(SEEDS) / 2, "in at least half of the runs"


def test_a_task_that_was_sent_twice_is_a_duplicate_also_in_peace():
    assert issubclass(bugs.SendsAgain, Sender)
    verdict = check(play(peaceful_plan(0), sender=bugs.SendsAgain))
    assert names_in(verdict) == {DUPLICATE}
    assert "it is on the topic more than once" in verdict.anomalies[DUPLICATE][0].sentence
