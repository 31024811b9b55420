"""`labkit demo …`: a whole system in one terminal for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import start_logging, stop_on_signal
from labkit.cli.dispatch_commands import DEFAULT_POLICY, ListsPolicies, Policy
from labkit.cli.option_types import LONGEST
from labkit.errors import LabkitError

if TYPE_CHECKING:
    from rich.console import Group

    from labkit.dispatch.demo import Demo
    from labkit.dispatch.monitor import DispatcherSnapshot
    from labkit.lab import Lab
    from labkit.settings import Settings
    from labkit.taskqueue import Topics

Seconds = Annotated[float, typer.Option(min=1, max=LONGEST, help="How long to produce; Ctrl-C ends it sooner.")]
Seed = Annotated[int, typer.Option(help="Of the arrivals and the tasks.")]

demo_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.add_typer(demo_app, name="demo", help="A whole system in one terminal, with a sum that adds up.")


@demo_app.command()
def bridge(seconds: Seconds = 60, seed: Seed = 0) -> None:
    """Messages go over Kafka to Celery.

    Producer, bridge, Celery worker, which prints them, and Beat. Uses the running lab, or starts it for as long as the
    demo runs.
    """
    from labkit.dispatch.demo import bridge_demo

    _run(lambda lab, topics, settings: bridge_demo(lab, topics, seed=seed, settings=settings), seconds)


@demo_app.command(cls=ListsPolicies)
def priority(seconds: Seconds = 60, policy: Policy = DEFAULT_POLICY, seed: Seed = 0) -> None:
    """A high and a low class want more than Celery can do.

    Two producers, dispatcher and Celery worker. Uses the running lab, or starts it for as long as the demo runs.
    """
    from labkit.dispatch.demo import priority_demo
    from labkit.plugin import import_from_here
    from labkit.policies import make_policy

    import_from_here()
    make_policy(policy)  # what is wrong with it should be said before a lab is started
    _run(lambda lab, topics, settings: priority_demo(lab, topics, policy, seed=seed, settings=settings), seconds)


def _run(make: Callable[[Lab, Topics, Settings], Demo], seconds: float) -> None:
    from labkit.cli.dispatcher_view import follow, picture
    from labkit.cli.live import LiveView, Rates
    from labkit.cli.paragraph import Paragraph, say
    from labkit.dispatch.own_space import own_settings, own_topics
    from labkit.lab import open_lab
    from labkit.process.output_lines import printed_outputs
    from labkit.settings import load_settings

    settings = own_settings(load_settings())
    rates = Rates()
    start_logging("dispatcher")
    with stop_on_signal() as stop, open_lab(settings=settings) as lab, own_topics(lab, settings) as topics:
        say(f"The demo runs on {lab.bootstrap_servers}, on topics that begin with {settings.topic_prefix}")
        with LiveView() as view, printed_outputs(), make(lab, topics, settings) as demo:

            def draw(look: DispatcherSnapshot) -> Group:
                beat = () if demo.beat is None else (f"Beat: {demo.beat.sent} periodic tasks sent",)
                return picture(look, rates, *beat, produced=demo.produced())

            follow(view, stop, demo.look, draw, seconds=seconds)
            total = demo.stop()
            view.end(Paragraph(f"What became of the tasks: {total}."))
    if demo.refused():
        say(f"The broker did not acknowledge {demo.refused()} more tasks.")
    if total.missing:
        raise LabkitError(f"The sum does not add up: {total}. The logs are in {settings.results_dir / 'logs'}.")
    say(f"It adds up: {total}.")
