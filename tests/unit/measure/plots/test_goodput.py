"""What the work of a run was good for."""

from io import BytesIO

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from labkit.measure import plots, to_frame
from labkit.measure.plots.style import BLUE, GREY, VERMILLION
from tests.unit.measure.conftest import START

pytestmark = pytest.mark.slow


def test_goodput_counts_what_came_what_was_done_and_what_was_done_in_time(attempt):
    in_time = [attempt(n, n, n + 0.4) for n in range(4)]
    late = [attempt(3, 3, 5, task_id="late"), attempt(3, 5, 5.2, task_id="late", attempt=2)]
    records = to_frame([*in_time, *late])
    scheduled_at = [START, START + 1, START + 2, START + 3, START + 3]
    figure = plots.goodput({"no limit": records}, scheduled_at=scheduled_at, patience=1.0)
    counts = {colour: values.sum() / 2 for colour, values in lines(figure.axes[0]).items()}
    assert counts == {GREY.upper(): 5, VERMILLION.upper(): 6, BLUE.upper(): 4}
    assert figure.get_suptitle() == "With no limit, 67 % of the work is for a task that is done in time."


@pytest.mark.parametrize("title", [None, "Nothing is in time."])
def test_goodput_of_no_one_and_many_rows(records, title):
    figure = plots.goodput(
        {"one": records, "other": records}, scheduled_at=records["scheduled_at"], patience=0.5, title=title
    )
    assert figure.get_suptitle().endswith("." if title is None else title)
    assert png(figure)


def test_goodput_of_nothing():
    figure = plots.goodput({}, scheduled_at=[], patience=0.5)
    assert figure.get_suptitle() == "No task was done."
    assert png(figure)


def lines(axes):
    """What is drawn, by its colour."""
    return {to_hex(line.get_color()).upper(): line.get_ydata() for line in axes.lines}


def png(figure: Figure) -> bytes:
    image = BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
