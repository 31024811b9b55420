"""Waiting until a dispatcher has its share of the partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from labkit.dispatch.intake import Intake
from labkit.taskqueue.standing import Standing, standing
from labkit.taskqueue.waiting import wait_until


def wait_until_joined(intakes: Mapping[str, Intake], check: Callable[[], object], *, timeout: float) -> None:
    """Return when each intake, by the name of its group, has what is its due; `check` raises if it cannot come.

    Raises `DeadlineExceeded` after `timeout` seconds for one of them.
    """
    for group, intake in intakes.items():
        stand = standing("group", intake.topic, group)

        def joined(intake: Intake = intake, stand: Standing = stand) -> bool:
            check()
            return stand.is_balanced({intake.name: intake.status().partitions}, killed=())

        try:
            wait_until(joined, timeout=timeout, what=f"{intake.name} was to get its partitions")
        finally:
            stand.close()
