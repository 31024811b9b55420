"""The dispatcher beside bare Celery: its rate, what it adds to an urgent task's way, how full it lets Celery get."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import redis

from benchmarks import queueing
from benchmarks.figure import Figure, alternate, measured, ratios
from labkit.celery_app.application import QUEUE, broker_url, key_prefix, make_app
from labkit.celery_app.capacity import Capacity, Presence, connect
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.kinds import SLEEP_KIND
from labkit.celery_app.performer import sending_name
from labkit.dispatch import CelerySession, make_dispatcher
from labkit.dispatch.dispatcher import BATCH, SAMPLE_INTERVAL
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.lab import Lab
from labkit.policies import PriorityClass
from labkit.settings import Settings, load_settings
from labkit.taskqueue import Producer, Task, Topic, Topics, new_task
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.timeouts import wait_until

REPEATS = 5
#: How long anything may take, in seconds.
LONGEST = 120.0

#: Tasks that are dispatched to find the rate: about two seconds of it.
DISPATCHED = 5_000

#: Urgent tasks on each of the two ways, and how far apart they are, in seconds.
PROBES, PROBE_GAP = 150, 0.03
#: Low tasks that keep Celery full meanwhile, and how long each sleeps, in seconds.
LOW_TASKS, LOW_SECONDS = 3_000, 0.01

#: Tasks for two dispatchers, and how many may be taken per thread of the worker.
CONTENDED, CONTENDED_LIMIT, THREADS = 1_500, 5, 4


def measure() -> Iterator[Figure]:
    """Rate, latency, overfilling; then the policies and formulas of `benchmarks.queueing`."""
    with Lab() as lab:
        yield _rate_figure(lab)
        yield from _latency_figures(lab)
        yield _overfilling_figure(lab)
        yield from queueing.measure(lab)


# --- the rate


def _rate_figure(lab: Lab) -> Figure:
    ours, bare = alternate(lambda: _dispatch_rate(lab), lambda: _apply_async_rate(lab), repeats=REPEATS)
    return measured(
        "dispatch_rate",
        "tasks dispatched per second against bare apply_async in a loop",
        ratios(ours, bare),
        unit="share",
        better="higher",
        at_least=0.8,
        aim=0.95,
        how=f"{DISPATCHED} tasks wait on Kafka, 2 partitions, one class; the policy `strict`, room for all of them, no "
        "worker that takes any. From the first batch that is in Celery to the last: fetching, decoding, deciding, "
        f"counting Celery's queue, sending in batches of up to {BATCH}, and committing. Joining the group is not.",
        rival="`apply_async` in a loop by hand with the same messages, to the same Redis.",
        beside={"labkit in tasks/s": statistics.median(ours), "the rival in tasks/s": statistics.median(bare)},
    )


def _dispatch_rate(lab: Lab) -> float:
    settings = load_settings()
    client = connect(broker_url(settings, lab))
    presence = Presence(client, settings, "benchmark")
    name = f"rate-{uuid4().hex}"
    with connect_kafka(lab) as topics, topics.fresh(f"jobs.{name}", partitions=2) as topic:
        _fill(lab, topic, [new_task(SLEEP_KIND, 0.0) for _ in range(DISPATCHED)])
        presence.say(1)
        with make_dispatcher(
            lab, topics, [PriorityClass(name=name)], "strict", limit=DISPATCHED + BATCH, settings=settings
        ) as dispatcher:

            def sent() -> int:
                dispatcher.check()
                presence.say(1)
                return dispatcher.status()[0].sent

            began, first = _when(lambda: sent() > 0, sent)
            ended, last = _when(lambda: sent() >= DISPATCHED, sent)
    presence.leave()
    _clear(client, settings)
    if last == first:
        raise RuntimeError("all was dispatched before the clock could start; dispatch more tasks")
    return (last - first) / (ended - began)


def _when(holds: Callable[[], bool], count: Callable[[], int]) -> tuple[float, int]:
    wait_until(holds, timeout=LONGEST, what="the tasks were to be dispatched", interval=0.002)
    return time.perf_counter(), count()


def _apply_async_rate(lab: Lab) -> float:
    settings = load_settings()
    url = broker_url(settings, lab)
    app = make_app(url, settings)

    @app.task(name=sending_name(SLEEP_KIND))  # type: ignore[untyped-decorator, unused-ignore]
    def nothing(message: dict[str, Any]) -> None:
        """Nobody calls it."""

    messages = [_envelope(new_task(SLEEP_KIND, 0.0)).to_json() for _ in range(DISPATCHED)]
    nothing.apply_async((messages[0],), queue=QUEUE)  # opens the connection
    began = time.perf_counter()
    for message in messages:
        nothing.apply_async((message,), queue=QUEUE, task_id=message["task"]["id"])
    seconds = time.perf_counter() - began
    app.close()
    _clear(connect(url), settings)
    return DISPATCHED / seconds


# --- what an urgent task's way takes longer


def _latency_figures(lab: Lab) -> Iterator[Figure]:
    rounds = [_added_latency(lab) for _ in range(3)]
    for quantile, at_least, aim in (("p50", 15.0, 4.0), ("p99", 60.0, 15.0)):
        ours, direct = ([1000 * both[way][quantile] for both in rounds] for way in ("through Kafka", "direct"))
        yield measured(
            f"dispatch_latency_{quantile}",
            f"latency added for an urgent task over a direct .delay(), low queue full, {quantile}",
            [our - other for our, other in zip(ours, direct, strict=True)],
            unit="ms",
            better="lower",
            at_least=at_least,
            aim=aim,
            how=f"{PROBES} urgent tasks on each way in turn, {1000 * PROBE_GAP:g} ms apart, while {LOW_TASKS} low "
            f"tasks of {1000 * LOW_SECONDS:g} ms keep 2 threads of a Celery worker busy, policy `reserve`, limit 1 per "
            "thread; from the moment a task is due to its start in the worker; the producer lingers for 0 ms.",
            rival="the same tasks sent by the same process straight to Celery, with the priority of the urgent class.",
            beside={
                "through Kafka in ms": statistics.median(ours),
                "direct in ms": statistics.median(direct),
                "the dispatcher looks for room every ms": 1000 * SAMPLE_INTERVAL,
            },
        )


def _added_latency(lab: Lab) -> dict[str, dict[str, float]]:
    """For each way the quantiles of the seconds from due to started."""
    settings = load_settings()
    high, low = (PriorityClass(name=f"{name}-{uuid4().hex}") for name in ("high", "low"))
    ways = {
        name: [new_task(SLEEP_KIND, 0.0).evolve(scheduled_at=0.0) for _ in range(PROBES)]
        for name in ("through Kafka", "direct")
    }
    app = make_app(broker_url(settings, lab), settings)
    prompt = load_settings(linger_ms=0)  # an urgent task does not wait for others to fill a batch
    with CelerySession(lab, classes=[high, low], policy="reserve", concurrency=2, pool="threads", limit=1) as session:
        _fill(lab, f"jobs.{low.name}", [new_task(SLEEP_KIND, LOW_SECONDS) for _ in range(LOW_TASKS)])
        session.wait_for_records(20, timeout=LONGEST)
        with Producer(session.topic(high.name), settings=prompt) as producer, app.connection_for_write() as connection:
            celery = app.amqp.Producer(connection, auto_declare=False)
            pause = threading.Event()
            for ours, other in zip(*ways.values(), strict=True):
                producer.submit(ours.evolve(scheduled_at=time.time()))
                pause.wait(PROBE_GAP)
                message = _envelope(other.evolve(scheduled_at=time.time())).to_json()
                app.send_task(
                    sending_name(SLEEP_KIND), (message,), task_id=other.id, priority=0, queue=QUEUE, producer=celery
                )
                pause.wait(PROBE_GAP)
            if session.dispatcher.status()[1].waiting == 0:
                raise RuntimeError("the low tasks came to an end before the urgent ones; send more of them")
        records = session.drain(timeout=LONGEST)
    waits = (records["started_at"] - records["scheduled_at"]).set_axis(records["task_id"])
    return {
        name: {
            label: float(waits[[task.id for task in tasks]].quantile(q)) for label, q in (("p50", 0.5), ("p99", 0.99))
        }
        for name, tasks in ways.items()
    }


# --- how full two dispatchers let Celery get


def _overfilling_figure(lab: Lab) -> Figure:
    rounds = [_overfilling(lab) for _ in range(3)]
    return measured(
        "dispatch_overfilling",
        "tasks in Celery beyond the limit, two dispatchers side by side",
        [float(most) for most, _ in rounds],
        unit="tasks",
        better="lower",
        at_least=float(BATCH),
        aim=0.0,
        judged="worst",
        how=f"{CONTENDED} tasks of 2 ms, 2 partitions, one for each of two dispatchers; a Celery worker with {THREADS} "
        f"threads, {CONTENDED_LIMIT} tasks per thread. What waits in Celery and what is taken and not acknowledged is "
        "counted without pause by one script in Redis; the most of it, less the limit.",
        beside={"counts per run": statistics.median(counts for _, counts in rounds)},
    )


def _overfilling(lab: Lab) -> tuple[int, int]:
    """The most tasks beyond the limit, and how often it was looked."""
    settings = load_settings()
    room = Capacity(connect(broker_url(settings, lab)), settings, limit=CONTENDED_LIMIT)
    known = PriorityClass(name=f"crowd-{uuid4().hex}")
    excess: list[int] = []
    with (
        connect_kafka(lab) as topics,
        topics.fresh(f"jobs.{known.name}", partitions=2) as topic,
        CeleryWorker(lab, pool="threads", concurrency=THREADS, settings=settings),
        _TwoDispatchers(lab, topics, known, settings) as sent,
    ):
        _fill(lab, topic, [new_task(SLEEP_KIND, 0.002) for _ in range(CONTENDED)])

        def all_done() -> bool:
            count = room.count()
            excess.append(sum(count.waiting) + count.unacknowledged - count.capacity)
            return sent() >= CONTENDED and not (sum(count.waiting) or count.unacknowledged)

        wait_until(all_done, timeout=LONGEST, what="two dispatchers were to send all tasks", interval=0.0005)
    return max(0, *excess), len(excess)


class _TwoDispatchers:
    """Both of one group; inside, a function that says how many tasks they have sent."""

    def __init__(self, lab: Lab, topics: Topics, known: PriorityClass, settings: Settings) -> None:
        self._both = [
            make_dispatcher(lab, topics, [known], "strict", limit=CONTENDED_LIMIT, settings=settings) for _ in range(2)
        ]

    def __enter__(self) -> Callable[[], int]:
        for one in self._both:
            one.start()
        for one in self._both:
            one.wait_until_balanced()
        return self._sent

    def __exit__(self, *_: object) -> None:
        for one in self._both:
            one.stop()

    def _sent(self) -> int:
        for one in self._both:
            one.check()
        return sum(one.status()[0].sent for one in self._both)


# --- common


def _fill(lab: Lab, topic: Topic, tasks: list[Task]) -> None:
    quick = connect_kafka(lab, transport="confluent-kafka").transport
    with Producer(replace(topic, transport=quick)) as producer:
        producer.send_many(tasks)


def _envelope(task: Task) -> Envelope:
    now = time.time()
    return Envelope(task=task, topic="direct", partition=0, offset=0, rank=0, produced_at=now, sent_at=now)


def _clear(client: redis.Redis, settings: Settings) -> None:
    """Forget what is in Celery; nobody is to perform it."""
    for key in client.scan_iter(f"{key_prefix(settings)}*"):
        client.delete(key)
