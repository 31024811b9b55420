"""The live dispatcher against the formulas: shares kept in overload, waiting per class, blocking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import pandas as pd

from benchmarks.figure import Figure, measured
from benchmarks.one_server import busy_times, met_nobody, share_while_both_wait
from labkit.celery_app.kinds import SLEEP_KIND
from labkit.dispatch import CelerySession
from labkit.lab import Lab
from labkit.measure import metrics
from labkit.measure.task_record import SHED
from labkit.policies import PriorityClass, make_policy
from labkit.simulate.dispatch import Arrivals, poisson_arrivals, simulate_dispatch
from labkit.taskqueue import Producer, Task, new_task
from labkit.theory import queues

SEED = 5
#: How long a run may take, in seconds.
LONGEST = 300.0

#: Overload: its utilisation, the share of urgent tasks, and what is promised to the others.
OVERLOAD, URGENT, PROMISED = 1.3, 0.7, 0.25
SHARE_TASKS, SHARE_SERVICE = 1_200, 0.01

#: Waiting against Cobham: tasks per run, and how long they sleep on average, in seconds.
UTILISATIONS = (0.7, 0.9)
WAIT_TASKS, WAIT_SERVICE, WARM_UP = 2_500, 0.02, 250

#: M/M/c/K: servers, tasks in the system at most, load per server.
SERVERS, CAPACITY, BLOCKED_UTILISATION = 3, 10, 0.9
BLOCK_TASKS, BLOCK_SERVICE = 2_500, 0.05

#: How often a run is simulated to find its 95 % interval, and what is allowed where that is narrower.
REPLICATIONS, ALLOWED = 60, 0.10

HOW_JUDGED = (
    f"The deviation over what is allowed: {100 * ALLOWED:g} %, or half of the interval into which 95 % of "
    f"{REPLICATIONS} simulated runs of the same length fall, whichever is more."
)


def measure(lab: Lab) -> Iterator[Figure]:
    """Shares, waiting, blocking."""
    for policy in ("quota", "weighted"):
        yield _share_figure(lab, policy)
    for utilisation in UTILISATIONS:
        yield _waiting_figure(lab, utilisation)
    yield _blocking_figure(lab)


# --- load


def _classes(**of_low: float) -> list[PriorityClass]:
    unique = uuid4().hex[:8]
    return [
        PriorityClass(name=f"high-{unique}", weight=1 / PROMISED - 1),
        PriorityClass(name=f"low-{unique}", weight=1.0, **of_low),
    ]


def _run(
    session: CelerySession, classes: Sequence[PriorityClass], arrivals: Arrivals, service: Sequence[float]
) -> pd.DataFrame:
    """Send each task when it is due, and wait until all are done; the records of these tasks."""
    tasks = [new_task(SLEEP_KIND, float(seconds)) for seconds in service]
    with ThreadPoolExecutor() as threads:
        sendings = []
        for rank, known in enumerate(classes):
            own = np.flatnonzero(arrivals.rank == rank)
            mine = [tasks[number] for number in own]
            sendings.append(threads.submit(_send, session, known, mine, arrivals.scheduled_at[own].tolist()))
        for sending in sendings:
            sending.result()
    records = session.drain(timeout=LONGEST)
    return records[records["task_id"].isin({task.id for task in tasks})]


def _send(session: CelerySession, known: PriorityClass, tasks: Sequence[Task], moments: Sequence[float]) -> None:
    with Producer(session.topic(known.name)) as producer:
        producer.submit_on_schedule(tasks, iter(moments))


class _Pace(NamedTuple):
    """For how many seconds a server is busy with a task, and how many of these are no service but hand-over."""

    busy: float
    hand_over: float


def _pace(
    session: CelerySession, classes: Sequence[PriorityClass], mean: float, servers: int, rng: np.random.Generator
) -> _Pace:
    """The pace of a run in which tasks always wait; the mean of so few sleeps is chance, so the true one is put in."""
    number = 60 * servers
    at_once = Arrivals(np.zeros(number, dtype=np.int64), np.zeros(number))
    sleeps = rng.exponential(mean, number)
    records = _run(session, classes, at_once, sleeps.tolist())
    started = np.sort(records["started_at"].to_numpy())
    busy = servers * float(started[-1] - started[0]) / (number - 1)
    return _Pace(mean + busy - float(sleeps.mean()), busy - float(metrics.times(records)["service_s"].mean()))


# --- shares


def _share_figure(lab: Lab, policy: str) -> Figure:
    shares = [_share(lab, policy, np.random.default_rng((SEED, n))) for n in range(3)]
    return measured(
        f"dispatch_share_{policy}",
        f"share of starts kept by `{policy}` at utilisation {OVERLOAD:g}",
        [100 * abs(share - PROMISED) / PROMISED for share in shares],
        unit="%",
        better="lower",
        at_least=5.0,
        aim=2.0,
        judged="worst",
        how=f"Deviation from the {100 * PROMISED:g} % of starts that the low class is promised, over all starts at "
        f"which both classes waited; {SHARE_TASKS} tasks, {100 * URGENT:g} % of them urgent, Poisson arrivals, "
        f"exponential sleeps of {1000 * SHARE_SERVICE:g} ms, one thread of a Celery worker, limit 1.",
        beside={f"share in run {n}": share for n, share in enumerate(shares, start=1)},
    )


def _share(lab: Lab, policy: str, rng: np.random.Generator) -> float:
    classes = _classes(share=PROMISED)
    with CelerySession(lab, classes=classes, policy=policy, concurrency=1, pool="threads", limit=1) as session:
        busy = _pace(session, classes, SHARE_SERVICE, 1, rng).busy
        rates = np.array([URGENT, 1 - URGENT]) * OVERLOAD / busy
        arrivals = poisson_arrivals(rates.tolist(), SHARE_TASKS, rng)
        records = _run(session, classes, arrivals, rng.exponential(SHARE_SERVICE, SHARE_TASKS).tolist())
    return share_while_both_wait(records)


# --- waiting


def _waiting_figure(lab: Lab, utilisation: float) -> Figure:
    rng = np.random.default_rng((SEED, round(100 * utilisation)))
    classes = _classes()
    with CelerySession(lab, classes=classes, policy="strict", concurrency=1, pool="threads", limit=1) as session:
        nominal = _pace(session, classes, WAIT_SERVICE, 1, rng).busy
        rates = (np.array([URGENT, 1 - URGENT]) * utilisation / nominal).tolist()
        arrivals = poisson_arrivals(rates, WAIT_TASKS, rng)
        records = _run(session, classes, arrivals, rng.exponential(WAIT_SERVICE, WAIT_TASKS).tolist())
    way = float(metrics.times(met_nobody(records))["waiting_s"].mean())
    busy = busy_times(records, way).dropna()
    moments = [float((busy**power).mean()) for power in (1, 2)]
    formula = np.array(queues.mean_waits_single(rates, [moments[0]] * 2, [moments[1]] * 2))
    live = _settled(records) - way
    simulated = np.array([_simulated_waits(classes, rates, busy.to_numpy(), rng) for _ in range(REPLICATIONS)])
    over, beside = _judged(live, formula, simulated, ["high", "low"], scale=1000, unit="ms")
    return measured(
        f"dispatch_waiting_{round(100 * utilisation)}",
        f"mean waiting time per class against Cobham at utilisation {utilisation:g}",
        [over],
        unit="x",
        better="lower",
        at_least=1.0,
        aim=0.5,
        how=f"{WAIT_TASKS} tasks, {100 * URGENT:g} % of them urgent, Poisson arrivals, exponential sleeps of "
        f"{1000 * WAIT_SERVICE:g} ms, one thread of a Celery worker, limit 1, policy `strict`; without the first "
        f"{WARM_UP} tasks and without the way of a task that meets nobody. The formula (one server, any service time) "
        f"is fed with the times that the server was busy. The class that deviates more. {HOW_JUDGED}",
        beside={
            **beside,
            "utilisation reached": sum(rates) * moments[0],
            "the way in ms": 1000 * way,
            "busy per task in ms": 1000 * moments[0],
        },
    )


def _settled(records: pd.DataFrame) -> np.ndarray:
    settled = records.sort_values("scheduled_at").iloc[WARM_UP:]
    return metrics.times(settled)["waiting_s"].groupby(settled["priority"]).mean().to_numpy()


def _simulated_waits(
    classes: Sequence[PriorityClass], rates: Sequence[float], busy: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    rank, moments = poisson_arrivals(rates, WAIT_TASKS, rng)
    records = simulate_dispatch(
        make_policy("strict"),
        classes,
        rank=rank,
        scheduled_at=moments,
        service=rng.choice(busy, WAIT_TASKS),
        servers=1,
        capacity=1,
    )
    return _settled(records)


# --- blocking


def _blocking_figure(lab: Lab) -> Figure:
    rng = np.random.default_rng((SEED, CAPACITY))
    known = [PriorityClass(name=f"only-{uuid4().hex[:8]}", limit=CAPACITY - SERVERS)]
    # the run that measures the servers must shed nothing
    roomy = [PriorityClass(name=f"all-{uuid4().hex[:8]}")]
    with CelerySession(lab, classes=roomy, policy="strict", concurrency=SERVERS, pool="threads", limit=1) as session:
        pace = _pace(session, roomy, BLOCK_SERVICE, SERVERS, rng)
    rate = BLOCKED_UTILISATION * SERVERS / pace.busy
    with CelerySession(lab, classes=known, policy="strict", concurrency=SERVERS, pool="threads", limit=1) as session:
        arrivals = poisson_arrivals([rate], BLOCK_TASKS, rng)
        service = rng.exponential(BLOCK_SERVICE, BLOCK_TASKS)
        records = _run(session, known, arrivals, service.tolist())
    busy = pace.hand_over + float(metrics.times(records)["service_s"].mean())
    return _figure_of_blocking(records, rate, busy, partial(_simulated_blocking, rate, busy, rng))


def _figure_of_blocking(records: pd.DataFrame, rate: float, busy: float, simulate: partial[float]) -> Figure:
    live = float((records["outcome"] == SHED).mean())
    formula = queues.blocking(rate, 1 / busy, SERVERS, CAPACITY)
    simulated = np.array([[simulate()] for _ in range(REPLICATIONS)])
    over, beside = _judged(np.array([live]), np.array([formula]), simulated, ["blocked"], scale=100, unit="%")
    return measured(
        "dispatch_blocking",
        "share of tasks shed against M/M/c/K",
        [over],
        unit="x",
        better="lower",
        at_least=1.0,
        aim=0.5,
        how=f"{BLOCK_TASKS} tasks of one class, Poisson arrivals, exponential sleeps of {1000 * BLOCK_SERVICE:g} ms, "
        f"{SERVERS} threads of a Celery worker, limit 1 per thread, and {CAPACITY - SERVERS} may wait in the class: "
        f"what comes on top is shed. The formula is fed with the time that a thread is busy. {HOW_JUDGED}",
        beside={**beside, "utilisation reached": rate * busy / SERVERS},
    )


def _simulated_blocking(rate: float, busy: float, rng: np.random.Generator) -> float:
    rank, moments = poisson_arrivals([rate], BLOCK_TASKS, rng)
    records = simulate_dispatch(
        make_policy("strict"),
        [PriorityClass(name="only", limit=CAPACITY - SERVERS)],
        rank=rank,
        scheduled_at=moments,
        service=rng.exponential(busy, BLOCK_TASKS),
        servers=SERVERS,
        capacity=SERVERS,
    )
    return 1 - len(records) / BLOCK_TASKS


# --- judging


def _judged(
    live: np.ndarray, formula: np.ndarray, simulated: np.ndarray, names: Sequence[str], *, scale: float, unit: str
) -> tuple[float, dict[str, float]]:
    """The largest deviation over what is allowed, and the numbers behind it."""
    low, high = np.quantile(simulated, [0.025, 0.975], axis=0)
    deviation = np.abs(live - formula) / formula
    allowed = np.maximum(ALLOWED, (high - low) / 2 / formula)
    beside = {}
    for k, name in enumerate(names):
        beside[f"{name} live in {unit}"] = scale * float(live[k])
        beside[f"{name} by the formula in {unit}"] = scale * float(formula[k])
        beside[f"{name} deviates by %"] = 100 * float(deviation[k])
        beside[f"{name} allowed %"] = 100 * float(allowed[k])
    return float((deviation / allowed).max()), beside
