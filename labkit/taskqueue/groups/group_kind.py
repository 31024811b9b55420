"""Whether workers may join a group: Kafka has one name for a consumer group and for a share group, never for both."""

from __future__ import annotations

from contextlib import closing, suppress

from labkit.errors import BrokerUnreachable
from labkit.taskqueue.cluster_errors import OtherGroupKind
from labkit.taskqueue.dead_letter import ensure_dead_topic
from labkit.taskqueue.engine.worker_config import Mode
from labkit.taskqueue.topic import Topic
from labkit.taskqueue.transport.group_contract import SHARE

_WORDS = {"group": "consumer group", "share": "share group"}
#: How a worker joins a group of that kind.
_HOW = {
    "group": "without `--mode share` (`mode='group'` in Python)",
    "share": "by `--mode share` (`mode='share'` in Python)",
}


def must_be_joinable(topic: Topic, group: str, mode: Mode = "group") -> None:
    """Raise what would end workers of this kind that join this group.

    That is `DeadTopicRefused` if the topic cannot have dead letters, `OtherGroupKind`, and `UnknownTopic`.
    """
    ensure_dead_topic(topic, validate_only=True)
    with suppress(BrokerUnreachable):  # of several brokers one may be away, and who joins waits for it
        must_be_kind(topic, group, mode)


def must_be_kind(topic: Topic, group: str, mode: Mode = "group") -> None:
    """Raise `OtherGroupKind` if there is a group of this name (without the prefix) that is of the other kind."""
    name = topic.full_group(group)
    with closing(topic.transport.admin()) as admin:
        kinds = [found.kind for found in admin.list_groups() if found.name == name]
    there: Mode = "share" if SHARE in kinds else "group"
    if kinds and there != mode:
        raise OtherGroupKind(
            f"The group {group!r} is a {_WORDS[there]}, and a {_WORDS[mode]} cannot have its name too. Take another "
            f"name, or work in it {_HOW[there]}. `labkit groups describe {group}` shows how far it is, and where "
            f"nobody needs it any more `labkit groups delete {group}` frees the name."
        )
