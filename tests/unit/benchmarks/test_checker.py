"""The histories that the checker is measured on are what they are said to be."""

from __future__ import annotations

import json

from benchmarks.checker import events, main
from labkit.faults import DUPLICATE, LOST, check, write_history


def test_where_all_is_well_it_is():
    verdict = check(events(5000, wrong=False))
    assert verdict.ok(allow=(LOST,)), verdict  # the last tasks are cut off
    assert verdict.counts[LOST] <= 1


def test_where_much_is_wrong_half_is_lost_and_the_rest_done_twice():
    counts = check(events(5000, wrong=True)).counts
    assert counts[LOST] > 300
    assert counts[DUPLICATE] > 300


def test_a_run_says_what_it_took(tmp_path, capsys):
    main(write_history(events(500, wrong=False), tmp_path / "good.parquet"))
    told = json.loads(capsys.readouterr().out)
    assert told["seconds"] > 0
    assert told["megabytes"] > 10
    assert told["tasks"] > 50
