"""`labkit produce`: put tasks on a topic."""

from __future__ import annotations

import random
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labkit.cli.checked_command import CheckedCommand
from labkit.cli.common import (
    attached_topics,
    choose,
    send_on_schedule,
    start_logging,
    stop_on_signal,
)
from labkit.cli.option_types import MOST_TASKS, NewPartitions, Rate, group_name, topic_name
from labkit.errors import LabkitError, UnknownTopic
from labkit.plain_text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.measure.records import Receipt
    from labkit.taskqueue import Task, Topic, Topics
    from labkit.taskqueue.admission import ProducerAdmission

#: How many tasks are sent when neither messages nor a number are given.
DEFAULT_COUNT = 10
#: The group of `labkit work`.
DEFAULT_GROUP = "worker_group"
#: Up to this many tasks are shown one by one; more are summed up in a live line.
SHOWN_ONE_BY_ONE = 20
#: The shortest time from the first task to the last of which a rate is told, in seconds.
SHORTEST = 0.01


class ListsPartitioners(CheckedCommand):
    """A command whose help ends with the partitioners and strategies there are; they are looked up only for that."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Name them, those of entry points too."""
        from labkit.backpressure import STRATEGIES
        from labkit.taskqueue.partitioners import partitioner_names

        with formatter.section("Partitioners"):
            formatter.write_text(", ".join(partitioner_names()))
        with formatter.section("Strategies"):
            formatter.write_text(", ".join(STRATEGIES.names()))


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.command(cls=ListsPartitioners)(produce)


def produce(
    messages: Annotated[list[str] | None, typer.Argument(help="What to send; stock tasks without.")] = None,
    topic: Annotated[
        str, typer.Option(help="The topic; made if it does not exist.", callback=topic_name)
    ] = "task_queue",
    partitions: NewPartitions = 2,
    rate: Rate = 50.0,
    count: Annotated[
        int | None, typer.Option(min=1, max=MOST_TASKS, help="How many tasks; 10 stock tasks without.")
    ] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Go on until Ctrl-C.")] = False,
    arrivals: Annotated[str, typer.Option(help="constant, poisson or burst.")] = "constant",
    keys: Annotated[int | None, typer.Option(min=1, max=MOST_TASKS, help="Give each task one of so many keys.")] = None,
    partitioner: Annotated[str | None, typer.Option(help="Which partition; one listed below, or module:name.")] = None,
    backpressure: Annotated[
        str | None,
        typer.Option(
            help="A strategy that judges each task by the group's lag, as slow:threshold=100, refuse or module:name."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="With --backpressure: whose lag counts.", callback=group_name, show_default=DEFAULT_GROUP),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Repeat arrivals, keys and task ids; all new without.", show_default=False)
    ] = None,
) -> None:
    """Put tasks on a topic, at a steady rate, and say where the broker put them."""
    from labkit.backpressure import parse_strategy
    from labkit.cli.paragraph import say
    from labkit.plugin import import_from_here
    from labkit.taskqueue import Producer
    from labkit.taskqueue.admission import ProducerAdmission
    from labkit.taskqueue.arrivals import ARRIVALS
    from labkit.taskqueue.groups.group_kind import must_be_kind
    from labkit.taskqueue.partitioners import make_partitioner

    if forever and count is not None:
        raise LabkitError("Say how many by --count, or go on by --forever, not both.")
    if group is not None and backpressure is None:
        raise LabkitError(
            "Without --backpressure no lag counts, so --group does nothing: give it too, or leave it out."
        )
    import_from_here()
    rng = random.Random(seed)
    moments = choose("arrivals", arrivals, ARRIVALS)(rate, rng)
    partition_of = None if partitioner is None else make_partitioner(partitioner, rng)
    total = None if forever else count or (len(messages) if messages else DEFAULT_COUNT)
    tally = _ReceiptCounts(one_by_one=total is not None and total <= SHOWN_ONE_BY_ONE)
    strategy = None if backpressure is None else parse_strategy(backpressure)
    start_logging("producer")
    with attached_topics() as topics, stop_on_signal() as stop:
        target = _get_or_create(topics, topic, partitions)
        watched = group or DEFAULT_GROUP
        if strategy is not None:
            must_be_kind(target, watched)
        admission = None if strategy is None else ProducerAdmission(strategy, target, group=watched)
        try:
            with (
                tally.shown(),
                Producer(target, partitioner=partition_of, on_receipt=tally.take, admission=admission) as producer,
            ):
                tasks = tally.watch(_tasks(messages, keys, rng), total)
                send_on_schedule(producer, tasks, moments, stop)
        finally:  # also if a second Ctrl-C gives up what is under way
            say(tally.summary(topic))
    if admission is not None:
        _say_turned_away(admission)
    if tally.refused:
        raise LabkitError(f"{tally.refused} tasks were not acknowledged; the last reason: {tally.reason}")


def _say_turned_away(admission: ProducerAdmission) -> None:
    counts = admission.turned_away().groupby("action")["tasks"].sum()
    for action, number in counts.items():
        print(f"{number} tasks were turned away at admission: {action}.")


def _tasks(messages: list[str] | None, keys: int | None, rng: random.Random) -> Iterator[tuple[Task, str]]:
    """Tasks without end, each with the text that stands for it."""
    from labkit.taskqueue.task import MESSAGE_KIND, STOCK_KIND, new_task, stock_messages

    kind = MESSAGE_KIND if messages else STOCK_KIND
    for message in cycle(messages) if messages else stock_messages():
        key = None if keys is None else f"key-{rng.randrange(keys)}"
        yield new_task(kind, message, key=key, rng=rng), message


def _get_or_create(topics: Topics, name: str, partitions: int) -> Topic:
    from labkit.jobs.topic_kind import topic_of_tasks

    try:
        return topic_of_tasks(topics, name)
    except UnknownTopic:
        return topics.create(name, partitions=partitions)


class _ReceiptCounts:
    """Counts receipts, which come from a thread of the client, and shows them."""

    def __init__(self, *, one_by_one: bool) -> None:
        self._one_by_one = one_by_one
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}
        self._per_partition: Counter[int] = Counter()
        self._sent = 0
        self._lateness = self._latest = 0.0
        self._first = self._last = 0.0
        self._last_line = ""
        self.refused = 0
        self.reason = ""

    def watch(self, tasks: Iterator[tuple[Task, str]], total: int | None) -> Iterator[Task]:
        """Pass on `total` tasks (None: all) and remember their texts until their receipts come."""
        for task, text in islice(tasks, total):
            with self._lock:
                self._texts[task.id] = text
            yield task
            with self._lock:
                self._sent += 1  # not before: the last one may be asked for and never be due

    def take(self, receipt: Receipt) -> None:
        """Count one receipt."""
        with self._lock:
            text = self._texts.pop(receipt.task_id)
            late = receipt.produced_at - receipt.scheduled_at
            self._lateness += late
            self._latest = max(self._latest, late)
            self._first = self._first or receipt.produced_at
            self._last = receipt.produced_at
            if receipt.partition is None:
                self.refused += 1
                self.reason = receipt.error or ""
                line = f"{text} -> not acknowledged: {receipt.error}"
            else:
                self._per_partition[receipt.partition] += 1
                line = f"{text} -> partition {receipt.partition}, offset {receipt.offset}"
            self._last_line = one_line(line)
        if self._one_by_one:
            with suppress(OSError):  # where nothing can be printed any more, the summary shows it, on its own thread
                print(one_line(line), flush=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, a line tells again and again how it stands, and at the end how it ended; not where each is shown."""
        from labkit.cli.live import REDRAW_INTERVAL, LiveView
        from labkit.cli.paragraph import Paragraph

        if self._one_by_one:
            yield
            return
        over = threading.Event()
        with LiveView() as view:

            def draw() -> None:
                while not over.wait(REDRAW_INTERVAL):
                    view.show(Paragraph(self._line(self._last_line)), self._line())

            thread = threading.Thread(target=draw, name="view of what is sent", daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
                self._sent = self._settled  # without what admission has turned away
                view.end(Paragraph(self._line()))

    def _line(self, last: str = "") -> str:
        with self._lock:
            sent = max(self._sent, self._settled)
            return f"sent {sent}, acknowledged {self._acknowledged}{self._rate(', ')}{'   ' if last else ''}{last}"

    def summary(self, topic: str) -> str:
        """What was sent, in words."""
        settled = self._settled
        if settled == 0:
            return f"Sent nothing to {topic}."
        spread = ", ".join(f"partition {number}: {count}" for number, count in sorted(self._per_partition.items()))
        tasks = "1 task" if settled == 1 else f"{settled} tasks"
        return (
            f"Sent {tasks} to {topic}{self._rate(' at ')}: {self._acknowledged} acknowledged, "
            f"{self.refused} refused ({spread or 'none'}). The generator was late by "
            f"{1000 * self._lateness / settled:.1f} ms on average, {1000 * self._latest:.1f} ms at most."
        )

    @property
    def _acknowledged(self) -> int:
        return self._per_partition.total()

    @property
    def _settled(self) -> int:
        return self._acknowledged + self.refused

    def _rate(self, before: str) -> str:
        """In words, if there is one: a single task has none, nor have a few that were sent at once."""
        settled, seconds = self._settled, self._last - self._first
        return f"{before}{(settled - 1) / seconds:.1f}/s" if settled > 1 and seconds >= SHORTEST else ""
