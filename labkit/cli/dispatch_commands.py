"""`labkit dispatch`: the priority dispatcher in this terminal.

Priority classes are written one value per class, with commas between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from labkit.cli.checked_command import CheckedCommand
from labkit.cli.common import say_all, start_logging, stop_on_signal
from labkit.cli.option_types import MOST_AT_ONCE, NewPartitions
from labkit.errors import LabkitError
from labkit.kafka_names import must_be_topic_name

if TYPE_CHECKING:
    from labkit.dispatch.class_status import ClassStatus
    from labkit.policies import Policy as DispatchPolicy
    from labkit.policies import PriorityClass


N = TypeVar("N")
D = TypeVar("D")


#: As in `labkit.dispatch.session_options`, for which no help must wait.
DEFAULT_POLICY = "reserve"


Policy = Annotated[str, typer.Option(help="Which class goes next: one listed below, or module:name.")]


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.command(cls=ListsPolicies)(dispatch)


def parse_classes(
    names: str,
    *,
    weights: str | None = None,
    shares: str | None = None,
    deadlines: str | None = None,
    limits: str | None = None,
) -> list[PriorityClass]:
    """The classes in rank order. Where a value is left out, as in `,100`, the class has its default.

    Raises `LabkitError` for what is no number, for values that are not one per class, and for what makes no sense.
    """
    from labkit.policies import Ledger, PriorityClass

    known = [name.strip() for name in names.split(",")]
    if not all(known):
        raise LabkitError(f"The classes {names!r} do not all have a name; write them like high,low.")
    for name in known:
        must_be_topic_name(f"jobs.{name}")
    columns = zip(
        known,
        _numbers("weights", weights, known, float, 1.0),
        _numbers("shares", shares, known, float, 0.0),
        _numbers("deadlines", deadlines, known, float, None),
        _numbers("limits", limits, known, int, None),
        strict=True,
    )
    classes = [
        PriorityClass(name=name, weight=weight, share=share, relative_deadline=deadline, limit=limit)
        for name, weight, share, deadline, limit in columns
    ]
    Ledger(classes)  # whether they go together
    return classes


def parse_options(texts: Iterable[str]) -> dict[str, float]:
    """The options of a policy, each written name=value; raises `LabkitError`."""
    options = {}
    for text in texts:
        name, found, value = text.partition("=")
        if not found:
            raise LabkitError(f"--option {text!r} is not written name=value, like rate=0.5.")
        options[name.strip()] = _number("option", value, float)
    return options


def _numbers(
    option: str, text: str | None, classes: Sequence[str], kind: Callable[[str], N], default: D
) -> Sequence[N | D]:
    if text is None:
        return [default] * len(classes)
    words = text.split(",")
    if len(words) != len(classes):
        raise LabkitError(
            f"--{option} {text!r} does not have one value for each of the {len(classes)} classes "
            f"{', '.join(classes)}; write them with commas between."
        )
    return [_number(option, word, kind) if word.strip() else default for word in words]


def _number(option: str, word: str, kind: Callable[[str], N]) -> N:
    try:
        return kind(word)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise LabkitError(f"--{option}: {word.strip()!r} is not a {what}.") from None


class ListsPolicies(CheckedCommand):
    """A command whose help ends with the policies there are; they are imported only for that."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Name each policy with its options and what it does."""
        from labkit.policies import POLICIES, options_of

        rows = []
        for name, kind in sorted(POLICIES.all().items()):
            if kind is None:
                rows.append((name, "It is installed and cannot be used; choose it to hear why."))
                continue
            summary = ((kind.__doc__ or "").strip().splitlines() or [""])[0]
            options = ", ".join(options_of(name))
            rows.append((name, f"{summary} Options: {options}." if options else summary))
        with formatter.section("Policies"):
            formatter.write_dl(rows)


def dispatch(
    policy: Policy = DEFAULT_POLICY,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the policy, as name=value; may be repeated.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="The classes, the most urgent first; their topics are jobs.<class>.", show_default="LABKIT_CLASSES"
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="For weighted: a weight per class, as 4,1. One left out is 1.")
    ] = None,
    shares: Annotated[
        str | None, typer.Option(help="For quota: the guaranteed share of each class, as 0,0.2. One left out is 0.")
    ] = None,
    deadlines: Annotated[
        str | None, typer.Option(help="For earliest_deadline: seconds per class, as 1,10. One left out is never due.")
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            help="How many of each class may wait here, as ,100: the newest beyond are dropped. Left out: any."
        ),
    ] = None,
    admission: Annotated[
        str | None,
        typer.Option(help="A strategy at admission, as pause:high=100,low=50 or spill:limit=100, or module:name."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_AT_ONCE,
            help="How many tasks per task at once fill Celery's queue.",
            show_default="LABKIT_CELERY_LIMIT",
        ),
    ] = None,
    partitions: NewPartitions = 2,
) -> None:
    """Hand tasks to Celery as a policy decides.

    The tasks are of several classes. `labkit produce --topic jobs.high` feeds it, `labkit celery worker` performs them.
    Several dispatchers share the work. What is held keeps its place in Kafka; while Redis or Kafka is away, all of it
    does. Ctrl-C ends it.
    """
    from labkit.backpressure import parse_strategy
    from labkit.cli.dispatcher_view import dead_letters_of, follow, left_on_kafka, picture
    from labkit.cli.live import LiveView, Rates
    from labkit.cli.paragraph import say
    from labkit.dispatch.dispatcher import group_of
    from labkit.dispatch.factory import DISPATCHER_GROUP, class_topic, make_dispatcher
    from labkit.dispatch.monitor import DispatcherMonitor
    from labkit.dispatch.session_options import limit_of
    from labkit.dispatch.waiting_kinds import look_for_handlers
    from labkit.lab import attach_lab
    from labkit.plugin import import_from_here
    from labkit.policies import make_policy
    from labkit.settings import load_settings
    from labkit.taskqueue import connect

    import_from_here()
    settings = load_settings()
    known = parse_classes(
        classes or settings.classes, weights=weights, shares=shares, deadlines=deadlines, limits=limits
    )
    options = parse_options(option or ())
    # what is wrong with it should be said before any topic is made
    _must_read(make_policy(policy, **options), weights=weights, shares=shares, deadlines=deadlines)
    strategy = None if admission is None else parse_strategy(admission)
    limit = limit_of(limit, settings)
    rates = Rates()
    start_logging("dispatcher")
    started = time.monotonic()
    with attach_lab(settings=settings) as lab, connect(lab) as topics, stop_on_signal() as stop:
        dispatcher = make_dispatcher(
            lab,
            topics,
            known,
            policy,
            options,
            limit=limit,
            admission=strategy,
            partitions=partitions,
            settings=settings,
        )
        groups = {class_topic(one.name): group_of(DISPATCHER_GROUP, one.name) for one in known}
        say_all(look_for_handlers(lab, topics, groups, settings))
        with (
            DispatcherMonitor(lab, topics, dispatcher, group=DISPATCHER_GROUP, limit=limit, settings=settings) as watch,
            LiveView() as view,
        ):
            with dispatcher:
                follow(view, stop, watch.glance, lambda look: picture(look, rates))
            left = watch.look()
            view.end(picture(left, rates))
    classes_at_end = [one.status for one in left.classes]
    say(_summary(classes_at_end, time.monotonic() - started))
    for action, number in dispatcher.turned_away().groupby("action")["tasks"].sum().items():
        say(f"{number} tasks were turned away at admission: {action}.")
    dead = dead_letters_of({one.topic: one.dead for one in classes_at_end})
    if dead:
        say(dead)
    say(left_on_kafka(left))


def _must_read(policy: DispatchPolicy, **given: str | None) -> None:
    """Raise `LabkitError` for what is said of the classes and a policy of labkit's own does not look at."""
    readers = {"weights": "weighted", "shares": "quota", "deadlines": "earliest_deadline"}
    for option, reader in readers.items():
        if given[option] is not None and policy.name != reader and type(policy).__module__.startswith("labkit."):
            raise LabkitError(
                f"The policy {policy.name!r} does nothing with --{option}: leave them out, or take --policy {reader}."
            )


def _summary(classes: Sequence[ClassStatus], seconds: float) -> str:
    from labkit.cli.dispatcher_view import counts_of

    words = [f"{one.name} {counts_of(one)}" for one in classes]
    return f"Dispatched {sum(one.sent for one in classes)} tasks in {seconds:.1f} s: {'; '.join(words)}."
