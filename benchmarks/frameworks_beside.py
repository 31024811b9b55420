"""Other frameworks beside labkit, in the same run, in turn: key order in 16 threads, and empty tasks."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

from benchmarks.figure import Figure, alternate, measured, ratios
from benchmarks.frameworks.environment import HERE, NotHere, java_command, python_of
from benchmarks.handlers import sleep_as_told
from benchmarks.shift import Shift, work_off
from labkit.lab import Lab
from labkit.settings import TransportName
from labkit.taskqueue import Producer, connect, new_task
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.task import Task

REPEATS = 3
SEED = 1
TASKS, KEYS, THREADS = 10_000, 1_000, 16
EMPTY_TASKS = 100_000
#: How long a program may take, in seconds.
LONGEST = 300.0

TRANSPORTS: tuple[TransportName, ...] = ("kafka-python", "confluent-kafka")
SPAN = (
    "From the begin of the first task to the end of the last one, by each program's own clock. labkit is one worker in "
    "a thread of the benchmark's process, a record of every attempt and the commits included."
)


def measure() -> Iterator[Figure]:
    """One figure per transport for the order by keys, and one for empty tasks."""
    with Lab() as lab:
        yield from _key_order(lab)
        yield _empty(lab)


def _key_order(lab: Lab) -> Iterator[Figure]:
    tasks = _naps()
    ideal = sum(task.payload for task in tasks) / 1000 / THREADS
    config = WorkerConfig(order="key", concurrency=THREADS)
    topic = _fill(lab, tasks, partitions=1)
    ours = [_ours(lab, transport, topic, tasks, Work(sleep_as_told), config) for transport in TRANSPORTS]
    rivals, absent = _rivals(lab, topic)
    runs = alternate(*ours, *rivals.values(), repeats=REPEATS)
    shares = {
        name: statistics.median(ideal / seconds for seconds in run)
        for name, run in zip(rivals, runs[len(ours) :], strict=True)
    }
    for transport, run in zip(TRANSPORTS, runs, strict=False):
        yield measured(
            f"frameworks_key_order_{transport}",
            f"{THREADS} at once on 1 partition, key order, beside other frameworks: share of the ideal time "
            f"({transport})",
            [ideal / seconds for seconds in run],
            unit="share",
            better="higher",
            at_least=0.88 if transport == "kafka-python" else 0.90,
            aim=0.93 if transport == "kafka-python" else 0.95,
            how=f"{TASKS} tasks of 0 to 5 ms (uniform), {KEYS} keys, 1 partition, {THREADS} at once. {SPAN}",
            rival="the sum of the drawn times over 16; beside it, in the same run and in turn, the same topic by "
            f"other frameworks with their defaults, each in a process of its own{absent}.",
            beside={f"{name}: share of the ideal": share for name, share in shares.items()},
        )


def _rivals(lab: Lab, topic: str) -> tuple[dict[str, Callable[[], float]], str]:
    found: dict[str, Callable[[], float]] = {}
    missing = []
    told = {"tasks": TASKS, "concurrency": THREADS, "topic": topic, "bootstrap": lab.bootstrap_servers}
    for name, program in (("Pyrallel-Consumer 1.0.0", "pyrallel"), ("FastStream 0.7.8 (no order)", "faststream")):
        try:
            python = str(python_of("parallel.lock", oldest=(3, 12)))
        except NotHere as why:
            missing.append(f"{name} is not here: {why}")
            continue
        found[name] = _python_program(python, program, told)
    java = java_command("ParallelConsumerProgram", "parallel_consumer.lock.json")
    found["parallel-consumer 0.5.3.2 (Java)"] = lambda: _seconds(
        [*java, lab.bootstrap_servers, topic, uuid4().hex, str(TASKS), str(THREADS)]
    )
    return found, "; " + "; ".join(missing) if missing else ""


def _empty(lab: Lab) -> Figure:
    tasks = [new_task("nothing", "x" * 100) for _ in range(EMPTY_TASKS)]
    topic = _fill(lab, tasks, partitions=2)
    told = {"tasks": EMPTY_TASKS, "topic": topic, "bootstrap": lab.bootstrap_servers}
    ours, quix = alternate(
        _ours(lab, "confluent-kafka", topic, tasks, Work(), WorkerConfig()),
        _python_program(str(python_of("quix.lock")), "quix", told),
        repeats=REPEATS + 2,
    )
    return measured(
        "frameworks_empty_quix",
        "empty tasks per second against Quix Streams 3 (confluent-kafka)",
        ratios(quix, ours),
        unit="x",
        better="higher",
        at_least=0.6,
        aim=1.0,
        how=f"{EMPTY_TASKS} tasks with a payload of 100 characters on 2 partitions, one worker. {SPAN}",
        rival="Quix Streams 3.28.1 on the same topic in a process of its own: JSON parsed, an empty function called "
        "for each, offsets committed every 5 s, which is its default.",
        beside={
            "labkit in tasks/s": EMPTY_TASKS / statistics.median(ours),
            "Quix Streams in records/s": EMPTY_TASKS / statistics.median(quix),
        },
    )


def _naps() -> list[Task]:
    rng = random.Random(SEED)
    return [new_task("nap", rng.uniform(0, 5), key=f"key-{number % KEYS}") for number in range(TASKS)]


def _fill(lab: Lab, tasks: Sequence[Task], *, partitions: int) -> str:
    with connect(lab, transport="confluent-kafka") as topics:
        topic = topics.create(f"frameworks-{uuid4().hex}", partitions=partitions)
        with Producer(topic) as producer:
            producer.send_many(tasks)
        return topic.full_name


def _ours(
    lab: Lab, transport: TransportName, topic: str, tasks: Sequence[Task], work: Work, config: WorkerConfig
) -> Callable[[], float]:
    def run() -> float:
        with connect(lab, transport=transport) as topics:
            return _span(work_off(topics.get(topic), len(tasks), work, config))

    return run


def _span(shift: Shift) -> float:
    begin = min(record.started_at for record in shift.records)
    return max(record.finished_at for record in shift.records) - begin


def _python_program(python: str, name: str, told: dict[str, object]) -> Callable[[], float]:
    program = str(HERE / f"{name}_program.py")
    return lambda: _seconds([python, program, json.dumps({**told, "group": uuid4().hex})])


def _seconds(command: Sequence[str]) -> float:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return float(json.loads(lines[-1])["seconds"])
