"""A small run with pollers that are killed."""

from __future__ import annotations

import pytest

from benchmarks.message_faults import Load, messages_under_faults
from labkit.lab import Lab


@pytest.mark.long
def test_nothing_is_lost_and_nobody_shares_when_pollers_are_killed(lab: Lab) -> None:
    run = messages_under_faults(lab, Load(messages=600, pollers=5, lease=1.0, seconds=0.05), kills=2, seed=1)
    assert (run.lost, run.shared, run.after) == ((), (), ())
    assert run.again > 0  # the kills hit pollers that held messages
