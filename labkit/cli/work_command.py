"""`labkit work`: workers in this terminal, members of a group that may span many terminals and machines."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import attached_topics, choose, start_logging, stop_on_signal
from labkit.cli.option_types import LONGEST, MOST_AT_ONCE, MOST_ATTEMPTS, Workers, group_name, topic_name
from labkit.errors import BrokerUnreachable, LabkitError, RecordsUnwritable, SettingsError, UnknownTopic

if TYPE_CHECKING:
    import threading

    from labkit.cli.fitting_table import FittingTable
    from labkit.cli.live import LiveView
    from labkit.taskqueue import Topics, WorkerGroup
    from labkit.taskqueue.engine.worker_config import Handler
    from labkit.taskqueue.worker_group.base_worker import WorkerStatus

log = logging.getLogger("labkit.worker")

#: Said where there is neither --handler nor --service.
_NO_WORK = (
    "labkit: Nothing is worked on: without --handler and --service, labkit's own tasks are taken for done at once, and "
    "what others have written becomes dead letters."
)


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
        str | None, typer.Option(help="Simulated work in seconds: constant:0.02, uniform:0.01,0.05, exponential:20ms.")
    ] = None,
    handler: Annotated[str | None, typer.Option(help="Real work: module:function, called with each task.")] = None,
    mode: Annotated[
        str, typer.Option(help="group: partitions are dealt out; share: each task is locked for one worker (KIP-932).")
    ] = "group",
    lock: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=86_400, help="With --mode share: how long a lock lasts, in seconds.", show_default="30"
        ),
    ] = None,
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
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=LONGEST,
            help="Time per attempt in seconds; processes and asyncio stop a handler then, threads cannot.",
        ),
    ] = None,
    attempts: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_ATTEMPTS, help="How often a task is tried before it is a dead letter.", show_default="3"
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Take any text for a task, also what is no JSON.")] = False,
    processes: Annotated[bool, typer.Option("--processes", help="Each worker as a process of its own.")] = False,
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End when no task is left.")] = False,
    records: Annotated[Path | None, typer.Option(help="Where to leave the records, as Parquet.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve Prometheus metrics at 127.0.0.1:PORT/metrics.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the service times.", show_default="0")] = None,
) -> None:
    """Work on a topic's tasks until Ctrl-C; leave one record per task."""
    from labkit.cli.dispatcher_view import dead_letters_in
    from labkit.cli.line_stream import print_line_by_line
    from labkit.cli.live import LiveView
    from labkit.cli.paragraph import say
    from labkit.cli.watched_group import WatchedGroup
    from labkit.jobs.topic_kind import topic_of_tasks
    from labkit.process.output_lines import printed_outputs
    from labkit.settings import load_settings
    from labkit.taskqueue.engine.worker_config import EXECUTORS, MODES, ORDERS, Retry
    from labkit.taskqueue.service_time import parse_service
    from labkit.taskqueue.worker_group.group_output import Output
    from labkit.taskqueue.worker_group.membership import Membership

    if service is not None and handler is not None:
        raise LabkitError("Give --service or --handler, not both.")
    if service is None and seed is not None:
        raise SettingsError("--seed is of the times of --service, and without it does nothing: leave it out.")
    service_time = None if service is None else parse_service(service, seed=seed or 0)
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
    print_line_by_line()
    with attached_topics() as topics, stop_on_signal() as stop, LiveView() as view, printed_outputs():
        metrics = None
        if metrics_port is not None:
            from labkit.taskqueue.worker_group.group_metrics import GroupMetrics

            metrics = GroupMetrics(
                topic,
                group,
                lag=lambda: members.lag(),  # noqa: PLW0108 - there are no members yet
                workers=lambda: len(members.status()),
            )
        members = WatchedGroup(
            topic_of_tasks(topics, topic),
            group=group,
            workers=workers,
            handler=function or service_time,
            mode=the_mode,
            order=the_order,
            concurrency=concurrency,
            executor=the_executor,
            timeout=timeout,
            retry=None if attempts is None else Retry(attempts=attempts),
            membership=Membership(name=f"worker-{os.getpid()}", processes=processes, lock=lock, plain=plain),
            output=Output(
                records=target,
                on_record=None if metrics is None else metrics.observe,
                log_dir=settings.results_dir / "logs" if processes else None,
            ),
        )
        if service_time is None and function is None:
            say(_NO_WORK, sys.stderr)
        unwritten: RecordsUnwritable | None = None
        try:
            with ExitStack() as stack:
                if metrics is not None and metrics_port is not None:
                    stack.callback(metrics.serve(metrics_port))
                stack.enter_context(members)
                table = _WorkerTable(members.mode, time.monotonic)
                _watch(members, stop, view, table, until_empty=until_empty)
        except RecordsUnwritable as error:
            if not members.last:  # no worker has begun
                raise
            unwritten = error
        outcomes, at_work = members.outcomes()
        view.end(table.draw(members.last, _left(topics, topic, members)))
    if not outcomes.total() and unwritten is None:
        say(f"No task was done; no records are left. Does {topic} hold any?")
        return
    done, failed = (sum(getattr(one, count) for one in members.last) for count in ("done", "failed"))
    seconds = time.monotonic() - started
    say(f"{done} tasks done, {failed} attempts failed in {seconds:.1f} s by {at_work} of {workers} workers.")
    dead = dead_letters_in(outcomes, topic)
    if dead:
        say(dead)
    if unwritten is not None:
        raise unwritten
    say(f"Records: {target if members.target == target.absolute() else members.target}")


def _import(name: str) -> Handler:
    from labkit.plugin import import_from_here
    from labkit.taskqueue.engine.handler import find_handler

    import_from_here()
    return find_handler(name)


def _watch(
    members: WorkerGroup, stop: threading.Event, view: LiveView, table: _WorkerTable, *, until_empty: bool
) -> None:
    from labkit.cli.live import REDRAW_INTERVAL
    from labkit.taskqueue.repeated_question import RepeatedQuestion

    question = RepeatedQuestion(
        partial(members.lag, look=until_empty), max_age=REDRAW_INTERVAL / 2, passing=(BrokerUnreachable, UnknownTopic)
    )
    is_away = False
    while not stop.wait(REDRAW_INTERVAL):
        members.check()
        found, trouble = question.look()
        lag = None if found is None or trouble is not None else {one.partition: one.lag for one in found}
        if trouble is not None and not is_away:
            log.warning("%s The workers wait for it; Ctrl-C ends them.", trouble)
        is_away = trouble is not None
        now = members.status()
        view.show(table.draw(now, lag), _in_words(now, lag))
        if until_empty and lag is not None and not any(lag.values()):
            return


def _in_words(workers: Iterable[WorkerStatus], lag: Mapping[int, int] | None) -> str:
    done, failed = (sum(getattr(one, count) for one in workers) for count in ("done", "failed"))
    return f"{done} done, {failed} failed, lag {'?' if lag is None else sum(lag.values())}"


def _left(topics: Topics, topic: str, members: WorkerGroup) -> dict[int, int] | None:
    """What is left at the end, per partition; None where nobody says: of a share group, or while Kafka is away."""
    if members.mode == "share":
        return None
    try:
        return {one.partition: one.lag for one in topics.lag(topic, group=members.group)}
    except (BrokerUnreachable, UnknownTopic):
        return None


class _WorkerTable:
    """The table per worker, with the rates between two drawings."""

    def __init__(self, mode: str, clock: Callable[[], float]) -> None:
        from labkit.cli.live import Rates

        self._mode = mode
        self._rates = Rates(clock)
        self._had: dict[str, tuple[int, ...]] = {}

    def draw(self, workers: Iterable[WorkerStatus], lag: Mapping[int, int] | None) -> FittingTable:
        """The table as of now; `lag` per partition, None if it is not known."""
        from labkit.cli.fitting_table import FittingTable

        numbers = ("done", "failed", "tasks/s", "lag")
        table = FittingTable("worker", "partitions", *numbers, right=numbers)
        for status in workers:
            # in a share group all tasks that are left may come to any worker
            had = self._had[status.name] = status.partitions if status.running else self._had.get(status.name, ())
            theirs = lag or () if self._mode == "share" else had
            table.add_row(
                status.name,
                "shared" if self._mode == "share" else _ranges(had),
                str(status.done),
                str(status.failed),
                f"{self._rates.per_second(status.name, status.done + status.failed):.1f}",
                "?" if lag is None else str(sum(lag.get(partition, 0) for partition in theirs)),
            )
        return table


def _ranges(numbers: Iterable[int]) -> str:
    """As `0-3, 7`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts) or "none"
