"""What a worker group does, as Prometheus metrics.

labkit_attempts_total{outcome}    attempts that ended, by outcome
labkit_service_seconds            how long handlers ran
labkit_waiting_seconds            from the scheduled time to the begin of the attempt
labkit_workers                    workers of this group in this process' care
labkit_lag{partition}             records written and not yet committed as done; asked from the broker at each scrape,
                                  which waits for it a second at most; left out while it does not answer or the topic
                                  is gone

All have the labels topic and group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from labkit.errors import PortInUse
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue.repeated_question import RepeatedQuestion
from labkit.taskqueue.topics import PartitionLag

#: Borders of the histograms, in seconds: from an empty task to a long wait.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_LABELS = ("topic", "group")


class GroupMetrics:
    """The metrics of one group in a registry of their own. `lag` and `workers` are asked at each scrape."""

    def __init__(
        self, topic: str, group: str, *, lag: Callable[[], Sequence[PartitionLag]], workers: Callable[[], int]
    ) -> None:
        self.registry = CollectorRegistry()
        self._labels = (topic, group)
        self._attempts = Counter(
            "labkit_attempts", "Attempts that ended.", (*_LABELS, "outcome"), registry=self.registry
        )
        self._service = self._histogram("labkit_service_seconds", "How long handlers ran.")
        self._waiting = self._histogram(
            "labkit_waiting_seconds", "From the scheduled time to the begin of the attempt."
        )
        self.registry.register(_AskedAtScrape(self._labels, lag, workers))

    def observe(self, record: TaskRecord) -> None:
        """Count one attempt."""
        self._attempts.labels(*self._labels, record.outcome).inc()
        self._service.observe(record.finished_at - record.started_at)
        # clocks of two computers may disagree by a little
        self._waiting.observe(max(0.0, record.started_at - record.scheduled_at))

    def serve(self, port: int) -> Callable[[], None]:
        """Answer at http://127.0.0.1:port/metrics until what is returned is called; raises `PortInUse`."""
        try:
            server, thread = start_http_server(port, addr="127.0.0.1", registry=self.registry)
        except OSError as error:
            raise PortInUse(
                f"The metrics cannot be served on port {port}: {error.strerror}. Choose another."
            ) from error

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.server_close()

        return stop

    def _histogram(self, name: str, what: str) -> Histogram:
        return Histogram(name, what, _LABELS, buckets=BUCKETS, registry=self.registry).labels(*self._labels)


class _AskedAtScrape(Collector):
    """What is not counted but asked when somebody scrapes."""

    def __init__(
        self, labels: Iterable[str], lag: Callable[[], Sequence[PartitionLag]], workers: Callable[[], int]
    ) -> None:
        self._labels = list(labels)
        self._lag = RepeatedQuestion(lag, max_age=0.0)
        self._workers = workers

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is asked before somebody scrapes."""
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now."""
        lag = GaugeMetricFamily(
            "labkit_lag", "Records written and not yet committed as done.", labels=[*_LABELS, "partition"]
        )
        known, trouble = self._lag.look()
        if trouble is None:  # what nobody knows now, as the workers say themselves, is left out
            for entry in known or ():
                lag.add_metric([*self._labels, str(entry.partition)], entry.lag)
        yield lag
        workers = GaugeMetricFamily("labkit_workers", "Workers of the group in this process' care.", labels=_LABELS)
        workers.add_metric(self._labels, self._workers())
        yield workers
