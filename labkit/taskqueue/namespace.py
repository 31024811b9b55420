"""What one program alone has on the broker and in Redis, and how it tells whose it is.

A namespace is a prefix of names that names the machine and the process. A topic of a program's own that has a plain
name bears the same as a setting of its own.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import getnode, uuid4

import psutil

from labkit.errors import UnknownTopic
from labkit.taskqueue.topic import DEAD, LATER, Topic, belongs
from labkit.taskqueue.transport.contract import AdminClient, TopicDescription

#: The machine, the process that made it, and what tells its namespaces apart.
_PATTERN = re.compile(r"own\.(?P<machine>[0-9a-f]{8})\.(?P<pid>\d+)\.[0-9a-f]{8}\.")

#: Kafka takes no labels on topics. So a number in this setting, which means nothing for a topic that is not compacted,
#: says whose topic this is: it is there as soon as the topic is, and goes with it.
OWNER = "delete.retention.ms"
#: Such a number holds the machine, 32 bits, and the process id, 30 bits, beyond every time that anybody would set. A
#: user's "for ever" lies there too, such as the greatest number of all: it has no process id that there could be.
_MARK = 1 << 62
_PID_BITS = 30
_GREATEST_PID = 1 << 22

#: What tells machines and containers apart on Linux.
_BOOT_ID, _PID_SPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def new_namespace() -> str:
    """A prefix that nobody else has."""
    return f"own.{_machine()}.{os.getpid()}.{uuid4().hex[:8]}."


def is_in_namespace(name: str) -> bool:
    """Whether this name, without the prefix of the settings, is one that a program has for itself."""
    return _PATTERN.match(name) is not None


def abandoned(names: Iterable[str]) -> list[str]:
    """Those of the names that belonged to a program of this machine which has ended."""
    found = {name: _PATTERN.search(name) for name in names}
    return [name for name, one in found.items() if one is not None and _has_ended(one["machine"], int(one["pid"]))]


def owner_mark() -> str:
    """The value of `OWNER` by which a topic is this program's."""
    return str(_MARK | int(_machine(), 16) << _PID_BITS | os.getpid())


def without_mark(config: Mapping[str, str]) -> dict[str, str]:
    """What was set on a topic by whoever has made it."""
    return {key: value for key, value in config.items() if key != OWNER or _marked(value) is None}


def is_abandoned(config: Mapping[str, str]) -> bool:
    """Whether a topic with these settings was one of a program of this machine which has ended."""
    owner = _marked(config.get(OWNER, "0"))
    return owner is not None and _has_ended(*owner)


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
        return next((own for own in mine if belongs(name, to=own.name)), None)

    def names(self, full_names: Iterable[str]) -> set[str]:
        """The names of those that are there, with what belongs to them."""
        found = list(full_names)
        made = self._made.values()
        return {name.removeprefix(own.prefix) for own in made for name in found if belongs(name, to=own.full_name)}

    def settings(self, name: str) -> dict[str, str]:
        """What a topic of this name must have set, so that it is deleted as the one is which it replaces."""
        own = self._made.get(name)
        return {} if own is None or not own.group_prefix else {OWNER: owner_mark()}

    def create(self, client: AdminClient, shared: Topic, *, taken: Iterable[str] | None) -> Topic:
        """Make one like `shared`, by the same name if that is not among those `taken`; None: not in any case.

        Its groups are its own in any case.
        """
        namespace = new_namespace()
        topic = replace(shared, group_prefix=namespace)
        mark = {OWNER: owner_mark()}
        if (
            taken is None
            or not _is_free(shared, taken)
            or not client.create_topic(topic.full_name, partitions=topic.partitions, config=mark)
        ):
            topic = replace(shared, prefix=self._prefix + namespace)
            client.create_topic(topic.full_name, partitions=topic.partitions)
        self._made[shared.name] = topic
        return topic

    def release(self, client: AdminClient, name: str) -> None:
        """Delete the one of this name, with what belongs to it, unless somebody else has made it anew."""
        topic = self._made.pop(name, None)
        if topic is None:
            return
        try:
            found = client.describe_topic(topic.full_name)
        except UnknownTopic:  # its dead letters may be there all the same
            _delete(client, topic.full_name, topic_id=None)
        else:
            if not topic.group_prefix or found.config.get(OWNER) == owner_mark():
                _delete(client, found.name, topic_id=found.id)

    def release_all(self, client: AdminClient) -> None:
        """Delete all of them."""
        for name in list(self._made):
            self.release(client, name)

    def sweep(self, client: AdminClient) -> list[str]:
        """Delete what programs of this machine that were killed have left behind; the names of all that is left."""
        names = [name for name in client.list_topics() if name.startswith(self._prefix)]
        gone = abandoned(names)
        for name in gone:
            with suppress(UnknownTopic):  # somebody else was faster
                client.delete_topic(name)
        shared = [name for name in names if not is_in_namespace(name.removeprefix(self._prefix))]
        for name, mark in client.settings_of(shared, OWNER).items():
            if is_abandoned({OWNER: mark}):
                with suppress(UnknownTopic):
                    gone += take_away(client, client.describe_topic(name))
        return [name for name in names if name not in gone]


def take_away(client: AdminClient, found: TopicDescription) -> list[str]:
    """Delete this topic, with what belongs to it, if a killed program has left it; the names of what was deleted."""
    return _delete(client, found.name, topic_id=found.id) if is_abandoned(found.config) else []


def _delete(client: AdminClient, full_name: str, *, topic_id: str | None) -> list[str]:
    """Delete what belongs to this topic, and it at last, by their ids; nothing if another has the name by now."""
    ids = client.topic_ids([name for name in client.list_topics() if belongs(name, to=full_name)])
    if ids.get(full_name) != topic_id:
        return []
    for name in sorted(ids, reverse=True):  # who is killed meanwhile leaves the topic itself, by which all is found
        with suppress(UnknownTopic):
            client.delete_topic(name, topic_id=ids[name])
    return list(ids)


def _is_free(topic: Topic, names: Iterable[str]) -> bool:
    """Whether Kafka takes its name, and those of what will belong to it: '.' and '_' are one to Kafka."""
    flat = topic.full_name.replace(".", "_")
    endings = re.compile(f"({DEAD}|{LATER})*".replace(".", "_"))
    others = [name.replace(".", "_") for name in names]
    return not any(name.startswith(flat) and endings.fullmatch(name, len(flat)) for name in others)


def _marked(value: str) -> tuple[str, int] | None:
    """The machine and the process id that this value of `OWNER` names; None if it is a time."""
    machine, pid = divmod(int(value) - _MARK, 1 << _PID_BITS)
    return (f"{machine:08x}", pid) if machine >= 0 and 0 < pid <= _GREATEST_PID else None


def _has_ended(machine: str, pid: int) -> bool:
    return machine == _machine() and not psutil.pid_exists(pid)


@cache
def _machine() -> str:
    """This machine as it runs now; a container is one of its own, since its process ids are."""
    parts = [platform.node()]
    try:
        parts += [_BOOT_ID.read_text(), str(_PID_SPACE.readlink())]
    except OSError:  # not on Linux; and another machine may bear the same name
        parts.append(f"{getnode():012x}")
    return sha256("|".join(parts).encode()).hexdigest()[:8]
