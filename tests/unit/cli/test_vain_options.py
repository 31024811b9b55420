"""Options that do nothing beside the others are refused in a sentence, before the lab is asked."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("produce --count 3 --forever", "not both"),
        ("produce --group mine", "--group does nothing"),
        ("jobs produce --count 3 --forever", "not both"),
        ("jobs produce 7 --forever", "not both"),
        ("dead replay t/0/1 --topic t", "--topic does nothing"),
        ("dead drop t/0/1 --topic t", "--topic does nothing"),
        ("logs --server redis --broker 1", "--broker does nothing"),
        ("celery worker --pool solo --concurrency 2", "one task at a time"),
        ("dispatch --weights 4,1", "'reserve' does nothing with --weights"),
        ("dispatch --policy weighted --shares 0,0.2", "'weighted' does nothing with --shares"),
        ("dispatch --policy weighted --deadlines 1,10", "'weighted' does nothing with --deadlines"),
        ("dispatch --policy strict --option rate=2", "has no option 'rate'"),
    ],
)
def test_an_option_that_does_nothing_is_refused(labkit, line, reason):
    status, said = labkit(*line.split())
    assert (status, said.count("\n")) == (1, 1), said
    assert said.startswith("labkit: ")
    assert reason in said


@pytest.mark.parametrize(
    "options",
    ["--policy weighted --weights 4,1", "--policy quota --shares 0,0.2", "--policy earliest_deadline --deadlines 1,10"],
)
def test_the_policy_that_reads_them_takes_them(labkit, options):
    status, said = labkit("dispatch", *options.split())
    assert status == 1
    assert "No lab is running" in said or "is not running" in said
