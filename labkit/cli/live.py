"""Live views of a dispatcher or a bridge in a terminal, and what is said of them in words."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labkit.plain_text import cell

if TYPE_CHECKING:
    import threading

    from rich.console import Group, RenderableType

    from labkit.celery_app.capacity import Count
    from labkit.dispatch.monitor import DispatcherSnapshot

log = logging.getLogger("labkit.dispatcher")

#: How often a view is drawn again, in seconds.
REDRAW_INTERVAL = 0.5


def follow(
    stop: threading.Event,
    look: Callable[[], DispatcherSnapshot],
    draw: Callable[[DispatcherSnapshot], RenderableType],
    *,
    seconds: float | None = None,
) -> None:
    """Look and draw again and again until `stop`, or for so many seconds. Nothing is drawn where nobody could see it.

    When Kafka is away, that is said once; the dispatcher itself says it of Redis.
    """
    from rich.console import Console
    from rich.live import Live

    ends = None if seconds is None else time.monotonic() + seconds
    away = False
    console = Console(quiet=not sys.stdout.isatty(), highlight=False)
    with Live(console=console, auto_refresh=False) as live, _logs_above_the_view():
        while not stop.wait(REDRAW_INTERVAL) and (ends is None or time.monotonic() < ends):
            now = look()
            if now.kafka_is_away != away:
                away = now.kafka_is_away
                log.warning("Kafka does not answer; everything waits for it" if away else "Kafka answers again")
            live.update(draw(now), refresh=True)


class Rates:
    """How fast counts grow, between two looks. `clock` gives seconds from any moment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def per_second(self, name: str, count: int) -> float:
        """Since the last call for this name; 0 at the first."""
        now = self._clock()
        then, before = self._seen.get(name, (now, count))
        self._seen[name] = now, count
        return (count - before) / (now - then) if now > then else 0.0


def picture(look: DispatcherSnapshot, rates: Rates, *more: str, produced: Mapping[str, int] | None = None) -> Group:
    """A table with a row per class, Celery's queue, why who is held, and the lines in `more`.

    `produced`, by topic, is a column of its own where it is known. The lag includes what waits here.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table

    numbers = ["lag", "waiting", "sent", "sent/s", "shed", "dead", "wait p50", "p95"]
    table = Table("class", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for heading in numbers if produced is None else ["produced", *numbers]:
        table.add_column(heading, justify="right")
    for one in look.classes:
        status = one.status
        table.add_row(
            cell(status.name),
            *([] if produced is None else [str(produced[status.topic])]),
            _or_unknown(one.on_kafka),
            str(status.waiting),
            str(status.sent),
            f"{rates.per_second(status.name, status.sent):.1f}",
            str(status.shed),
            str(status.dead),
            _seconds(one.median_wait),
            _seconds(one.long_wait),
        )
    held = [f"{one.status.name} is held: {one.status.held}" for one in look.classes if one.status.held]
    return Group(table, *map(cell, (in_celery(look), *held, *more)))


def in_celery(look: DispatcherSnapshot) -> str:
    """Celery's queue in one line."""
    count = look.count
    if count is None:
        return "Celery: Redis does not answer"
    if not count.processes:
        return f"Celery: {_waiting(look, count)}; no worker runs, `labkit celery worker` starts one"
    return (
        f"Celery: {_waiting(look, count)}, {count.unacknowledged} taken by {count.processes} processes; "
        f"{count.taken} of {count.capacity} places full"
    )


def left_on_kafka(look: DispatcherSnapshot) -> str:
    """For a summary: what the group has not settled, by class."""
    if look.kafka_is_away:
        return "Kafka does not answer, so it is not known how many tasks are left."
    words = [
        f"{one.status.name} {'unknown (its topic is gone)' if one.is_gone else one.on_kafka}" for one in look.classes
    ]
    return f"Left on Kafka: {', '.join(words)}."


def _waiting(look: DispatcherSnapshot, count: Count) -> str:
    levels = [f"{one.status.name} {waiting}" for one, waiting in zip(look.classes, count.waiting, strict=False)]
    return f"{sum(count.waiting)} wait" if len(levels) == 1 else f"{', '.join(levels)} wait"


def _or_unknown(number: int | None) -> str:
    return "?" if number is None else str(number)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


@contextmanager
def _logs_above_the_view() -> Iterator[None]:
    """Let what is logged to the terminal stand above the view: rich has put its own stream at sys.stderr for that."""
    moved = [
        (handler, handler.stream)
        for handler in logging.getLogger("labkit").handlers
        if type(handler) is logging.StreamHandler and handler.stream is sys.__stderr__ and sys.__stderr__.isatty()
    ]
    for handler, _ in moved:
        handler.setStream(sys.stderr)
    try:
        yield
    finally:
        for handler, stream in moved:
            handler.setStream(stream)
