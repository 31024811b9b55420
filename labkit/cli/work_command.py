"""`labkit work`: workers in this terminal, members of a group that may span many terminals and machines."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import attached_topics, choose, start_logging, stop_on_signal
from labkit.cli.option_types import LONGEST, MOST_AT_ONCE, MOST_ATTEMPTS, Workers, group_name, topic_name
from labkit.errors import BrokerUnreachable, LabkitError, UnknownTopic
from labkit.plain_text import cell

if TYPE_CHECKING:
    import threading

    from rich.table import Table

    from labkit.taskqueue import WorkerGroup
    from labkit.taskqueue.engine.worker_config import Handler

log = logging.getLogger("labkit.worker")

#: Said where there is neither --handler nor --service.
_NO_WORK = (
    "labkit: Nothing is worked on: without --handler and --service, labkit's own tasks are taken for done at once, and "
    "what others have written becomes dead letters."
)
#: How often the table is drawn again, in seconds.
REDRAW_INTERVAL = 0.5


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.command()(work)


def work(
    topic: Annotated[str, typer.Option(help="The topic to work on.", callback=topic_name)] = "task_queue",
    group: Annotated[
        str, typer.Option(help="The group; all its workers share the partitions.", callback=group_name)
    ] = "worker_group",
    workers: Workers = 1,
    service: Annotated[
        str | None, typer.Option(help="Simulated work in ms: constant:20, uniform:10,50, exponential:20.")
    ] = None,
    handler: Annotated[str | None, typer.Option(help="Real work: module:function, called with each task.")] = None,
    mode: Annotated[
        str, typer.Option(help="group: partitions are dealt out; share: each task is locked for one worker (KIP-932).")
    ] = "group",
    lock: Annotated[
        float, typer.Option(min=0.001, max=86_400, help="With --mode share: how long a lock lasts, in seconds.")
    ] = 30.0,
    order: Annotated[
        str | None,
        typer.Option(
            help="What goes one after the other: the tasks of a partition, of a key, or none.",
            show_default="partition; with --mode share: none",
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=MOST_AT_ONCE, help="How many tasks each worker does at once.")
    ] = 1,
    executor: Annotated[
        str | None, typer.Option(help="Where handlers run: threads, asyncio (async def) or processes (CPU work).")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.001, max=LONGEST, help="Time per attempt in seconds.")] = None,
    attempts: Annotated[
        int, typer.Option(min=1, max=MOST_ATTEMPTS, help="How often a task is tried before it is a dead letter.")
    ] = 3,
    plain: Annotated[bool, typer.Option("--plain", help="Take any text for a task, also what is no JSON.")] = False,
    processes: Annotated[bool, typer.Option("--processes", help="Each worker as a process of its own.")] = False,
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End when no task is left.")] = False,
    records: Annotated[Path | None, typer.Option(help="Where to leave the records, as Parquet.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve Prometheus metrics at 127.0.0.1:PORT/metrics.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the service times.")] = 0,
) -> None:
    """Work on a topic's tasks until Ctrl-C; leave one record per task."""
    from labkit.settings import load_settings
    from labkit.taskqueue import WorkerGroup
    from labkit.taskqueue.engine.worker_config import EXECUTORS, MODES, ORDERS, Retry
    from labkit.taskqueue.service_time import parse_service

    if service is not None and handler is not None:
        raise LabkitError("Give --service or --handler, not both.")
    service_time = None if service is None else parse_service(service)
    function = None if handler is None else _import(handler)
    the_mode = choose("mode", mode, MODES)
    the_order = None if order is None else choose("order", order, ORDERS)
    the_executor = None if executor is None else choose("executor", executor, EXECUTORS)
    started = time.monotonic()
    settings = load_settings()
    target = (
        records
        or (settings.records_dir or settings.results_dir)
        / f"records-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.parquet"
    )
    start_logging("worker")
    with attached_topics() as topics, stop_on_signal() as stop:
        metrics = None
        if metrics_port is not None:
            from labkit.taskqueue.group_metrics import GroupMetrics

            metrics = GroupMetrics(
                topic,
                group,
                lag=lambda: members.lag(),  # noqa: PLW0108 - there are no members yet
                workers=lambda: len(members.status()),
            )
        members = WorkerGroup(
            topics.get(topic),
            group=group,
            workers=workers,
            handler=function,
            service=service_time,
            seed=seed,
            mode=the_mode,
            lock=lock,
            order=the_order,
            concurrency=concurrency,
            executor=the_executor,
            timeout=timeout,
            retry=Retry(attempts=attempts),
            plain=plain,
            processes=processes,
            name=f"worker-{os.getpid()}",
            on_record=None if metrics is None else metrics.observe,
            log_dir=settings.results_dir / "logs",
            records=target,
        )
        if service_time is None and function is None:
            print(_NO_WORK, file=sys.stderr)
        with ExitStack() as stack:
            if metrics is not None and metrics_port is not None:
                stack.callback(metrics.serve(metrics_port))
            stack.enter_context(members)
            _watch(members, stop, until_empty=until_empty)
    outcomes, at_work = members.outcomes()
    if not outcomes.total():
        print(f"No task was done; no records are left. Does {topic} hold any?")
        return
    print(
        f"{outcomes['done']} tasks done, {outcomes.total() - outcomes['done']} attempts failed "
        f"in {time.monotonic() - started:.1f} s by {at_work} of {workers} workers. "
        f"Records: {target if members.target == target.absolute() else members.target}"
    )


def _import(name: str) -> Handler:
    from labkit.taskqueue.engine.handler import find_handler

    sys.path.insert(0, str(Path.cwd()))  # as `python -m` would
    return find_handler(name)


def _watch(members: WorkerGroup, stop: threading.Event, *, until_empty: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    table = _WorkerTable(members, time.monotonic)
    with Live(table.draw(), console=Console(quiet=not sys.stdout.isatty()), auto_refresh=False) as live:
        lag: dict[int, int] | None = {}
        while not stop.wait(REDRAW_INTERVAL):
            members.check()
            lag = _lag(members, say=lag is not None, look=until_empty)
            live.update(table.draw(lag), refresh=True)
            if until_empty and lag is not None and not any(lag.values()):
                return


def _lag(members: WorkerGroup, *, say: bool, look: bool) -> dict[int, int] | None:
    """Per partition; None while Kafka is away or the topic is gone: the workers wait for it, and so does the table."""
    try:
        return {partition.partition: partition.lag for partition in members.lag(look=look)}
    except (BrokerUnreachable, UnknownTopic) as error:
        if say:
            log.warning("%s The workers wait for it; Ctrl-C ends them.", error)
        return None


class _WorkerTable:
    """The table per worker; keeps the last counts, for the rate."""

    def __init__(self, members: WorkerGroup, clock: Callable[[], float]) -> None:
        self._members = members
        self._clock = clock
        self._seen: dict[str, int] = {}
        self._seen_at = clock()

    def draw(self, lag: dict[int, int] | None = None) -> Table:
        """The table as of now; `lag` per partition, None if it is not known."""
        from rich.table import Table

        now = self._clock()
        table = Table("worker", "partitions", "done", "failed", "tasks/s", "lag")
        for status in self._members.status():
            settled = status.done + status.failed
            rate = (settled - self._seen.get(status.name, 0)) / max(now - self._seen_at, 1e-9)
            # in a share group all tasks that are left may come to any worker
            theirs = lag or () if self._members.mode == "share" else status.partitions
            behind = "?" if lag is None else str(sum(lag.get(partition, 0) for partition in theirs))
            self._seen[status.name] = settled
            table.add_row(
                cell(status.name),
                "shared" if self._members.mode == "share" else ", ".join(map(str, status.partitions)) or "none",
                str(status.done),
                str(status.failed),
                f"{rate:.1f}",
                behind,
            )
        self._seen_at = now
        return table
