"""What the live views show."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from labkit.celery_app.capacity import Count
from labkit.cli import topic_commands, work_command
from labkit.cli.dispatcher_view import in_celery, picture
from labkit.cli.live import Rates
from labkit.dispatch.class_status import ClassStatus
from labkit.dispatch.monitor import ClassSnapshot, DispatcherSnapshot
from labkit.errors import BrokerUnreachable, UnknownTopic
from labkit.taskqueue.topics import PartitionLag, Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.conditions import PATIENCE

COUNT = Count(granted=0, unacknowledged=2, concurrency=2, reserved=1, waiting=(3, 1, *[0] * 8), limit=4)


def class_look(name: str, *, lag: int | None = 7, held: str = "", waits: tuple[float, ...] = ()) -> ClassSnapshot:
    status = ClassStatus(name=name, topic=f"jobs.{name}", waiting=5, sent=40, shed=3, dead=1, held=held)
    return ClassSnapshot(status=status, on_kafka=lag, waits=waits)


def look(*classes: ClassSnapshot, count: Count | None = COUNT) -> DispatcherSnapshot:
    return DispatcherSnapshot(classes=classes, count=count)


def drawn(one: DispatcherSnapshot, *more: str, produced: dict[str, int] | None = None) -> list[str]:
    console = Console(width=80, record=True, file=StringIO())
    console.print(picture(one, Rates(), *more, produced=produced))
    return [line.rstrip() for line in console.export_text().splitlines() if line.strip()]


def test_a_row_per_class_fits_eighty_columns() -> None:
    waits = tuple(number / 1000 for number in range(1, 102))
    lines = drawn(
        look(class_look("high", waits=waits), class_look("low", held="the queue is full", waits=(1.5, 2.5))),
        "Beat: 5 periodic tasks sent",
        produced={"jobs.high": 51, "jobs.low": 52},
    )
    assert [line.split() for line in lines if line.lstrip().startswith(("high", "low "))][:2] == [
        ["high", "51", "7", "5", "40", "0.0", "3", "1", "51", "ms", "96", "ms"],
        ["low", "52", "7", "5", "40", "0.0", "3", "1", "2.0", "s", "2.5", "s"],
    ]
    assert lines[-3:] == [
        "Celery: high 3, low 1 wait, 2 taken (concurrency 2); 7 of 8 places full",
        "low is held: the queue is full",
        "Beat: 5 periodic tasks sent",
    ]


def test_what_is_not_known_is_said() -> None:
    one = look(class_look("high", lag=None), count=None)
    assert one.kafka_is_away
    lines = drawn(one)
    assert lines[-2].split() == ["high", "?", "5", "40", "0.0", "3", "1"]
    assert lines[-1] == "Celery: Redis does not answer"


def test_without_a_worker_the_way_on_is_named() -> None:
    assert "`labkit celery worker`" in in_celery(look(class_look("high"), count=COUNT._replace(concurrency=0)))


def test_of_one_class_no_name_is_needed() -> None:
    assert in_celery(look(class_look("bridge"))).startswith("Celery: 4 wait, 2 taken")


def test_rates_are_between_two_looks() -> None:
    moments = iter([10.0, 10.0, 12.0, 12.0])
    rates = Rates(clock=lambda: next(moments))
    assert [rates.per_second("a", 5), rates.per_second("b", 0)] == [0.0, 0.0]
    assert [rates.per_second("a", 25), rates.per_second("b", 3)] == [pytest.approx(10.0), pytest.approx(1.5)]


def watched_lags(monkeypatch, lag, goes_on, *, until_empty=False) -> list[str]:
    """The lag in each drawing of the table of `labkit work`, as long as what was drawn so far `goes_on`."""
    drawn: list[str] = []
    monkeypatch.setattr("labkit.taskqueue.repeated_question.RETRY_AGE", 0)
    members = SimpleNamespace(lag=lag, check=lambda: None, status=list)
    view = SimpleNamespace(show=lambda table, words: drawn.append(words.rpartition("lag ")[2]))
    table = SimpleNamespace(draw=lambda workers, lag: None)
    work_command._watch(
        members, SimpleNamespace(wait=lambda _: not goes_on(drawn)), view, table, until_empty=until_empty
    )
    return drawn


@pytest.mark.parametrize("error", [BrokerUnreachable("nobody answers"), UnknownTopic("there is no topic 't'")])
def test_the_table_of_the_workers_waits_as_they_do(monkeypatch, caplog, error) -> None:
    def lag(*, look):
        looks.append(look)
        raise error

    monkeypatch.setattr("labkit.taskqueue.repeated_question.MOMENT", PATIENCE)
    looks = []
    for until_empty in (False, True):
        assert watched_lags(monkeypatch, lag, lambda drawn: len(drawn) < 3, until_empty=until_empty) == ["?"] * 3
    assert set(looks) == {False, True}
    assert caplog.messages == 2 * [f"{error} The workers wait for it; Ctrl-C ends them."]


def test_the_table_of_the_workers_is_drawn_while_kafka_does_not_answer(monkeypatch) -> None:
    def lag(*, look):
        assert may_answer.wait(PATIENCE)
        return [PartitionLag(partition=0, committed=2, end=9)]

    def goes_on(drawn):
        if len(drawn) == 3:
            may_answer.set()
        return not drawn or drawn[-1] != "7"

    monkeypatch.setattr("labkit.taskqueue.repeated_question.MOMENT", 0)
    monkeypatch.setattr("labkit.cli.live.REDRAW_INTERVAL", 0)
    may_answer = threading.Event()
    assert watched_lags(monkeypatch, lag, goes_on)[:3] == ["?"] * 3


def test_the_view_of_a_topic_goes_on_when_the_topic_is_made_anew(monkeypatch) -> None:
    """While somebody watches it, the topic is deleted, and made anew with other partitions."""
    with Topics(MemoryTransport()) as topics:
        topics.create("t", partitions=2)
        steps = iter([lambda: topics.delete("t"), lambda: topics.create("t", partitions=3), lambda: None])
        drawn_tables = []

        def wait(_seconds: float) -> bool:
            step = next(steps, None)
            if step is not None:
                step()
            return step is None

        draw = topic_commands._lag_table

        def watched(*which):
            drawn_tables.append(draw(*which))
            return drawn_tables[-1]

        monkeypatch.setattr(topic_commands, "attached_topics", lambda: nullcontext(topics))
        monkeypatch.setattr(topic_commands, "stop_on_signal", lambda: nullcontext(SimpleNamespace(wait=wait)))
        monkeypatch.setattr(topic_commands, "_lag_table", watched)
        monkeypatch.setattr("labkit.taskqueue.repeated_question.MOMENT", PATIENCE)
        monkeypatch.setattr("labkit.taskqueue.repeated_question.RETRY_AGE", 0)
        topic_commands.describe("t", group="g", watch=True)
    assert [len(one.rows) for one, _ in drawn_tables] == [3, 4, 4]  # and one for all
