"""Each figure shows what the records say; assertions are on what is drawn, not on pixels."""

from io import BytesIO

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from labkit.measure import FAILED, metrics, plots, receipts_to_frame, to_frame
from labkit.measure.plots.style import BLUE, PALE, VERMILLION, partition_colour, priority_colour, worker_colour
from labkit.measure.records import TurnedAway, turned_away_frame
from labkit.theory.balls_in_bins import expected_fullest_load, load_band

pytestmark = pytest.mark.slow

OF_RECORDS = {
    "tasks_per_worker": plots.tasks_per_worker,
    "tasks_per_partition": plots.tasks_per_partition,
    "gantt": plots.gantt,
    "waiting_ecdf": plots.waiting_ecdf,
    "timeline": plots.timeline,
    "worker_output": plots.worker_output,
    "partition_small_multiples": lambda records, **options: plots.partition_small_multiples(
        {"key_hash": records, "round_robin": records}, **options
    ),
}


def png(figure: Figure) -> bytes:
    image = BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def texts(figure: Figure) -> list[str]:
    """Everything written inside the figure's axes."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def heading(figure: Figure) -> str:
    return figure.get_suptitle()


@pytest.mark.parametrize("name", OF_RECORDS)
def test_every_figure_is_drawn_from_no_one_and_many_rows(name, records):
    before, given = dict(mpl.rcParams), records.copy()
    figure = OF_RECORDS[name](records)
    image = Image.open(BytesIO(png(figure)))
    assert image.size == pytest.approx([100 * inches for inches in figure.get_size_inches()], abs=1)
    assert len(set(image.convert("RGB").get_flattened_data())) > 10, "something is drawn"
    assert heading(figure).endswith(".")
    assert dict(mpl.rcParams) == before
    pd.testing.assert_frame_equal(records, given)


def test_the_producers_output_is_drawn_from_no_one_and_many_rows(receipts):
    assert heading(plots.producer_output(receipts)).endswith(".")
    assert png(plots.producer_output(receipts))


@pytest.mark.parametrize("name", OF_RECORDS)
def test_a_title_can_be_given(name, many):
    title = "The third worker idles because two partitions feed only two."
    figure = OF_RECORDS[name](many, title=title)
    assert heading(figure) == title


def test_a_long_title_is_broken_into_lines_and_stays_inside(many):
    figure = plots.tasks_per_worker(many, title="A finding that takes far too many words to be said in one line " * 3)
    figure.draw_without_rendering()
    assert "\n" in heading(figure)
    title = next(text for text in figure.texts if text.get_text() == heading(figure))
    assert title.get_window_extent().x1 < figure.bbox.x1


def test_tasks_per_worker(many):
    figure = plots.tasks_per_worker(many, workers=["worker-3"])
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [150, 150, 0]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [
        worker_colour(f"worker-{number}").lower() for number in (1, 2, 3)
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["worker-1", "worker-2", "worker-3"]
    assert texts(figure) == ["150", "150", "0", "even share 100"]
    assert axes.lines[0].get_xdata() == [100, 100]
    assert "worker-3 did none" in heading(figure)


def test_tasks_per_partition():
    counts = {0: 157, 1: 177, 2: 184, 3: 152, 4: 184, 5: 146}
    figure = plots.tasks_per_partition(counts)
    (axes,) = figure.axes
    bars = [patch for patch in axes.patches if patch.get_width() == 0.7]
    assert [bar.get_height() for bar in bars] == list(counts.values())
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [partition_colour(p).lower() for p in counts]
    mean, fullest = (line.get_ydata()[0] for line in axes.lines)
    assert mean == 1000 / 6
    assert fullest == expected_fullest_load(1000, 6)
    low, high = load_band(1000, 6)
    (band,) = [patch for patch in axes.patches if patch.get_width() == 1]
    assert (band.get_y(), band.get_y() + band.get_height()) == (low, high)
    assert {"157", "mean 166.7", f"95 % band {low} to {high}", "fullest expected 183.2"} <= set(texts(figure))
    assert "all within" in heading(figure)


def test_tasks_per_partition_takes_records_and_shows_empty_partitions(many):
    figure = plots.tasks_per_partition(many, partitions=3, band=None)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [150, 150, 0]
    assert texts(figure) == ["150", "150", "0", "mean 100"]


def test_small_multiples_share_their_scale():
    figure = plots.partition_small_multiples({"even": {0: 50, 1: 50}, "uneven": {0: 90, 1: 10}})
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert [bar.get_height() for bar in right.patches if bar.get_width() == 0.7] == [90, 10]
    assert left.get_title(loc="left") == "even\nmax/mean 1.00"
    assert heading(figure) == "Most even is even (max/mean 1.00), least even uneven (1.80)."


def test_many_panels_are_broken_into_rows():
    figure = plots.partition_small_multiples({f"run {n}": {0: n, 1: 5} for n in range(7)})
    assert sum(axes.axison for axes in figure.axes) == 7
    assert png(figure)


def test_gantt(attempt):
    records = to_frame(
        [
            attempt(0, 1, 2, partition=0),
            attempt(0, 2, 5, partition=1),
            attempt(0, 1, 4, partition=1, worker="worker-2", outcome=FAILED),
        ]
    )
    start = records["scheduled_at"].min()
    figure = plots.gantt(
        records, workers=["worker-3"], events={"worker-2 killed": start + 4, "taken over": start + 4.5}
    )
    (axes,) = figure.axes
    drawn = {
        (round(box.x0), round(box.x1), round(box.y0 + 0.35)): (to_hex(bars.get_facecolor()[0]), bars.get_hatch())
        for bars in axes.collections
        for box in (path.get_extents() for path in bars.get_paths())
    }
    assert drawn == {
        (1, 2, 0): (partition_colour(0).lower(), None),
        (2, 5, 0): (partition_colour(1).lower(), None),
        (1, 4, 1): (partition_colour(1).lower(), "////"),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["worker-1", "worker-2", "worker-3"]
    assert [line.get_xdata()[0] for line in axes.lines] == [4, 4.5]
    assert texts(figure) == ["idle", "worker-2 killed", "taken over"]


def test_labels_of_events_close_together_do_not_overlap(many):
    start = many["scheduled_at"].min()
    names = ["worker-2 is killed", "the group notices", "its partition is taken over", "worker-4 joins"]
    figure = plots.gantt(many, events={name: start + 1.0 + 0.02 * n for n, name in enumerate(names)})
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_waiting_ecdf(many):
    figure = plots.waiting_ecdf(many, by="worker")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    for line, worker in zip(axes.lines, ("worker-1", "worker-2"), strict=True):
        waiting = metrics.times(many[many["worker"] == worker])["waiting_s"].clip(lower=1e-4)
        assert line.get_xdata()[-1] == waiting.max()
        assert line.get_ydata()[-1] == 1
        assert line.get_color() == worker_colour(worker)
    assert sorted(text.split(",")[0] for text in texts(figure)) == ["worker-1", "worker-2"]
    assert "100 µs drawn there" in axes.get_xlabel(), "what a logarithm cannot show is said"


@pytest.mark.parametrize("by", ["priority", "partition", "worker"])
def test_the_names_of_the_lines_stay_inside_and_apart(by):
    rng = np.random.default_rng(1)
    worker = rng.integers(1, 6, 600)
    records = (
        to_frame([])
        .reindex(range(600))
        .assign(
            worker=[f"worker-{number}" for number in worker],
            partition=worker,
            priority=worker,
            scheduled_at=0.0,
            started_at=rng.exponential(0.02 * worker),
            outcome="done",
        )
    )
    figure = plots.waiting_ecdf(records, by=by)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])
    assert all(figure.bbox.x0 < box.x0 and box.x1 < figure.bbox.x1 for box in boxes)


def test_times_done():
    figure = plots.times_done({"early": [1, 0, 0, 1], "late": [1, 3, 1], "well": [1, 1, 1, 1]})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (mesh,) = axes.collections
    drawn = [[to_hex(mesh.to_rgba(cell)) for cell in row if not np.ma.is_masked(cell)] for row in mesh.get_array()]
    lost, once, again = (colour.lower() for colour in (VERMILLION, PALE, BLUE))
    assert drawn == [[once, lost, lost, once], [once, again, once], [once] * 4]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["early", "late", "well"]
    assert texts(figure) == ["0", "0", "3", "2 lost", "1 done again", "each once"]
    assert heading(figure) == "11 tasks: 2 lost, 1 done again."


@pytest.mark.parametrize("counts", [{}, {"nothing": []}, {"one": [1]}, {"many": [1, 2] * 300}])
def test_times_done_of_no_one_and_many_tasks(counts):
    assert png(plots.times_done(counts))
    assert heading(plots.times_done(counts)).endswith(".")
    assert heading(plots.times_done(counts, title="None is lost")) == "None is lost"


def test_timeline(many):
    figure = plots.timeline(many)
    rates, lag, waiting = figure.axes
    assert rates.get_xlim() == lag.get_xlim() == waiting.get_xlim()
    expected = metrics.rates(many, bins=30)
    assert rates.lines[0].get_ydata().tolist() == expected["offered_per_s"].tolist()
    assert rates.lines[1].get_ydata().tolist() == expected["served_per_s"].tolist()
    assert lag.lines[0].get_ydata().max() == metrics.lag(many).max()
    assert set(texts(figure)) == {"offered", "served", f"at most {metrics.lag(many).max()}", "p50", "p99"}


def test_timeline_of_a_run_that_turned_tasks_away(many):
    at = many["scheduled_at"].iloc[100]
    away = turned_away_frame([TurnedAway(at=at, action="refuse", priority=0)] * 50)
    figure = plots.timeline(many, turned_away=away)
    offered, served, accepted = figure.axes[0].lines
    rates, without = metrics.rates(many, bins=30, turned_away=away), metrics.rates(many, bins=30)
    assert offered.get_ydata().tolist() == rates["offered_per_s"].tolist()
    assert accepted.get_ydata().tolist() == without["offered_per_s"].tolist()
    assert served.get_ydata().tolist() == without["served_per_s"].tolist()
    assert {"offered", "accepted", "served"} <= set(texts(figure))
    assert heading(figure).replace("\n", " ").startswith("50 tasks were turned away. The lag rose to ")
    assert png(figure)
    one = plots.timeline(many, turned_away=away.assign(tasks=1))
    assert heading(one).startswith("1 task was turned away.")


def test_a_timeline_without_records_of_what_was_turned_away():
    away = turned_away_frame([TurnedAway(at=1.0, action="refuse", priority=0)])
    assert heading(plots.timeline(to_frame([]), turned_away=away)) == "No task was done."


def test_producer_output(receipt):
    refused = receipt(3, partition=None, offset=None, acknowledged_at=None, error="no answer")
    receipts = receipts_to_frame([receipt(1), receipt(2, partition=1, offset=7), refused, *map(receipt, range(4, 30))])
    figure = plots.producer_output(receipts, texts={"task-1": "Task 1: Process file A"})
    written = texts(figure)
    assert written[:10] == [
        *("sent after", "task", "stored in", "at", "acknowledged after"),
        *("0.000 s", "Task 1: Process file A", "partition 0", "offset 1", "3.00 ms"),
    ]
    assert written[10:15] == ["0.000 s", "task-2", "partition 1", "offset 7", "3.00 ms"]
    assert written[15:20] == ["0.000 s", "task-3", "–", "–", "refused: no answer"]
    assert written[-1] == "… and 17 more"
    assert heading(figure) == "The broker acknowledged 28 of 29 tasks, half of them within 3.00 ms."


def test_worker_output(attempt):
    records = to_frame(
        [
            attempt(0, 0, 1.25, number=1),
            attempt(0, 1, 2, number=2, worker="worker-2", partition=1, outcome=FAILED, error="ValueError: no"),
        ]
    )
    figure = plots.worker_output(records, texts={"task-1": "Task 1: Process file A" + " and more" * 9})
    written = texts(figure)
    assert written[6:12] == [
        *("1.250 s", "worker-1", "partition 0", "offset 1"),
        *("Task 1: Process file A and more and m…", "1.25 s"),
    ]
    assert written[12:18] == ["2.000 s", "worker-2", "partition 1", "offset 2", "task-2", "failed: ValueError: no"]
    assert written[-1] == "that is all"
    assert heading(figure) == "1 worker did 1 task; 1 attempt failed."


def test_a_listing_of_uuids_and_long_names_stays_inside(attempt):
    long = attempt(task_id="8f14e45f-ceea-467f-a1d6-5b1c2f7f8a3b", worker="worker-at-home-12", offset=123456, number=1)
    figure = plots.worker_output(to_frame([long] * 20))
    figure.draw_without_rendering()
    assert all(text.get_window_extent().x1 < figure.bbox.x1 for text in figure.axes[0].texts)


def test_three_lines():
    figure = plots.three_lines(
        [1, 2, 3],
        formula=[6, 3, 3],
        simulation=[6, 3.1, 3.1],
        broker=[6.3, 3.2, 3.5],
        tolerance=0.1,
        xlabel="workers",
        ylabel="makespan [s]",
    )
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[6, 3, 3], [6, 3.1, 3.1], [6.3, 3.2, 3.5]]
    band = axes.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((2.7, 6.6))
    assert sorted(texts(figure)) == ["broker", "formula ± 10 %", "simulation"]
    assert heading(figure) == "The broker leaves the formula by more than 10 % at 1 of 3 points."
    assert png(figure)


@pytest.mark.parametrize("points", [0, 1, 40])
def test_three_lines_of_no_one_and_many_points(points):
    line = [float(n) for n in range(points)]
    figure = plots.three_lines(
        line, formula=line, simulation=line, broker=line, tolerance=0.05, xlabel="workers", ylabel="tasks/s"
    )
    assert png(figure)


def test_three_lines_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="as many of each"):
        plots.three_lines([1], formula=[1], simulation=[], broker=[1], tolerance=0.1, xlabel="x", ylabel="y")


def test_colours_belong_to_names_not_to_places(many):
    only_second = many[many["worker"] == "worker-2"]
    (bar,) = plots.tasks_per_worker(only_second).axes[0].patches
    assert to_hex(bar.get_facecolor()) == worker_colour("worker-2").lower()
    assert len({worker_colour(f"worker-{n}") for n in range(1, 7)}) == 6
    assert len({priority_colour(n) for n in range(3)}) == 3
    first = {worker_colour(f"worker-{n}") for n in (1, 2, 3)}
    assert first.isdisjoint({partition_colour(n) for n in (0, 1, 2)}), "a partition is not taken for a worker"
