"""`labkit bridge`: every record of a topic becomes a Celery task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import start_logging, stop_on_signal

if TYPE_CHECKING:
    from rich.text import Text

    from labkit.dispatch.monitor import DispatcherSnapshot


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.command()(bridge)


def bridge(
    topic: Annotated[str, typer.Option(help="The topic whose records become Celery tasks.")] = "task_queue",
    group: Annotated[str, typer.Option(help="The group; all its bridges share the partitions.")] = "celery_bridge",
) -> None:
    """Bring a topic's tasks to Celery until Ctrl-C.

    `labkit celery worker` performs them. While Redis or Kafka is away it keeps its place, and goes on by itself.
    """
    from labkit.cli.live import Rates, follow, in_celery, left_on_kafka
    from labkit.dispatch.factory import make_bridge
    from labkit.dispatch.monitor import DispatcherMonitor
    from labkit.lab import attach_lab
    from labkit.settings import load_settings
    from labkit.taskqueue import connect

    settings = load_settings()
    rates = Rates()

    def lines(look: DispatcherSnapshot) -> Text:
        from rich.text import Text

        (one,) = look.classes
        on_kafka = "?" if one.on_kafka is None else one.on_kafka
        status = one.status
        words = (
            f"{topic}: {on_kafka} on Kafka, {status.sent} sent ({rates.per_second('', status.sent):.1f}/s), "
            f"{status.dead} dead\n{in_celery(look)}"
        )
        return Text(words, no_wrap=True, overflow="ellipsis")

    start_logging("dispatcher")
    started = time.monotonic()
    with attach_lab(settings=settings) as lab, connect(lab) as topics, stop_on_signal() as stop:
        dispatcher = make_bridge(lab, topics, topic, group=group, settings=settings)
        with DispatcherMonitor(
            lab, topics, dispatcher, group=group, limit=settings.celery_limit, settings=settings
        ) as watch:
            with dispatcher:
                follow(stop, watch.look, lines)
            left = watch.look()
    status = left.classes[0].status
    print(
        f"{status.sent} tasks went from {topic} to Celery in {time.monotonic() - started:.1f} s, {status.dead} are "
        "dead letters."
    )
    print(left_on_kafka(left))
