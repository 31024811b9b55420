"""A topic of jobs in memory, and a view of it in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.jobs import JobView, jobs_topic
from labkit.taskqueue import Topic, Topics
from labkit.taskqueue.transport.memory import MemoryTransport


@pytest.fixture
def topics() -> Iterator[Topics]:
    with Topics(MemoryTransport()) as topics:
        yield topics


@pytest.fixture
def topic(topics: Topics) -> Topic:
    return jobs_topic(topics, partitions=2)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.sqlite'}"


@pytest.fixture
def view(topic: Topic, url: str) -> Iterator[JobView]:
    with JobView(topic, url) as view:
        yield view
