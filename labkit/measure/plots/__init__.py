"""The figures. Each takes records (or receipts) and returns a matplotlib Figure; none shows or saves it.

As the last line of a cell, a figure shows itself. `figure.savefig(path)` writes it.
"""

from labkit.measure.plots.back_pressure import timeline
from labkit.measure.plots.gantt_chart import gantt
from labkit.measure.plots.outcomes import times_done
from labkit.measure.plots.partition_counts import tasks_per_partition
from labkit.measure.plots.prediction import three_lines
from labkit.measure.plots.producer_output import producer_output
from labkit.measure.plots.small_multiples import partition_small_multiples
from labkit.measure.plots.waiting import waiting_ecdf
from labkit.measure.plots.worker_counts import tasks_per_worker
from labkit.measure.plots.worker_output import worker_output

__all__ = [
    "gantt",
    "partition_small_multiples",
    "producer_output",
    "tasks_per_partition",
    "tasks_per_worker",
    "three_lines",
    "timeline",
    "times_done",
    "waiting_ecdf",
    "worker_output",
]
