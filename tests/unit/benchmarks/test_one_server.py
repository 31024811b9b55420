"""What is read from the records of a run with one server."""

import pandas as pd
import pytest

from benchmarks.one_server import busy_times, met_nobody, share_while_both_wait


def records(*rows: tuple[float, float, float], priority: list[int] | None = None) -> pd.DataFrame:
    """Scheduled, started and finished per task; sent to Celery when it started."""
    table = pd.DataFrame(rows, columns=["scheduled_at", "started_at", "finished_at"], dtype="float64")
    return table.assign(
        received_at=table["started_at"],
        produced_at=table["scheduled_at"],
        priority=priority or [0] * len(table),
        outcome="done",
    )


def test_a_server_is_busy_until_the_next_task_begins_or_as_long_as_others_would_have_had_to_wait():
    run = records((0.0, 1.0, 3.0), (2.0, 3.5, 5.0), (8.0, 8.1, 9.0))
    times = busy_times(run, way=0.1)
    assert times.iloc[0] == 2.5, "the next one was there, so its start is seen"
    assert times.iloc[1] == pytest.approx(1.5 + 0.5), "nobody was there: service, and the gap of the one that was seen"
    assert times.iloc[2] == pytest.approx(0.9 + 0.5)


def test_who_was_due_after_all_before_were_finished_met_nobody():
    run = records((0.0, 1.0, 3.0), (2.0, 3.5, 5.0), (8.0, 8.1, 9.0), (8.5, 9.1, 9.2))
    assert met_nobody(run)["scheduled_at"].tolist() == [8.0]


def test_shares_count_only_while_both_wait():
    both = [(0.0, 10.0 + n, 11.0 + n) for n in range(40)]
    alone = [(100.0 + 2 * n, 100.1 + 2 * n, 101.0 + 2 * n) for n in range(40)]
    turns = [0, 0, 0, 1] * 10
    run = records(*both, *alone, priority=[*turns, *([0] * 40)])
    assert share_while_both_wait(run) == pytest.approx(0.25, abs=0.02)
