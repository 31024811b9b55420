"""The figures. Each takes records (or receipts) and returns a matplotlib Figure; none shows or saves it.

As the last line of a cell, a figure shows itself. `figure.savefig(path)` writes it.
"""

from labkit.measure.plots.back_pressure import timeline
from labkit.measure.plots.fate_counts import fate_counts
from labkit.measure.plots.gantt_chart import gantt
from labkit.measure.plots.goodput import goodput
from labkit.measure.plots.journeys import journeys
from labkit.measure.plots.outcomes import times_done
from labkit.measure.plots.partition_counts import tasks_per_partition
from labkit.measure.plots.prediction import three_lines
from labkit.measure.plots.pressures import pressures
from labkit.measure.plots.producer_output import producer_output
from labkit.measure.plots.small_multiples import partition_small_multiples
from labkit.measure.plots.waiting import waiting_ecdf
from labkit.measure.plots.waiting_by_utilisation import waiting_by_utilisation
from labkit.measure.plots.who_waits import who_waits
from labkit.measure.plots.worker_counts import tasks_per_worker
from labkit.measure.plots.worker_output import worker_output

__all__ = [
    "fate_counts",
    "gantt",
    "goodput",
    "journeys",
    "partition_small_multiples",
    "pressures",
    "producer_output",
    "tasks_per_partition",
    "tasks_per_worker",
    "three_lines",
    "timeline",
    "times_done",
    "waiting_by_utilisation",
    "waiting_ecdf",
    "who_waits",
    "worker_output",
]
