"""How a dispatcher or a bridge stands, for a live view, and what is said of it in words."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from labkit.cli.fitting_table import FittingTable
from labkit.cli.live import REDRAW_INTERVAL, LiveView, Rates
from labkit.cli.paragraph import Paragraph

if TYPE_CHECKING:
    import threading

    from rich.console import Group, RenderableType

    from labkit.celery_app.capacity import Count
    from labkit.dispatch.class_status import ClassStatus
    from labkit.dispatch.monitor import DispatcherSnapshot

log = logging.getLogger("labkit.dispatcher")


def follow(
    view: LiveView,
    stop: threading.Event,
    look: Callable[[], DispatcherSnapshot],
    draw: Callable[[DispatcherSnapshot], RenderableType],
    *,
    seconds: float | None = None,
) -> None:
    """Look and draw again and again until `stop`, or for so many seconds.

    When Kafka is away, that is said once; the dispatcher itself says it of Redis.
    """
    ends = None if seconds is None else time.monotonic() + seconds
    away = False
    while not stop.wait(REDRAW_INTERVAL) and (ends is None or time.monotonic() < ends):
        now = look()
        if now.kafka_is_away != away:
            away = now.kafka_is_away
            log.warning("Kafka does not answer; everything waits for it" if away else "Kafka answers again")
        view.show(draw(now), in_words(now))


def in_words(look: DispatcherSnapshot) -> str:
    """All classes in one line."""
    return "; ".join(
        f"{one.status.name} lag {_or_unknown(one.on_kafka)}, {one.status.waiting} waiting, {counts_of(one.status)}"
        for one in look.classes
    )


def counts_of(status: ClassStatus) -> str:
    """What became of a class's tasks."""
    return f"{status.sent} sent, {status.shed} shed, {status.dead} dead"


def dead_letters_of(topics: Mapping[str, int]) -> str:
    """How many dead letters there are by topic, and what lists them; nothing where there are none."""
    return " ".join(
        f"{count} of {name} {'is a dead letter' if count == 1 else 'are dead letters'}: "
        f"`labkit dead list --topic {name}` lists {'it' if count == 1 else 'them'}."
        for name, count in topics.items()
        if count
    )


def dead_letters_in(outcomes: Counter[str], topic: str) -> str:
    """As `dead_letters_of`, of one topic, from how many attempts had which outcome."""
    from labkit.measure.task_record import BAD, DEAD

    return dead_letters_of({topic: outcomes[DEAD] + outcomes[BAD]})


def picture(look: DispatcherSnapshot, rates: Rates, *more: str, produced: Mapping[str, int] | None = None) -> Group:
    """A table with a row per class, Celery's queue, why who is held, and the lines in `more`.

    `produced`, by topic, is a column of its own where it is known. The lag includes what waits here.
    """
    from rich.console import Group

    numbers = ["lag", "waiting", "sent", "sent/s", "shed", "dead", "wait p50", "p95"]
    headings = numbers if produced is None else ["produced", *numbers]
    table = FittingTable("class", *headings, right=tuple(headings))
    for one in look.classes:
        status = one.status
        table.add_row(
            status.name,
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
    return Group(table, *map(Paragraph, (in_celery(look), *held, *more)))


def in_celery(look: DispatcherSnapshot) -> str:
    """Celery's queue in one line."""
    count = look.count
    if count is None:
        return "Celery: Redis does not answer"
    if not count.concurrency:
        return f"Celery: {_waiting(look, count)}; no worker runs, `labkit celery worker` starts one"
    return (
        f"Celery: {_waiting(look, count)}, {count.unacknowledged} taken (concurrency {count.concurrency}); "
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
