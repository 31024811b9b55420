"""Which names Kafka takes for topics and groups."""

from __future__ import annotations

import re

from labkit.errors import LabkitError, TransportError

#: How many characters the name of a topic may have, and that of a group here: it is part of other names.
LONGEST_NAME = 249


class BadTopicName(TransportError):
    """This cannot be the name of a topic."""

    says = "This cannot be the name of a topic."


_TOPIC = re.compile(r"[A-Za-z0-9._-]+")


def must_be_topic_name(name: str) -> str:
    """The name, if a topic may have it; raises `BadTopicName`, which says why not."""
    if not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise BadTopicName(
            f"{_shown(name)} cannot be the name of a topic: Kafka takes letters, digits, dots, hyphens and "
            "underscores, and neither . nor .. alone."
        )
    if len(name) > LONGEST_NAME:
        raise BadTopicName(
            f"{_shown(name)} cannot be the name of a topic: it has {len(name)} characters, and Kafka takes "
            f"{LONGEST_NAME}."
        )
    return name


def must_be_group_name(name: str) -> str:
    """The name, if a group may have it; raises `LabkitError`, which says why not."""
    if not name or len(name) > LONGEST_NAME:
        raise LabkitError(
            f"{_shown(name)} cannot be the name of a group: give it 1 to {LONGEST_NAME} characters, not {len(name)}."
        )
    return name


def _shown(name: str) -> str:
    """So that it fits into a sentence."""
    return repr(name if len(name) <= 40 else f"{name[:40]}…")
