"""Namespaces: prefixes of names on the broker and in Redis that one program alone has, and that tell whose they are."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import psutil

from labkit.errors import UnknownTopic
from labkit.taskqueue.topic import Topic
from labkit.taskqueue.transport.contract import AdminClient

#: The machine, the process that made it, and what tells its namespaces apart.
_PATTERN = re.compile(r"own\.(?P<machine>[0-9a-f]{8})\.(?P<pid>\d+)\.[0-9a-f]{8}\.")


def new_namespace() -> str:
    """A prefix that nobody else has."""
    return f"own.{_machine()}.{os.getpid()}.{uuid4().hex[:8]}."


def is_in_namespace(name: str) -> bool:
    """Whether this name, without the prefix of the settings, is one that a program has for itself."""
    return _PATTERN.match(name) is not None


def abandoned(names: Iterable[str]) -> list[str]:
    """Those of the names that belonged to a program of this machine which has ended."""
    return [name for name in names if (found := _PATTERN.search(name)) is not None and _has_ended(found)]


class OwnTopics:
    """The topics that one `Topics` has for itself, by the names that it knows; `prefix` is that of all topics."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._made: dict[str, Topic] = {}
        self._known: dict[str, Topic] = {}

    def __bool__(self) -> bool:
        return bool(self._made)

    def know(self, topic: Topic) -> None:
        """A topic that somebody else has made is meant by its name; it is theirs to delete."""
        self._known[topic.name] = topic

    def describe(self) -> list[dict[str, object]]:
        """All that are known here, as JSON values."""
        fields = ("name", "partitions", "prefix", "group_prefix")
        return [{field: getattr(own, field) for field in fields} for own in (self._made | self._known).values()]

    def find(self, name: str) -> Topic | None:
        """The one that is meant by this name, or whose dead letters are; None if it is none of these."""
        mine = (self._made | self._known).values()
        return next((own for own in mine if _belongs(own.prefix + name, own)), None)

    def names(self, full_names: Iterable[str]) -> set[str]:
        """The names of those that are there, with what belongs to them."""
        found = list(full_names)
        return {name.removeprefix(own.prefix) for own in self._made.values() for name in found if _belongs(name, own)}

    def create(self, client: AdminClient, shared: Topic, *, plain: bool) -> Topic:
        """Make one like `shared`, `plain` by the same name if that is free; its groups are its own in any case."""
        namespace = new_namespace()
        apart, beside = replace(shared, prefix=self._prefix + namespace), replace(shared, group_prefix=namespace)
        for topic in (beside, apart) if plain else (apart,):
            if client.create_topic(topic.full_name, partitions=topic.partitions):
                break
        self._made[shared.name] = topic
        return topic

    def release(self, client: AdminClient, name: str) -> None:
        """Delete the one of this name, and its dead letters, if it is there."""
        topic = self._made.pop(name, None)
        for full_name in () if topic is None else (topic.full_name, f"{topic.full_name}.dead"):
            with suppress(UnknownTopic):
                client.delete_topic(full_name)

    def release_all(self, client: AdminClient) -> None:
        """Delete all of them."""
        for name in list(self._made):
            self.release(client, name)

    def sweep(self, client: AdminClient) -> None:
        """Delete what programs of this machine that were killed have left behind."""
        for name in abandoned(client.list_topics()):
            if name.startswith(self._prefix):
                with suppress(UnknownTopic):  # somebody else was faster
                    client.delete_topic(name)


def _belongs(full_name: str, topic: Topic) -> bool:
    return full_name == topic.full_name or full_name.startswith(f"{topic.full_name}.")


def _has_ended(found: re.Match[str]) -> bool:
    return found["machine"] == _machine() and not psutil.pid_exists(int(found["pid"]))


@cache
def _machine() -> str:
    """This machine as it runs now; a container is one of its own, since its process ids are."""
    parts = [platform.node()]
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        try:
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text())
        except OSError:  # not on Linux
            parts.append("")
    return sha256("|".join(parts).encode()).hexdigest()[:8]
