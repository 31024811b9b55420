"""`labkit celery …` and `labkit bridge`: Celery's worker and Beat in this terminal, and the bridge from a topic."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import choose, say_all, start_logging, stop_on_signal
from labkit.cli.option_types import MOST_WORKERS, group_name, topic_name
from labkit.errors import WorkerFailed
from labkit.process.signals import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Group

    from labkit.celery_app.celery_status import CeleryStatus, OutcomeCounter
    from labkit.dispatch.monitor import DispatcherSnapshot


#: How often it is looked whether Beat could go on, in seconds.
CHECK_INTERVAL = 0.2

celery_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.add_typer(celery_app, name="celery", help="Celery's worker and Beat in this terminal, and how Celery stands.")
    app.command()(bridge)


@celery_app.command()
def worker(
    pool: Annotated[
        str, typer.Option(help="Where tasks run: prefork (processes), threads, or solo (one task at a time).")
    ] = "prefork",
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_WORKERS, help="How many tasks at once.", show_default="2; with --pool solo: 1"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The name of this worker; no other may have it.", show_default="a new one")
    ] = None,
) -> None:
    """Perform the tasks in Celery's queue until Ctrl-C; then finish those that run."""
    start_logging("celery")
    from typing import get_args

    from labkit.celery_app.capacity import connect
    from labkit.celery_app.celery_overrides import is_terminated
    from labkit.celery_app.celery_status import OutcomeCounter, reachable_broker
    from labkit.celery_app.celery_worker import Pool, run_worker, worker_app
    from labkit.celery_app.known_kinds import differing_kinds
    from labkit.cli.line_stream import print_line_by_line
    from labkit.dispatch.factory import new_name
    from labkit.dispatch.session_options import concurrency_of
    from labkit.settings import load_settings

    pools: dict[str, Pool] = {one: one for one in get_args(Pool)}
    the_pool = choose("pool", pool, pools)
    at_once = concurrency_of(the_pool, concurrency)
    the_name = name or new_name("celery")
    settings = load_settings()
    url = reachable_broker(settings)
    print_line_by_line()
    tally = OutcomeCounter()
    app = worker_app(settings, tally=tally)
    say_all(differing_kinds(connect(url), settings))
    status = run_worker(
        app,
        pool=the_pool,
        concurrency=at_once,
        name=the_name,
        on_ready=lambda: print(f"{the_name} is ready: {at_once} at once ({the_pool}). Ctrl-C ends it.", flush=True),
        on_ending=lambda taken: print(
            f"{the_name} ends when what it has taken is done ({taken}); Ctrl-C again gives it back to the queue.",
            flush=True,
        ),
    )
    print(_summary(the_name, tally), flush=True)
    if is_terminated():
        print(f"{the_name} gave back to the queue what it had not done.", flush=True)
        os._exit(INTERRUPTED)  # no thread that still has a task holds it up
    if status != 0:
        raise WorkerFailed(f"{the_name} could not go on; celery.log in the folder of logs says why.")


@celery_app.command()
def beat() -> None:
    """Send the periodic tasks of LABKIT_BEAT_HEARTBEAT and LABKIT_BEAT_LAG to Celery's workers until Ctrl-C.

    Of several Beats one is at work; the others wait and take over when it ends.
    """
    start_logging("beat")
    from labkit.celery_app.beat import Beat
    from labkit.celery_app.celery_status import reachable_broker
    from labkit.settings import load_settings

    settings = load_settings()
    reachable_broker(settings)
    unprinted: list[OSError] = []

    def say(words: str) -> None:
        """Beat calls this on its own thread, which is to have nothing to do with what becomes of the output."""
        try:
            print(words, flush=True)
        except OSError as error:
            unprinted.append(error)

    with stop_on_signal() as stop, Beat(settings=settings, say=say) as running:
        while not stop.wait(CHECK_INTERVAL) and not unprinted:
            running.check()
    for error in unprinted:
        raise error
    print(f"Beat has ended: {running.sent} periodic tasks sent.")


@celery_app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show Celery's workers, what waits on each priority level, what is taken and how much may be."""
    from labkit.celery_app.celery_status import celery_status
    from labkit.settings import load_settings

    found = celery_status(load_settings())
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        _show(found)


def _summary(name: str, tally: OutcomeCounter) -> str:
    from labkit.celery_app.celery_status import PERIODIC
    from labkit.measure.task_record import DEAD, DONE, FAILED, REPEATED

    dead = tally.total(DEAD)
    listed = " They are dead letters: `labkit dead list --topic TOPIC` lists those of a topic." if dead else ""
    return (
        f"{name} has ended: {tally.total(DONE)} tasks done, {tally.total(FAILED)} attempts failed, "
        f"{dead} tasks given up, {tally.total(REPEATED)} recognised as done before, "
        f"{tally.total(PERIODIC)} periodic tasks.{listed}"
    )


def _show(found: CeleryStatus) -> None:
    from labkit.cli.fitting_table import FittingTable
    from labkit.cli.paragraph import console, say

    to = console()
    say(f"Celery at {found.broker}")
    if found.workers:
        workers = FittingTable("worker", "tasks at once", right=("tasks at once",))
        for name, concurrency in found.workers.items():
            workers.add_row(name, str(concurrency))
        to.print(workers)
    else:
        say("No worker is running; `labkit celery worker` starts one.")
    levels = FittingTable("priority", "waiting", right=("waiting",))
    for level, count in enumerate(found.waiting):
        if count:
            levels.add_row(f"{level} (most urgent)" if level == 0 else str(level), str(count))
    if levels.rows:
        to.print(levels)
    for fact in _facts(found):
        say(fact)


def _facts(found: CeleryStatus) -> list[str]:
    return [
        f"waiting   {sum(found.waiting)} on all priority levels",
        f"running   {found.unacknowledged} with workers, not acknowledged yet",
        f"reserved  {found.reserved} by dispatchers that are about to send",
        f"taken     {found.taken} of {found.capacity} ({found.limit} per task at once)",
    ]


def bridge(
    topic: Annotated[
        str, typer.Option(help="The topic whose records become Celery tasks.", callback=topic_name)
    ] = "task_queue",
    group: Annotated[
        str, typer.Option(help="The group; all its bridges share the partitions.", callback=group_name)
    ] = "celery_bridge",
) -> None:
    """Bring a topic's tasks to Celery until Ctrl-C.

    `labkit celery worker` performs them. While Redis or Kafka is away it keeps its place, and goes on by itself.
    """
    from labkit.cli.dispatcher_view import dead_letters_of, follow, in_celery, left_on_kafka
    from labkit.cli.live import LiveView, Rates
    from labkit.cli.paragraph import Paragraph, say
    from labkit.dispatch.dispatcher import group_of
    from labkit.dispatch.factory import BRIDGE, make_bridge
    from labkit.dispatch.monitor import DispatcherMonitor
    from labkit.dispatch.waiting_kinds import look_for_handlers
    from labkit.lab import attach_lab
    from labkit.settings import load_settings
    from labkit.taskqueue import connect

    settings = load_settings()
    rates = Rates()

    def lines(look: DispatcherSnapshot) -> Group:
        from rich.console import Group

        (one,) = look.classes
        on_kafka = "?" if one.on_kafka is None else one.on_kafka
        status = one.status
        words = (
            f"{topic}: {on_kafka} on Kafka, {status.sent} sent ({rates.per_second('', status.sent):.1f}/s), "
            f"{status.dead} dead"
        )
        return Group(Paragraph(words), Paragraph(in_celery(look)))

    start_logging("dispatcher")
    started = time.monotonic()
    with attach_lab(settings=settings) as lab, connect(lab) as topics, stop_on_signal() as stop:
        dispatcher = make_bridge(lab, topics, topic, group=group, settings=settings)
        say_all(look_for_handlers(lab, topics, {topic: group_of(group, BRIDGE)}, settings))
        with (
            DispatcherMonitor(
                lab, topics, dispatcher, group=group, limit=settings.celery_limit, settings=settings
            ) as watch,
            LiveView() as view,
        ):
            with dispatcher:
                follow(view, stop, watch.glance, lines)
            left = watch.look()
            view.end(lines(left))
    status = left.classes[0].status
    say(
        f"{status.sent} tasks went from {topic} to Celery in {time.monotonic() - started:.1f} s, {status.dead} are "
        "dead letters."
    )
    dead = dead_letters_of({topic: status.dead})
    if dead:
        say(dead)
    say(left_on_kafka(left))
