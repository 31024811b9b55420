"""The figures. Each takes records (or receipts) and returns a matplotlib Figure; none shows or saves it.

As the last line of a cell, a figure shows itself. `figure.savefig(path)` writes it.
"""

from labkit.measure.plots.counts import partition_small_multiples, tasks_per_partition, tasks_per_worker
from labkit.measure.plots.gantt_chart import gantt, journeys
from labkit.measure.plots.output import producer_output, worker_output
from labkit.measure.plots.overload import goodput, pressures, timeline
from labkit.measure.plots.prediction import three_lines, waiting_by_utilisation
from labkit.measure.plots.task_fates import fate_counts, times_done
from labkit.measure.plots.waiting_times import waiting_ecdf, who_waits

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
