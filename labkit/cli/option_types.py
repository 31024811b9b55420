"""The limits of what options mean, in one place: how many, how often, how long, and which names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from labkit.errors import LabkitError
from labkit.kafka_names import must_be_group_name, must_be_topic_name

#: Workers in one terminal: each has a client of Kafka's with its connections, or is a process.
MOST_WORKERS = 100
#: Tasks at once in one worker; on an asyncio loop that many can wait.
MOST_AT_ONCE = 10_000
#: What a broker or two can hold.
MOST_PARTITIONS = 1_000
#: Tasks, jobs, keys.
MOST_TASKS = 1_000_000_000
#: Tasks a second, from one in about three hours to more than any client sends.
LOWEST_RATE, HIGHEST_RATE = 0.0001, 1_000_000
#: How often a task is tried, at most.
MOST_ATTEMPTS = 1_000
#: As in `labkit.settings`, for which no help must wait: a year, in seconds.
LONGEST = 365 * 86_400.0
#: The ids of jobs: what a browser's numbers hold exactly. As in `labkit.jobs.job`, for which no help must wait.
MAX_JOB_ID = 2**53 - 1

NewPartitions = Annotated[int, typer.Option(min=1, max=MOST_PARTITIONS, help="Partitions of a topic that is made.")]
Workers = Annotated[int, typer.Option(min=1, max=MOST_WORKERS, help="How many workers.")]

Rate = Annotated[float, typer.Option(min=LOWEST_RATE, max=HIGHEST_RATE, help="How many per second.")]


def topic_name(name: str | None) -> str | None:
    """For `callback=`: a name that Kafka takes, or `typer.BadParameter`."""
    return _checked(must_be_topic_name, name)


def group_name(name: str | None) -> str | None:
    """For `callback=`: a name that a group may have, or `typer.BadParameter`."""
    return _checked(must_be_group_name, name)


def _checked(check: Callable[[str], str], name: str | None) -> str | None:
    try:
        return None if name is None else check(name)
    except LabkitError as error:
        raise typer.BadParameter(str(error)) from error
