"""Figures: their files, their page, and what counts as reached."""

import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.figure import RESULTS, Figure, alternate, load, measured, ratios, save
from benchmarks.report import REPORT, draw
from benchmarks.rivals import consumer_settings, producer_settings


def figure(values, better="higher", at_least=0.8, aim=0.95, rival_settings=None) -> Figure:
    return measured(
        "x",
        "a ratio",
        values,
        unit="share",
        better=better,
        at_least=at_least,
        aim=aim,
        how="By hand.",
        rival="nothing.",
        rival_settings=rival_settings,
    )


@pytest.mark.parametrize(
    ("values", "better", "at_least", "aim", "reached"),
    [
        ([0.95], "higher", 0.8, 0.95, "aim"),
        ([0.94], "higher", 0.8, 0.95, "at least"),
        ([0.79], "higher", 0.8, 0.95, "no"),
        ([1.2], "lower", 2.5, 1.2, "aim"),
        ([2.5], "lower", 2.5, 1.2, "at least"),
        ([2.6], "lower", 2.5, 1.2, "no"),
        ([0.1, 0.9, 0.96], "higher", 0.8, 0.95, "at least"),  # the median counts
        ([1.0], "higher", None, None, ""),
    ],
)
def test_what_counts_as_reached(values, better, at_least, aim, reached):
    assert figure(values, better, at_least, aim).reached == reached


def test_where_every_run_must_hold_the_worst_is_the_value(tmp_path):
    lower = replace(figure([1.0, 3.0, 2.0], "lower", 2.5, 1.2), judged="worst")
    assert (lower.value, lower.reached) == (3.0, "no")
    assert replace(lower, better="higher").value == 1.0
    assert '"median": 2.0' in save(lower, tmp_path).read_text()
    assert "The worst of 3 repeats on" in draw([lower])
    assert load(save(lower, tmp_path)) == lower


def test_a_figure_comes_back_from_its_file(tmp_path):
    kept = figure([0.9, 0.8, 1.0])
    assert load(save(kept, tmp_path)) == kept


def test_the_file_holds_value_and_spread_and_no_path(tmp_path):
    text = save(figure([0.9, 0.8, 1.0]), tmp_path).read_text()
    assert '"median": 0.9' in text
    assert str(Path.home()) not in text


def test_nothing_names_the_machine_or_its_owner(tmp_path):
    text = save(figure([0.9]), tmp_path).read_text()
    assert platform.node() not in json.loads(text)["machine"]
    assert "cores" in json.loads(text)["machine"]


def test_the_rival_s_settings_are_kept_as_plain_values(tmp_path):
    kept = figure([0.9], rival_settings={"acks": "all", "metrics": False, "assignors": [dict]})
    assert json.loads(save(kept, tmp_path).read_text())["rival_settings"] == {
        "acks": "all",
        "metrics": False,
        "assignors": ["dict"],
    }
    assert "Its settings: `acks = all, metrics = False, assignors = ['dict']`." in draw([kept])


@pytest.mark.parametrize("transport", ["kafka-python", "confluent-kafka"])
def test_the_rival_has_the_settings_of_labkit(transport):
    assert producer_settings(transport)["acks"] == "all"
    assert not consumer_settings(transport)["enable_auto_commit"]


def test_pairs_are_measured_in_turn():
    order = []
    ours, rivals = alternate(
        lambda: order.append("ours") or float(len(order)), lambda: order.append("rival") or 4.0, repeats=3
    )
    assert order == ["ours", "rival"] * 3
    assert ratios(ours, rivals) == [0.25, 0.75, 1.25]


def test_the_page_says_what_fell_short():
    page = draw([figure([0.5, 0.6, 0.7])])
    assert "| a ratio | 60.0 % (50.0 % to 70.0 %) | 80.0 % | 95.0 % | **no** |" in page
    assert "Held against nothing." in page


def test_the_committed_page_is_what_the_committed_files_give():
    assert REPORT.read_text(encoding="utf-8") == draw(load(path) for path in RESULTS.glob("*.json"))
