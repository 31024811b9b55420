"""The shared looks: labels that keep apart, texts, and that a figure shows itself once."""

import subprocess
import sys
from itertools import pairwise

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.experiments.notebooks import run_notebook
from labkit.measure.plots.style import counted, duration, ink_on, spread

heights = st.lists(st.floats(0, 1), max_size=8).map(sorted)


@settings(deadline=None)
@given(heights, st.floats(0.01, 0.3))
def test_labels_keep_apart_and_in_order(given_heights, gap):
    moved = spread(given_heights, gap)
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(moved))
    assert sum(moved) == pytest.approx(sum(given_heights)), "together they stay where they were"


def test_labels_far_enough_apart_are_left_alone():
    assert spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (2.34e-5, "23.4 µs"), (0.0031, "3.10 ms"), (0.25, "250 ms"), (1.2, "1.20 s"), (75.0, "75.0 s")],
)
def test_durations_have_three_digits(seconds, text):
    assert duration(seconds) == text


def test_counting():
    assert [counted(n, "task") for n in (0, 1, 1000)] == ["0 tasks", "1 task", "1,000 tasks"]


def test_numbers_on_dark_bars_are_white():
    assert ink_on("#0072B2") == "white"
    assert ink_on("#E69F00") != "white"


@pytest.mark.slow
def test_a_figure_needs_no_pyplot():
    code = (
        "import sys; from labkit.measure import plots, to_frame; "
        "plots.gantt(to_frame([]))._repr_png_(); print('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


CELLS = [
    "from labkit.measure import plots, to_frame\nplots.tasks_per_worker(to_frame([]))",
    "figure = plots.gantt(to_frame([]))",
    "display(figure)",
    "%matplotlib inline\nimport matplotlib.pyplot\nplots.timeline(to_frame([]))",
]


@pytest.mark.slow
def test_in_a_notebook_a_figure_shows_itself_once(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "figures.ipynb")
    after = run_notebook(tmp_path / "figures.ipynb", tmp_path / "results").executed
    images = [[sorted(output.data) for output in cell.outputs] for cell in nbformat.read(after, as_version=4).cells]
    once = [["image/png", "text/plain"]]
    assert images == [once, [], once, once]
