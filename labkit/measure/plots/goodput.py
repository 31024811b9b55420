"""Work and what it is good for: how much is performed, and how much of it somebody still waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from labkit.measure import metrics
from labkit.measure.plots.style import BLUE, GREY, VERMILLION, coloured_words, new_figure, say_empty, styled

#: How wide a bin of time is, in seconds.
WIDTH = 0.5


@styled
def goodput(
    records_by_name: Mapping[str, pd.DataFrame],
    *,
    scheduled_at: Sequence[float] | npt.NDArray[np.float64],
    patience: float,
    title: str | None = None,
) -> Figure:
    """A panel per name: tasks that came, attempts that were performed, and tasks done in time, each per second.

    `scheduled_at` holds when each task came, in seconds on the clock of the records. A task is done in time when its
    first success is at most `patience` seconds after that.
    """
    moments = np.sort(np.asarray(scheduled_at, dtype="float64"))
    figure = new_figure(title or _finding(records_by_name, patience), height=3.2)
    panels = figure.subplots(1, max(len(records_by_name), 1), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, records) in zip(panels, records_by_name.items(), strict=False):
        axes.set_title(name, pad=20)
        axes.set_xlabel("time [s]")
        lines = ((moments, GREY), (_finished(records), VERMILLION), (_in_time(records, patience), BLUE))
        for times, colour in lines:
            per_second = _per_second(times - moments[0]) if len(moments) else pd.Series(dtype="float64")
            axes.plot(per_second.index, per_second, color=colour)
    if not len(moments):
        say_empty(panels[0], "no task came")
        return figure
    panels[0].set_ylabel("rate [1/s]")
    panels[0].set_ylim(bottom=0)
    panels[0].set_xlim(0, moments[-1] - moments[0] + WIDTH)
    coloured_words(panels[0], [("tasks that came", GREY), ("work done", VERMILLION), ("done in time", BLUE)])
    for words in panels[0].artists:
        words.set_in_layout(False)  # they may reach above the next panel, which stays as wide as the first
    return figure


def _finished(records: pd.DataFrame) -> npt.NDArray[np.float64]:
    return metrics.successful(records)["finished_at"].to_numpy()


def _in_time(records: pd.DataFrame, patience: float) -> npt.NDArray[np.float64]:
    """When each task was first done, of those done in time."""
    first = metrics.successful(records).sort_values("finished_at").drop_duplicates("task_id")
    return first["finished_at"][first["finished_at"] - first["scheduled_at"] <= patience].to_numpy()


def _per_second(times: npt.NDArray[np.float64]) -> pd.Series:
    edges = np.arange(0.0, max(times.max(initial=0.0), WIDTH) + WIDTH, WIDTH)
    return pd.Series(np.histogram(times, edges)[0] / WIDTH, index=edges[:-1] + WIDTH / 2)


def _finding(records_by_name: Mapping[str, pd.DataFrame], patience: float) -> str:
    shares = {
        name: len(_in_time(records, patience)) / len(_finished(records))
        for name, records in records_by_name.items()
        if len(_finished(records))
    }
    if not shares:
        return "No task was done."
    worst = min(shares, key=shares.__getitem__)
    return f"With {worst}, {100 * shares[worst]:.0f} % of the work is for a task that is done in time."
