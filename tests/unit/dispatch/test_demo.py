"""The producers of a demo: how long their end may take."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest

from labkit.dispatch.demo import Source, _SourceProducer
from labkit.errors import WorkerFailed
from labkit.process.child_process import STOP_TIMEOUT
from labkit.settings import Settings
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport


def test_a_producer_has_the_time_to_settle_what_is_under_way_before_it_is_left_behind():
    settings, waited = Settings(_env_file=None, delivery_timeout=600), []
    with Topics(MemoryTransport()) as topics:
        topics.create("t", partitions=1)
        producer = _SourceProducer(topics, Source("t", 1.0, lambda rng: iter(())), Random(1), settings)
        producer._thread = SimpleNamespace(ident=1, join=waited.append, is_alive=lambda: True)
        with pytest.raises(WorkerFailed, match="did not end in 630 s"):
            producer.stop()
    assert waited == [600 + STOP_TIMEOUT]
