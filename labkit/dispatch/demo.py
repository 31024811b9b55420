"""A whole system in one process and its child: producers, a dispatcher or a bridge, Celery's worker, for a while.

A demo has names of its own on Kafka and in Redis, so that nobody else's tasks come into its sum, and takes all of it
away at the end.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import repeat
from typing import NamedTuple, Self

from labkit.celery_app.application import broker_url
from labkit.celery_app.beat import Beat
from labkit.celery_app.capacity import connect
from labkit.celery_app.kinds import SLEEP_KIND
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch.account import Account, account, ids_in_celery, unsettled
from labkit.dispatch.dispatcher import Dispatcher, group_of
from labkit.dispatch.factory import BRIDGE_GROUP, DISPATCHER_GROUP, class_topic, make_bridge, make_dispatcher
from labkit.dispatch.monitor import DispatcherMonitor, DispatcherSnapshot
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.errors import WorkerFailed
from labkit.lab import Lab
from labkit.measure.fates import fate_of_each
from labkit.measure.records import Receipt
from labkit.policies import PriorityClass
from labkit.process.child_process import STOP_TIMEOUT
from labkit.process.signals import held_back
from labkit.resource import Resource
from labkit.settings import Settings
from labkit.taskqueue.arrivals import poisson
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import STOCK_KIND, Task, new_task, stock_messages
from labkit.taskqueue.topics import Topics

#: How many tasks Celery performs at once, in threads of one worker.
SERVERS = 2
#: The mean service time of the priority demo, in seconds; the times are exponential.
MEAN_SERVICE = 0.05
#: The classes of the priority demo. Only the low one has a limit, so that only it is shed.
CLASSES = (
    PriorityClass(name="high", weight=4, share=0.75, relative_deadline=0.5),
    PriorityClass(name="low", weight=1, share=0.25, relative_deadline=5.0, limit=100),
)
#: What each class offers of what the servers can do. Together it is too much, and somebody has to pay.
UTILISATIONS = (0.9, 0.3)
#: How many messages the bridge demo produces per second.
BRIDGE_RATE = 20.0
BRIDGE_TOPIC = "task_queue"
#: So often that a short demo shows it.
BEAT_SETTINGS = {"beat_heartbeat": "2", "beat_lag": "5"}


class Source(NamedTuple):
    """What is produced to one topic: Poisson arrivals, `rate` per second, of these tasks."""

    topic: str
    rate: float
    tasks: Callable[[random.Random], Iterator[Task]]


class Demo(Resource):
    """Runs from `start` until `stop`, which gives the sum. A context manager; it stops at the end in any case.

    What `beat` sends is not part of the sum: those tasks begin in Celery, not on Kafka.
    """

    def __init__(
        self,
        lab: Lab,
        topics: Topics,
        dispatcher: Dispatcher,
        sources: Sequence[Source],
        *,
        group: str,
        seed: int,
        settings: Settings,
        beat: Beat | None = None,
    ) -> None:
        self.beat = beat
        self._topics = topics
        self._group = group
        self._settings = settings
        self._client = connect(broker_url(settings, lab))
        self._dispatcher = dispatcher
        self._worker = CeleryWorker(
            lab, pool="threads", concurrency=SERVERS, settings=settings, log_dir=settings.results_dir / "logs"
        )
        self._watch = DispatcherMonitor(
            lab, topics, dispatcher, group=group, limit=settings.celery_limit, settings=settings
        )
        self._sources = [
            _SourceProducer(topics, source, random.Random(f"{seed}:{source.topic}"), settings) for source in sources
        ]
        self._running = ExitStack()

    def start(self) -> Self:
        """Start Celery's worker, the dispatcher and, when both are ready, Beat and the producers."""
        self._running.enter_context(self._watch)
        self._running.enter_context(self._worker)
        self._running.enter_context(self._dispatcher)
        if self.beat is not None:
            self._running.enter_context(self.beat)
        for source in self._sources:
            self._running.callback(source.stop)
            source.start()
        return self

    def look(self) -> DispatcherSnapshot:
        """How it stands, some seconds ago where Kafka does not answer. Raises `WorkerFailed` if a part of it could not
        go on.
        """
        self._worker.check()
        if self.beat is not None:
            self.beat.check()
        for source in self._sources:
            source.check()
        return self._watch.glance()

    def produced(self) -> dict[str, int]:
        """How many tasks the broker has acknowledged so far, by topic."""
        return {source.topic: source.acknowledged for source in self._sources}

    def refused(self) -> int:
        """How many tasks the broker has not acknowledged: they do not count as produced."""
        return sum(len(source.receipts) - source.acknowledged for source in self._sources)

    def stop(self) -> Account:
        """Stop producing, then Beat, dispatching and Celery's worker; what became of everything that was produced.

        Raises `WorkerFailed` if a part of it did not end well, and `TransportError` or `RedisUnreachable` where nobody
        can tell.
        """
        self.close()
        with closing(self._topics.transport.admin()) as admin:
            on_kafka = {
                status.topic: unsettled(admin, self._topics.get(status.topic), group_of(self._group, status.name))
                for status in self._dispatcher.status()
            }
        return account(
            [receipt for source in self._sources for receipt in source.receipts],
            fate_of_each(RecordStream(self._client, self._settings).frame()),
            ids_in_celery(self._client, self._settings),
            on_kafka,
        )

    def close(self) -> None:
        """As `stop`, without the sum. A second Ctrl-C is held back meanwhile."""
        with held_back():
            self._running.close()


def bridge_demo(lab: Lab, topics: Topics, *, seed: int, settings: Settings) -> Demo:
    """Stock messages that a bridge brings to Celery, which prints them; and a Beat."""
    topics.create(BRIDGE_TOPIC, partitions=2)
    return Demo(
        lab,
        topics,
        make_bridge(lab, topics, BRIDGE_TOPIC, settings=settings),
        [Source(BRIDGE_TOPIC, BRIDGE_RATE, _messages)],
        group=BRIDGE_GROUP,
        seed=seed,
        settings=settings,
        beat=Beat(lab, settings=settings.model_copy(update=BEAT_SETTINGS)),
    )


def priority_demo(lab: Lab, topics: Topics, policy: str, *, seed: int, settings: Settings) -> Demo:
    """Two classes that together offer more than Celery can do. Raises `SettingsError` for an unknown policy."""
    return Demo(
        lab,
        topics,
        make_dispatcher(lab, topics, CLASSES, policy, settings=settings),
        [
            Source(class_topic(one.name), utilisation * SERVERS / MEAN_SERVICE, _work)
            for one, utilisation in zip(CLASSES, UTILISATIONS, strict=True)
        ],
        group=DISPATCHER_GROUP,
        seed=seed,
        settings=settings,
    )


def _messages(rng: random.Random) -> Iterator[Task]:
    return (new_task(STOCK_KIND, message, rng=rng) for message in stock_messages())


def _work(rng: random.Random) -> Iterator[Task]:
    return (new_task(SLEEP_KIND, rng.expovariate(1 / MEAN_SERVICE), rng=rng) for _ in repeat(None))


class _SourceProducer:
    """One source at work, in a thread of its own."""

    def __init__(self, topics: Topics, source: Source, rng: random.Random, settings: Settings) -> None:
        self.topic = source.topic
        self.receipts: list[Receipt] = []
        self.acknowledged = 0
        self._topic = topics.get(source.topic)
        self._source = source
        self._rng = rng
        self._settings = settings
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"producer of {source.topic}", daemon=True)

    def start(self) -> None:
        """Begin to produce."""
        self._thread.start()

    def check(self) -> None:
        """Raise `WorkerFailed` if the producer could not go on."""
        if self._error is not None:
            raise WorkerFailed(f"The producer of {self.topic} could not go on: {self._error}") from self._error

    def stop(self) -> None:
        """Send nothing more, and return when all that was sent is acknowledged or refused; raises `WorkerFailed`."""
        self._stop.set()
        timeout = self._settings.delivery_timeout + STOP_TIMEOUT  # until then, what is under way may be acknowledged
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if self._thread.is_alive():
            raise WorkerFailed(f"The producer of {self.topic} did not end in {timeout:g} s, and is left behind.")

    def _run(self) -> None:
        try:
            with Producer(self._topic, on_receipt=self._note, settings=self._settings) as producer:
                arrivals = poisson(self._source.rate, self._rng)
                producer.submit_on_schedule(self._source.tasks(self._rng), arrivals, stop=self._stop)
        except BaseException as error:  # noqa: BLE001 - `check` raises it
            self._error = error

    def _note(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)
        self.acknowledged += receipt.error is None
