"""`labkit records`: what stands on a topic, a line for each record, whoever has written it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import attached_topics, stop_on_signal
from labkit.cli.option_types import MOST_TASKS, topic_name
from labkit.plain_text import one_line

if TYPE_CHECKING:
    from labkit.taskqueue.transport import Record

#: How wide a line is at most where there is no terminal that says it, and at least, in columns.
WIDTH, NARROWEST = 200, 20
#: Which part of a line a key may take, and all headers together.
OF_KEY, OF_HEADERS = 0.2, 0.3


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.command()(records)


def records(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic.", callback=topic_name)],
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="earliest, latest, an offset, or a time as 2026-11-30T20:15 (here, unless it says where).",
        ),
    ] = "earliest",
    count: Annotated[
        int | None, typer.Option(min=1, max=MOST_TASKS, help="End after so many.", show_default="all that are there")
    ] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, max=2**31 - 1, help="Of this partition alone.", show_default="all")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes until Ctrl-C.")] = False,
) -> None:
    """Show the records of a topic, each on a line that is cut at the width of the terminal.

    A line has partition/offset, the time, the key, {the headers} and the value; what is no text is escaped. Nothing is
    taken from the topic, and no group moves.
    """
    from labkit.taskqueue.record_feed import RecordFeed
    from labkit.taskqueue.start_point import StartPoint

    begin = StartPoint.parse(start, option="from")
    with attached_topics() as topics, RecordFeed(topics, topic, begin, partition=partition, say=_say) as feed:
        if follow:
            with stop_on_signal() as stop:
                _show(feed.follow(stop), count)
        elif not _show(feed.stored(), count):
            _say(f"There are no records from there on; --from earliest shows all that {topic} holds.")


def _show(found: Iterable[Record], count: int | None) -> int:
    """Show them as they come; how many there were."""
    shown = 0
    for shown, record in enumerate(found, start=1):
        print(line_of(record, max(shutil.get_terminal_size((WIDTH, 0)).columns, NARROWEST)), flush=True)
        if shown == count:
            break
    return shown


def _say(sentence: str) -> None:
    from labkit.cli.lab_commands import for_this_lab

    print(f"labkit: {for_this_lab(one_line(sentence))}", file=sys.stderr, flush=True)


def line_of(record: Record, width: int) -> str:
    """The record on one line of so many columns at most."""
    headers = ", ".join(f"{name}={_text(value, width)}" for name, value in record.headers)
    return _cut(
        " ".join(
            (
                f"{record.partition}/{record.offset}",
                _time(record.timestamp_ms),
                "(no key)" if record.key is None else _cut(_text(record.key, width), int(width * OF_KEY)),
                f"{{{_cut(one_line(headers), int(width * OF_HEADERS))}}}",
                "(no value)" if record.value is None else _text(record.value, width),
            )
        ),
        width,
    )


def _text(content: bytes, width: int) -> str:
    """As much of it as may be seen on a line, with all escaped that is no text."""
    return one_line(content[: 4 * width].decode(errors="backslashreplace"))  # a letter has four bytes at most


def _cut(text: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"


def _time(timestamp_ms: int) -> str:
    if timestamp_ms < 0:  # as Kafka writes that there is none
        return "(no time)"
    try:
        at = datetime.fromtimestamp(timestamp_ms / 1000).astimezone()
    except (ValueError, OverflowError, OSError):  # any client may write any number
        return f"{timestamp_ms} ms"
    return at.isoformat(sep=" ", timespec="milliseconds")[:23]
