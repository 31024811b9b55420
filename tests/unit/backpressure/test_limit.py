"""The strategies that are nothing but a limit: unlimited, refuse, shed_newest, shed_lowest, spill."""

import pytest

from labkit.backpressure import Action, QueueView, make_strategy

LIMITED = {
    "refuse": Action.REFUSE,
    "shed_newest": Action.SHED_NEWEST,
    "shed_lowest": Action.SHED_NEWEST,
    "spill": Action.SPILL,
}


def judged(name, sight, **options):
    verdict, state = make_strategy(name, **options).judge(sight, None, 0.0)
    assert state is None
    return verdict


def test_unlimited_admits_whatever_waits():
    assert judged("unlimited", QueueView(lag=10**9)).action is Action.ADMIT


@pytest.mark.parametrize("name", LIMITED)
def test_the_limit_is_the_most_that_is_unfinished(name):
    assert judged(name, QueueView(lag=6), limit=7).action is Action.ADMIT
    full = judged(name, QueueView(lag=7), limit=7)
    assert (full.action, full.reason) == (LIMITED[name], "7 tasks are not finished, and the limit is 7")
    assert judged(name, QueueView(lag=900), limit=7).action is LIMITED[name]


@pytest.mark.parametrize(
    ("rank", "lowest", "action"),
    [
        (0, 2, Action.SHED_LOWEST),
        (1, 2, Action.SHED_LOWEST),
        (2, 2, Action.SHED_NEWEST),
        (2, 0, Action.SHED_NEWEST),
        (0, None, Action.SHED_NEWEST),
    ],
)
def test_shed_lowest_drops_one_that_is_less_urgent_if_it_waits(rank, lowest, action):
    sight = QueueView(lag=7, rank=rank, lowest=lowest)
    assert judged("shed_lowest", sight, limit=7).action is action
    assert judged("shed_lowest", sight, limit=8).action is Action.ADMIT
