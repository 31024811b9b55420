"""The topic of one queue as the message API knows it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from labkit.api.messages.names import TopicNames, api_prefix
from labkit.errors import TopicMismatch, UnknownTopic
from labkit.taskqueue.dead_letters import ensure_dead_topic
from labkit.taskqueue.topics import Topic, Topics

#: With how many partitions the topic of a queue is made.
PARTITIONS = 2


@dataclass(slots=True)
class TopicLog:
    """One topic. `partitions` grows with the topic; see `look_again`."""

    topic: Topic
    names: TopicNames
    partitions: int

    @property
    def name(self) -> str:
        """The name that users know."""
        return self.topic.name

    @property
    def full_name(self) -> str:
        """The name on the broker."""
        return self.topic.full_name

    def look_again(self, topics: Topics) -> None:
        """Ask the broker how many partitions there are."""
        self.partitions = topics.describe(self.name).partitions


def open_topic(topics: Topics, name: str) -> TopicLog:
    """The topic of the queue of that name and its topic of dead letters, which are made if they are not there."""
    try:
        found = topics.describe(name)
    except UnknownTopic:
        with suppress(TopicMismatch):  # somebody else has made it just now
            topics.create(name, partitions=PARTITIONS)
        found = topics.describe(name)
    topic = topics.get(name)
    ensure_dead_topic(topic)
    return TopicLog(topic, TopicNames(f"{api_prefix(topics.prefix)}{found.id}:"), found.partitions)
