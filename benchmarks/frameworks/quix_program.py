"""Quix Streams 3: every record is parsed and handed to an empty function, one after the other."""

from __future__ import annotations

from quixstreams import Application
from span import Span, orders

told = orders()
span = Span(told["tasks"])
application = Application(
    broker_address=told["bootstrap"],
    consumer_group=told["group"],
    auto_offset_reset="earliest",
    auto_create_topics=False,
    loglevel="ERROR",
)


def work(value: object) -> None:
    """An empty task."""
    span.begin()
    if span.end():
        application.stop()


frame = application.dataframe(application.topic(told["topic"], value_deserializer="json")).update(work)
application.run()
