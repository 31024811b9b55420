"""What the records of a run with one server say: when it was busy, who met nobody, who was started when both waited."""

from __future__ import annotations

import numpy as np
import pandas as pd

from labkit.measure import metrics


def met_nobody(records: pd.DataFrame) -> pd.DataFrame:
    """The tasks that were due when all that had begun before was finished."""
    order = records.sort_values("started_at")
    return order[order["scheduled_at"] > order["finished_at"].cummax().shift()]


def busy_times(records: pd.DataFrame, way: float) -> pd.Series:
    """For how many seconds each task kept the one server busy: until the next began, if that one was there already.

    `way` is how long a task that meets nobody takes to its start, in seconds.
    """
    order = records.sort_values("started_at")
    until_next = order["started_at"].diff().shift(-1)
    waited = order["scheduled_at"].shift(-1) + way < order["finished_at"]
    service = metrics.times(order)["service_s"]
    return until_next.where(waited, service + (until_next - service)[waited].mean())


def share_while_both_wait(records: pd.DataFrame) -> float:
    """The share of rank 1 among the starts at which a task of either rank was waiting."""
    starts = records.sort_values("received_at")
    moments = starts["received_at"].to_numpy()
    others_wait = np.ones(len(starts), dtype=bool)
    for rank in (0, 1):
        own = starts[starts["priority"] == rank]
        come = np.searchsorted(np.sort(own["produced_at"].to_numpy()), moments, side="left")
        gone = np.searchsorted(own["received_at"].to_numpy(), moments, side="left")
        # one more than the one that may just start, and than one that is still on its way from Kafka
        others_wait &= come - gone > 2
    return float((starts["priority"][others_wait] == 1).mean())
