"""Numbers from records: how tasks spread, wait, are served and pile up. Pure functions of the DataFrame.

Only successful attempts count (outcome `done`) unless a function says otherwise. A task that was done twice,
which "at least once" allows, was work twice and counts twice. Times are in seconds; "since the start" means
since the first scheduled time in the records. Without rows, numbers are NaN and tables are empty.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from labkit.measure.task_record import BAD, DONE
from labkit.parameter_checks import Count, Positive
from labkit.parameters import BadValue, checked

#: The quantiles of every summary of times.
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
#: Into how many bins a run is cut where rates are drawn over time.
BINS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Evenness:
    """How evenly tasks are spread. NaN where there is nothing to compare.

    `p_value`: how often chance alone would spread them at least as unevenly (Pearson's chi-square test).
    """

    coefficient_of_variation: float
    max_over_mean: float
    chi_square: float
    p_value: float


@checked
def successful(records: pd.DataFrame) -> pd.DataFrame:
    """The rows of the successful attempts."""
    return records[records["outcome"] == DONE]


@checked
def by_number(names: Iterable[str]) -> list[str]:
    """Names in the order in which people count: worker-2 before worker-10."""
    return sorted(set(names), key=lambda name: re.sub(r"\d+", lambda number: number[0].zfill(20), name))


@checked
def tasks_per_worker(records: pd.DataFrame, workers: Iterable[str] = ()) -> pd.Series:
    """Tasks done per worker, index worker. Name `workers` to see those that did nothing, with 0."""
    counts = successful(records).groupby("worker").size()
    return counts.reindex(by_number([*counts.index, *workers]), fill_value=0).rename("tasks").rename_axis("worker")


@checked
def tasks_per_partition(records: pd.DataFrame, partitions: int | None = None) -> pd.Series:
    """Tasks done per partition, index partition. With the number of `partitions`, empty ones show as 0."""
    counts = successful(records).groupby("partition").size()
    numbers = sorted({*counts.index, *range(partitions or 0)})
    return counts.reindex(pd.Index(numbers, dtype="int64"), fill_value=0).rename("tasks").rename_axis("partition")


@checked
def makespan(records: pd.DataFrame, since: Literal["scheduled_at", "started_at"] = "scheduled_at") -> float:
    """Seconds from the first scheduled (or, by `since`, the first started) task to the last one finished."""
    done = successful(records)
    return float(done["finished_at"].max() - done[since].min())


@checked
def throughput(records: pd.DataFrame) -> float:
    """Tasks done per second over the makespan."""
    span = makespan(records)
    return len(successful(records)) / span if span > 0 else float("nan")


@checked
def offered_and_finished(records: pd.DataFrame) -> pd.DataFrame:
    """One row per task, index task_id: when it was first scheduled and when it left, both since the start.

    Columns offered_s and finished_s. A task leaves with its first success; one that never succeeded leaves
    with its last failure.
    """
    tasks = records[records["outcome"] != BAD].groupby("task_id")
    succeeded = successful(records).groupby("task_id")["finished_at"].min()
    offered = tasks["scheduled_at"].min()
    finished = succeeded.reindex(offered.index).fillna(tasks["finished_at"].max())
    return pd.DataFrame({"offered_s": offered - offered.min(), "finished_s": finished - offered.min()})


@checked
def rates(records: pd.DataFrame, bins: Count = BINS, turned_away: pd.DataFrame | None = None) -> pd.DataFrame:
    """Tasks per second over time. Index time_s, the middle of each bin; columns offered_per_s and served_per_s.

    A task is offered when it was first scheduled, and served when it left (see `offered_and_finished`).

    Given what was turned away (see `labkit.measure.records`), there is a column accepted_per_s between the two:
    that is what left a record, and what was turned away is offered on top, at its moment, as often as it came. What
    was turned away before the start or after the last task left is not in a bin.
    """
    tasks = offered_and_finished(records)
    edges = _edges(tasks["finished_s"].max(), bins)
    counts = {"offered": np.histogram(tasks["offered_s"], edges)[0]}
    if turned_away is not None:
        counts["accepted"] = counts["offered"]
        since_start = turned_away["at"] - records["scheduled_at"].min()
        counts["offered"] = counts["accepted"] + np.histogram(since_start, edges, weights=turned_away["tasks"])[0]
    counts["served"] = np.histogram(tasks["finished_s"], edges)[0]
    per_second = {f"{name}_per_s": count / np.diff(edges) for name, count in counts.items()}
    return pd.DataFrame(per_second, index=pd.Index(_middles(edges), name="time_s"))


@checked
def lag(records: pd.DataFrame) -> pd.Series:
    """Tasks offered and not yet finished, index time_s since the start: the value holds until the next time.

    Only tasks that left a record are seen.
    """
    tasks = offered_and_finished(records)
    times = pd.concat([tasks["offered_s"], tasks["finished_s"]], ignore_index=True)
    changes = pd.Series([1] * len(tasks) + [-1] * len(tasks), index=times, dtype="int64")
    return changes.groupby(level=0).sum().cumsum().rename("lag").rename_axis("time_s")


@checked
def times(records: pd.DataFrame) -> pd.DataFrame:
    """The times of each successful attempt in seconds, shape (attempts, 3), index that of the records.

    waiting_s from scheduled to started, service_s from started to finished, sojourn_s from scheduled to
    finished, which is their sum.
    """
    done = successful(records)
    return pd.DataFrame(
        {
            "waiting_s": done["started_at"] - done["scheduled_at"],
            "service_s": done["finished_at"] - done["started_at"],
            "sojourn_s": done["finished_at"] - done["scheduled_at"],
        }
    )


@checked
def time_quantiles(records: pd.DataFrame) -> pd.DataFrame:
    """Waiting, service and sojourn time in seconds: one row each, columns p50, p90, p99, mean, max."""
    return pd.DataFrame({name: summary(seconds) for name, seconds in times(records).items()}).T


@checked
def waiting_quantiles(records: pd.DataFrame, bins: Count = BINS) -> pd.DataFrame:
    """Waiting time in seconds over time: index time_s, the middle of each bin; columns p50 and p99.

    A task belongs to the bin in which it started; a bin in which none did is NaN.
    """
    done = successful(records)
    start = records["scheduled_at"].min()
    edges = _edges(done["finished_at"].max() - start, bins)
    middles = pd.Index(_middles(edges), name="time_s")
    waiting = times(records)["waiting_s"]
    place = np.clip(np.searchsorted(edges, done["started_at"] - start, side="right") - 1, 0, max(len(middles) - 1, 0))
    if not len(middles):
        return pd.DataFrame({"p50": [], "p99": []}, index=middles, dtype="float64")
    by_bin = waiting.groupby(place)
    table = pd.DataFrame({name: by_bin.quantile(QUANTILES[name]) for name in ("p50", "p99")})
    return table.reindex(range(len(middles))).set_axis(middles)


@checked
def recovery_time(
    records: pd.DataFrame,
    overload_ends: float,
    *,
    overload_begins: float,
    width: Positive = 1.0,
    bound: float | None = None,
) -> float:
    """Seconds from the end of an overload until tasks wait about as long as before it; inf if they never do.

    Both moments are in seconds since the start. The waiting time at a moment is the median over the tasks that started
    in the `width` seconds up to it. It has recovered when it is for the first time at most `bound` seconds above the
    median of all tasks that started before the overload began; by default that is the mean service time, because in a
    calm time the median itself may be 0. Only moments at which a task starts are looked at.

    Without a task before the overload it is NaN. Raises `BadValue` if the overload ends before it begins.
    """
    if not overload_begins < overload_ends:
        raise BadValue(
            f"'overload_begins' of recovery_time is {overload_begins:g} and 'overload_ends' {overload_ends:g}; give "
            "an overload that begins before it ends."
        )
    seconds = times(records)
    started = (successful(records)["started_at"] - records["scheduled_at"].min()).rename("started_s")
    waiting = seconds["waiting_s"].set_axis(pd.to_timedelta(started, unit="s")).sort_index(kind="stable")
    before = waiting[waiting.index < pd.Timedelta(seconds=overload_begins)]
    if before.empty:
        return float("nan")
    allowed = before.median() + (seconds["service_s"].mean() if bound is None else bound)
    recent = waiting.rolling(pd.Timedelta(seconds=width)).median()
    recovered = recent.index[(recent.index >= pd.Timedelta(seconds=overload_ends)) & (recent <= allowed)]
    return float(recovered[0].total_seconds() - overload_ends) if len(recovered) else float("inf")


@checked
def summary(seconds: pd.Series) -> pd.Series:
    """p50, p90, p99, mean and max, in the unit of the values."""
    values = {name: seconds.quantile(q) for name, q in QUANTILES.items()}
    return pd.Series({**values, "mean": seconds.mean(), "max": seconds.max()}, dtype="float64", name=seconds.name)


@checked
def lateness(receipts: pd.DataFrame) -> pd.Series:
    """How far the generator of load was behind its schedule: p50, p90, p99, mean, max in seconds, of receipts."""
    return summary(receipts["lateness"])


@checked
def utilisation(records: pd.DataFrame, workers: Iterable[str] = ()) -> pd.Series:
    """Busy time over the makespan per worker, between 0 and 1, index worker. Failed attempts are busy time too.

    The makespan counts from the first start, and is the same for all workers, also for one that came late.
    """
    busy = (records["finished_at"] - records["started_at"]).groupby(records["worker"]).sum()
    span = float(records["finished_at"].max() - records["started_at"].min())
    every = busy.reindex(by_number([*busy.index, *workers]), fill_value=0.0)
    return (every / (span if span > 0 else float("nan"))).rename("utilisation").rename_axis("worker")


@checked
def side_by_side(records: pd.DataFrame) -> pd.Series:
    """For each attempt the number of the lane, from 1, in which it can be drawn without overlapping another.

    A worker with many threads does many tasks at once; the largest number is the most that ran at the same time.
    """
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    lanes: dict[Hashable, int] = {}
    for index, begin, end in records[["started_at", "finished_at"]].sort_values("started_at").itertuples():
        while busy and busy[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lanes[index] = heapq.heappop(free) if free else len(busy) + 1
        heapq.heappush(busy, (end, lanes[index]))
    return pd.Series(lanes, dtype="int64").reindex(records.index)


@checked
def evenness(counts: pd.Series | Sequence[int], expected: Sequence[float] | None = None) -> Evenness:
    """How even these counts are, against equal shares or against shares in proportion to `expected`.

    Coefficient of variation: population standard deviation over the mean. Chi-square: Pearson 1900, with one
    degree of freedom less than there are counts that can be above 0; its p-value is trustworthy when about
    five or more are expected in each. Raises `BadValue` when `expected` does not fit the counts.
    """
    values = np.asarray(counts, dtype="float64")
    mean = values.mean() if values.size else 0.0
    statistic, p_value = _chi_square(values, np.ones_like(values) if expected is None else np.asarray(expected, float))
    return Evenness(
        coefficient_of_variation=float(values.std() / mean) if mean else float("nan"),
        max_over_mean=float(values.max() / mean) if mean else float("nan"),
        chi_square=statistic,
        p_value=p_value,
    )


def _chi_square(counts: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    # a second's import, which nothing else here needs
    from scipy.stats import chisquare

    if counts.shape != weights.shape or (weights < 0).any() or (counts.size and not weights.any()):
        raise BadValue(
            f"'expected' of evenness has {weights.size} shares for {counts.size} counts; give one of 0 or more for "
            "each, not all 0."
        )
    possible = weights > 0
    if counts[~possible].any():
        return float("inf"), 0.0
    counts, weights = counts[possible], weights[possible]
    if counts.size < 2 or not counts.any():
        return float("nan"), float("nan")
    result = chisquare(counts, weights * (counts.sum() / weights.sum()))
    return float(result.statistic), float(result.pvalue)


def _edges(span: float, bins: Count) -> np.ndarray:
    return np.linspace(0.0, span, bins + 1) if span > 0 else np.empty(0)


def _middles(edges: np.ndarray) -> np.ndarray:
    return np.convolve(edges, [0.5, 0.5], mode="valid") if edges.size else edges
