"""`labkit jobs …`: create jobs, work on them, and see what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import choose, send_on_schedule, start_logging, stop_on_signal
from labkit.cli.option_types import (
    LONGEST,
    MAX_JOB_ID,
    MOST_AT_ONCE,
    MOST_TASKS,
    NewPartitions,
    Rate,
    Workers,
    group_name,
    topic_name,
)
from labkit.errors import LabkitError
from labkit.plain_text import in_json, one_line

if TYPE_CHECKING:
    from labkit.jobs import Job, JobEvent, JobView
    from labkit.lab import Lab
    from labkit.measure.records import Receipt
    from labkit.taskqueue import Task, Topics

#: How many jobs are created when neither ids nor a number are given.
DEFAULT_COUNT = 10
#: Up to this many jobs are shown one by one.
SHOWN_ONE_BY_ONE = 20
#: How often to look for changes, in seconds, and how many to take at once.
WATCH_INTERVAL, TAKEN_AT_ONCE = 0.2, 1000

TopicName = Annotated[str, typer.Option("--topic", help="The topic of the jobs.", callback=topic_name)]
NewTopicName = Annotated[str, typer.Option("--topic", help="The jobs' topic; made if need be.", callback=topic_name)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

#: As in `labkit.jobs.job`, which the help must not wait for.
JOB_STATUS, MAX_ATTEMPTS = "job-status", 10

jobs_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.add_typer(jobs_app, name="jobs", help="Create jobs, work on them, and see what becomes of them.")


@jobs_app.command()
def produce(
    job_ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[ID...]", min=1, max=MAX_JOB_ID, help="The jobs' ids, as 1234; drawn without."),
    ] = None,
    number: Annotated[
        int | None, typer.Option("--count", min=1, max=MOST_TASKS, help="How many jobs; 10 without ids.")
    ] = None,
    rate: Rate = 50.0,
    forever: Annotated[bool, typer.Option("--forever", help="Go on until Ctrl-C.")] = False,
    topic: NewTopicName = JOB_STATUS,
    partitions: NewPartitions = 1,
) -> None:
    """Create jobs at a steady rate. A new job is NEW until a consumer works on it."""
    from labkit.jobs import jobs_topic
    from labkit.taskqueue import Producer
    from labkit.taskqueue.arrivals import constant

    if sum(map(bool, (job_ids, number, forever))) > 1:
        raise LabkitError("Name the jobs by their ids, or say how many by --count or --forever, not both.")
    tasks = _new_jobs(job_ids, None if forever else number or DEFAULT_COUNT)
    moments = constant(rate)
    tally = _JobCounts()
    start_logging("producer")
    with _lab() as (_, topics), stop_on_signal() as stop:
        target = jobs_topic(topics, name=topic, partitions=partitions)
        try:
            with Producer(target, on_receipt=tally.take) as producer:
                send_on_schedule(producer, tally.watch(tasks), moments, stop)
        finally:  # also if a second Ctrl-C gives up what is under way
            print(f"{tally.acknowledged} {'job is' if tally.acknowledged == 1 else 'jobs are'} NEW on {topic}.")
    if tally.refused:
        raise LabkitError(f"{tally.refused} jobs were not acknowledged; the last reason: {tally.reason}")


@jobs_app.command()
def consume(
    group: Annotated[
        str,
        typer.Option(help="The group: its members share the jobs, another one gets all of them.", callback=group_name),
    ],
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, max=LONGEST, help="End after so many seconds with nothing to do.", show_default="never"),
    ] = None,
    workers: Workers = 1,
    concurrency: Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="How many at once, per worker.")] = 1,
    service: Annotated[
        str, typer.Option(help="How long a job takes, in seconds: constant:0.02, uniform:0.01,0.05, exponential:20ms.")
    ] = "uniform:0.01,0.05",
    failing: Annotated[float, typer.Option(min=0, max=1, help="The share of the attempts that fail.")] = 0.0,
    attempts: Annotated[
        int, typer.Option(min=1, max=MAX_ATTEMPTS, help="How often a job is tried before it stays FAILED.")
    ] = 3,
    log: Annotated[
        Path | None,
        typer.Option(
            help="Where every processed job gets a line.", show_default="processed_jobs.log in LABKIT_RESULTS_DIR"
        ),
    ] = None,
    topic: NewTopicName = JOB_STATUS,
    seed: Annotated[int, typer.Option(help="Of the service times and of what fails.")] = 0,
) -> None:
    """Work on NEW jobs: RUNNING, then DONE or FAILED; until Ctrl-C, or until there is nothing to do."""
    from labkit.cli.dispatcher_view import dead_letters_in
    from labkit.jobs import JobConsumer, ProcessedLog, jobs_topic, open_view
    from labkit.jobs.job_consumer import mock_work
    from labkit.settings import load_settings
    from labkit.taskqueue import Retry
    from labkit.taskqueue.service_time import parse_service

    work = mock_work(parse_service(service, seed=seed), failing=failing)
    path = log or load_settings().results_dir / "processed_jobs.log"
    processed = ProcessedLog(path, group)
    start_logging("worker")
    with _lab() as (lab, topics), stop_on_signal() as stop:
        target = jobs_topic(topics, name=topic)
        with open_view(target, lab) as view:
            view.follow()
            consumer = JobConsumer(
                target,
                group=group,
                log=processed,
                view=view,
                work=work,
                name=f"consumer-{os.getpid()}",
                workers=workers,
                concurrency=concurrency,
                retry=Retry(attempts=attempts),
            )
            with consumer:
                consumer.run(timeout=timeout, stop=stop)
    jobs = "1 job" if consumer.processed == 1 else f"{consumer.processed} jobs"
    print(one_line(f"{jobs} processed by {group}. Log: {path}"))
    dead = dead_letters_in(consumer.outcomes()[0], topic)
    if dead:
        print(dead)


@jobs_app.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="Only those that are NEW, RUNNING, DONE or FAILED.")] = None,
    after: Annotated[
        int | None, typer.Option(min=0, max=MAX_JOB_ID, help="Only those with an id above this one: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_TASKS, help="How many at most.")] = 50,
    topic: TopicName = JOB_STATUS,
    as_json: AsJson = False,
) -> None:
    """List the jobs in the order of their ids, as they are now."""
    from labkit.jobs import JobStatus

    wanted = None if status is None else choose("status", status.upper(), {one.value: one for one in JobStatus})
    with _view(topic) as view:
        view.catch_up()
        found, counts = view.list(wanted, after, limit), view.counts()
    if as_json:
        print(in_json(json.dumps([_in_json(job) for job in found], indent=2)))
        return
    if found:
        _print_table(found, f"jobs on {topic}")
    print(", ".join(f"{counts[one]} {one}" for one in JobStatus) + ".")
    if len(found) == limit:
        print(f"There may be more: --after {found[-1].job_id}")


@jobs_app.command()
def show(
    job_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=MAX_JOB_ID, help="The job.")],
    topic: TopicName = JOB_STATUS,
    as_json: AsJson = False,
) -> None:
    """Show one job and every change of it that is on the topic."""
    with _view(topic) as view:
        view.catch_up()
        job, events = view.get(job_id), view.events(job_id)
    if job is None:
        raise LabkitError(f"There is no job {job_id} on {topic}. `labkit jobs list` shows those there are.")
    if as_json:
        print(in_json(json.dumps({**_in_json(job), "events": [_in_json(event) for event in events]}, indent=2)))
    else:
        print(f"job {job_id} is {job.status} (version {job.version})")
        _print_table(events, "its changes; the greatest version counts, of DONE any")


@jobs_app.command()
def watch(topic: TopicName = JOB_STATUS) -> None:
    """Print a line for every job that changes, from now on until Ctrl-C."""
    with _view(topic) as view, stop_on_signal() as stop:
        view.catch_up()
        view.follow()
        cursor = view.last_change()
        print(f"Watching {topic}; Ctrl-C ends it.", flush=True)
        while not stop.wait(WATCH_INTERVAL):
            for job in view.changes_since(cursor, TAKEN_AT_ONCE):
                by = one_line(f" by {job.worker}") if job.worker else ""
                because = one_line(f": {job.error}") if job.error else ""
                print(f"{_clock(job.at)}  job {job.job_id}  {job.status}{by}{because}", flush=True)
                cursor = job.change


@contextmanager
def _lab() -> Iterator[tuple[Lab, Topics]]:
    """The lab that is running, and its topics; raises `LabNotRunning`."""
    from labkit.lab import attach_lab
    from labkit.taskqueue import connect

    with attach_lab() as lab, connect(lab) as topics:
        yield lab, topics


@contextmanager
def _view(name: str) -> Iterator[JobView]:
    from labkit.jobs import open_view
    from labkit.jobs.writer import known_jobs_topic

    with _lab() as (lab, topics), open_view(known_jobs_topic(topics, name), lab) as view:
        yield view


def _new_jobs(job_ids: list[int] | None, number: int | None) -> Iterable[Task]:
    """Tasks for these jobs, all checked and each once; or for this many that are drawn, without end if None."""
    from labkit.jobs.writer import new_job

    if job_ids:
        return [new_job(job_id).to_task() for job_id in dict.fromkeys(job_ids)]
    return islice((new_job().to_task() for _ in count()), number)


class _JobCounts:
    """Counts what the broker has acknowledged, and shows the first jobs one by one."""

    def __init__(self) -> None:
        self._ids: dict[str, str | None] = {}
        self.acknowledged = self.refused = 0
        self.reason: str | None = None

    def watch(self, tasks: Iterable[Task]) -> Iterator[Task]:
        for task in tasks:
            self._ids[task.id] = task.key
            yield task

    def take(self, receipt: Receipt) -> None:
        """Count one receipt; the client calls this from one thread."""
        job_id = self._ids.pop(receipt.task_id)
        if receipt.error is not None:
            self.refused += 1
            self.reason = receipt.error
            return
        self.acknowledged += 1
        with suppress(OSError):  # where nothing can be printed any more, the summary shows it
            if self.acknowledged <= SHOWN_ONE_BY_ONE:
                print(f"job {job_id} -> partition {receipt.partition}, offset {receipt.offset}", flush=True)
            elif self.acknowledged == SHOWN_ONE_BY_ONE + 1:
                print("…", flush=True)


def _print_table(rows: Iterable[Job | JobEvent], title: str) -> None:
    from labkit.cli.fitting_table import FittingTable
    from labkit.cli.paragraph import console

    table = FittingTable("job", "status", "version", "attempt", "at", "worker", "error", title=title, right=("job",))
    for row in rows:
        numbers = str(row.version), str(row.attempt)
        table.add_row(str(row.job_id), row.status, *numbers, _clock(row.at), row.worker or "", row.error or "")
    console().print(table, soft_wrap=True)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="milliseconds")[:23]


def _in_json(row: Job | JobEvent) -> dict[str, object]:
    from msgspec import to_builtins

    fields: dict[str, object] = to_builtins(row)
    return fields
