"""`labkit topics …` and `labkit dead …`: topics, how far a group lags on them, and their dead letters."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labkit.cli.common import attached_topics, confirm, stop_on_signal
from labkit.cli.option_types import MOST_PARTITIONS, group_name, topic_name
from labkit.errors import BrokerUnreachable, LabkitError, NotReplayable, UnknownTopic
from labkit.plain_text import in_json, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from labkit.cli.fitting_table import FittingTable
    from labkit.taskqueue import Topics
    from labkit.taskqueue.dead_letter import DeadLetter
    from labkit.taskqueue.dead_letters import DeadLetters
    from labkit.taskqueue.topics import PartitionLag


#: How many dead letters that cannot be put back are named.
NAMED = 3
#: How often the lag is looked up again, in seconds.
WATCH_INTERVAL = 0.5

Name = Annotated[str, typer.Argument(help="The topic.", callback=topic_name)]
Partitions = Annotated[int, typer.Option(min=1, max=MOST_PARTITIONS, help="How many partitions.")]

topics_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

#: How much of an error is shown in the list, in characters.
SHOWN_OF_ERROR = 300

Topic = Annotated[str, typer.Option(help="The topic that the tasks were on.", callback=topic_name)]
TopicOfAll = Annotated[
    str | None,
    typer.Option(
        "--topic", help="With --all: the topic that the tasks were on.", callback=topic_name, show_default="task_queue"
    ),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="The dead letter, as `labkit dead list` names it.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="The dead letters; or take --all.")]
Every = Annotated[bool, typer.Option("--all", help="All of the topic's.")]

dead_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.add_typer(topics_app, name="topics", help="List, create, describe, grow and delete topics.")
    app.add_typer(dead_app, name="dead", help="List, show, replay and drop tasks that were given up.")


@topics_app.command("list")
def list_topics() -> None:
    """Name every topic."""
    with attached_topics() as topics:
        print("\n".join(map(one_line, topics.names())) or "There are no topics yet. `labkit produce` makes one.")


@topics_app.command()
def create(name: Name, partitions: Partitions = 2) -> None:
    """Create a topic."""
    with attached_topics() as topics:
        topics.create(name, partitions=partitions)
        print(f"{name} has {partitions} partitions.")


@topics_app.command()
def describe(
    name: Name,
    group: Annotated[str, typer.Option(help="Show the lag of this group.", callback=group_name)] = "worker_group",
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
) -> None:
    """Show a topic's partitions and how far a group is behind on each."""
    from labkit.cli.lab_commands import for_this_lab
    from labkit.cli.live import LiveView
    from labkit.cli.paragraph import Paragraph, console
    from labkit.taskqueue.groups.group_kind import must_be_kind
    from labkit.taskqueue.repeated_question import RepeatedQuestion

    with attached_topics() as topics:
        must_be_kind(topics.get(name), group)
        table, words = _lag_table(topics.lag(name, group=group), name, group)
        if not watch:
            console().print(table)
            return
        away = (BrokerUnreachable, UnknownTopic)  # it may come back, or be made anew
        question = RepeatedQuestion(partial(topics.lag, name, group=group), max_age=0.0, passing=away)
        with stop_on_signal() as stop, LiveView() as view:
            frame: RenderableType = table
            view.show(frame, words)
            while not stop.wait(WATCH_INTERVAL):
                lags, trouble = question.look()
                if trouble is not None:
                    words = for_this_lab(f"{trouble} This view goes on when that has changed; Ctrl-C ends it.")
                    frame = Paragraph(words)
                elif lags is not None:
                    frame, words = _lag_table(lags, name, group)
                view.show(frame, words)
            view.end(frame)


def _lag_table(lags: Sequence[PartitionLag], name: str, group: str) -> tuple[FittingTable, str]:
    from labkit.cli.fitting_table import FittingTable

    numbers = ("end offset", f"committed by {group}", "lag")
    table = FittingTable("partition", *numbers, title=name, right=numbers)
    for entry in lags:
        table.add_row(str(entry.partition), str(entry.end), str(entry.committed), str(entry.lag))
    end, total = sum(entry.end for entry in lags), sum(entry.lag for entry in lags)
    table.add_row("all", "", "", str(total))
    return table, f"{name}: lag {total} of {group}, {end} records written"


@topics_app.command()
def grow(name: Name, partitions: Partitions) -> None:
    """Raise the number of partitions; records stay where they are."""
    with attached_topics() as topics:
        topics.grow(name, partitions=partitions)
        print(f"{name} has {partitions} partitions now. Keys may go to other partitions from here on.")


@topics_app.command()
def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a topic with all its records."""
    with attached_topics() as topics:
        try:
            topics.get(name)
        except UnknownTopic as error:
            raise UnknownTopic(f"There is no topic {name!r}. `labkit topics list` shows those there are.") from error
        if not yes:
            confirm(f"Delete {name} with all its records?")
        topics.delete(name)
        print(f"{name} is deleted.")


@dead_app.command("list")
def list_letters(
    topic: Topic = "task_queue", as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """List the dead letters of a topic, the oldest first."""
    with attached_topics() as topics:
        letters = _of(topics, topic).list()
    if as_json:
        print(in_json(json.dumps([_in_json(letter) for letter in letters], indent=2)))
    elif letters:
        _print_table(letters, topic)
    else:
        print(f"{topic} has no dead letters.")


@dead_app.command()
def show(letter_id: Id) -> None:
    """Show one as JSON: why it was given up, and the record as it was."""
    topic = _topic_of(letter_id)
    with attached_topics() as topics:
        letter = _of(topics, topic).get(letter_id)
    print(in_json(json.dumps(_in_json(letter), indent=2, ensure_ascii=False)))


@dead_app.command()
def replay(ids: Ids = None, every: Every = False, topic: TopicOfAll = None) -> None:
    """Put dead letters back on the topic they come from; with --all, those that cannot be are named and stay."""
    _must_act(ids, topic)
    with attached_topics() as topics:
        if every and not ids:
            name = topic or "task_queue"
            _replay_all(_of(topics, name), name)
            return
        for name, letters, chosen in _chosen(topics, ids, every, topic):
            print(f"{letters.replay(chosen)} put back on {name}.")


def _replay_all(letters: DeadLetters, topic: str) -> None:
    count, left = letters.replay_all()
    print(f"{count} put back on {topic}.")
    if left:
        named = "; ".join(f"{letter_id}: {why}" for letter_id, why in islice(left.items(), NAMED))
        more = f"; and {len(left) - NAMED} more" if len(left) > NAMED else ""
        raise NotReplayable(f"{len(left)} cannot be put back and stay dead letters. {named}{more}.")


@dead_app.command()
def drop(
    ids: Ids = None,
    every: Every = False,
    topic: TopicOfAll = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop dead letters for good."""
    _must_act(ids, topic)
    with attached_topics() as topics:
        for name, letters, chosen in _chosen(topics, ids, every, topic):
            if not yes:
                confirm(f"Drop {len(chosen)} dead letters of {name} for good?")
            print(f"{letters.drop(chosen)} of {name} dropped.")


def _of(topics: Topics, name: str) -> DeadLetters:
    from labkit.jobs.topic_kind import must_have_letters
    from labkit.taskqueue.dead_letters import DeadLetters

    must_have_letters(topics, name)
    return DeadLetters(topics, name)


def _must_act(ids: list[str] | None, topic: str | None) -> None:
    if ids and topic is not None:
        raise LabkitError("An id names its topic, so --topic does nothing beside ids: leave it out, or take --all.")


def _chosen(
    topics: Topics, ids: list[str] | None, every: bool, topic: str | None
) -> list[tuple[str, DeadLetters, list[str]]]:
    """Per topic its name, its dead letters and the ids to act on."""
    if bool(ids) == every:
        raise LabkitError("Name dead letters by their ids, or take --all; `labkit dead list` shows them.")
    if every:
        topic = topic or "task_queue"
        letters = _of(topics, topic)
        return [(topic, letters, [letter.id for letter in letters.list()])]
    by_topic: dict[str, list[str]] = {}
    for letter_id in ids or ():
        by_topic.setdefault(_topic_of(letter_id), []).append(letter_id)
    return [(name, _of(topics, name), named) for name, named in by_topic.items()]


def _topic_of(letter_id: str) -> str:
    topic, *place = letter_id.split("/")
    if len(place) not in (2, 3):  # with the topic's id, where two are from one place
        raise LabkitError(f"{letter_id!r} is not the id of a dead letter; one looks like task_queue/0/17.")
    return topic


def _print_table(letters: list[DeadLetter], topic: str) -> None:
    from labkit.cli.fitting_table import FittingTable
    from labkit.cli.paragraph import console

    table = FittingTable("id", "given up at", "by", "attempts", "error", title=f"dead letters of {topic}")
    for letter in letters:
        first_line = (letter.error.splitlines() or [""])[0]
        shown = first_line if len(first_line) <= SHOWN_OF_ERROR else f"{first_line[: SHOWN_OF_ERROR - 1]}…"
        at = datetime.fromtimestamp(letter.at).astimezone().isoformat(sep=" ", timespec="seconds")
        table.add_row(letter.id, at, letter.worker, str(letter.attempts), shown)
    console().print(table, soft_wrap=True)


def _in_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "error": letter.error,
        "attempts": letter.attempts,
        "worker": letter.worker,
        "group": letter.group,
        "topic_id": letter.topic_id,
        "at": letter.at,
        "key": _text(letter.key),
        "value": _text(letter.value),
        "headers": [[name, _text(content)] for name, content in letter.headers],
        "omitted": letter.omitted,
    }


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="replace")
