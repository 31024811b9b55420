"""What one program alone has on the broker and in Redis: a prefix of names, which says whose it is."""

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
from typing import NamedTuple
from uuid import getnode, uuid4

import psutil

from labkit.errors import UnknownTopic
from labkit.taskqueue.topic import Topic, belongs
from labkit.taskqueue.transport.contract import AdminClient

#: The machine, its boot, the process that made it, and what tells its namespaces apart.
_PATTERN = re.compile(r"own\.(?P<machine>[0-9a-f]{8})\.(?P<boot>[0-9a-f]{8})\.(?P<pid>\d+)\.[0-9a-f]{8}\.")

#: What tells machines, their boots and containers apart on Linux.
_MACHINE_ID, _BOOT_ID = Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id")
_PID_SPACE = Path("/proc/self/ns/pid")
#: Whose process ids are the machine's own, in no container (PROC_PID_INIT_INO in linux/proc_ns.h).
_NO_CONTAINER = "pid:[4026531836]"


class _Machine(NamedTuple):
    """Where this program runs; `outlasts_boot`: it is known for the same one after another boot."""

    digest: str
    boot: str
    outlasts_boot: bool


def new_namespace() -> str:
    """A prefix that nobody else has."""
    machine = _machine()
    return f"own.{machine.digest}.{machine.boot}.{os.getpid()}.{uuid4().hex[:8]}."


def is_in_namespace(name: str) -> bool:
    """Whether this name, without the prefix of the settings, is one that a program has for itself."""
    return _PATTERN.match(name) is not None


def abandoned(names: Iterable[str], *, is_local: bool) -> list[str]:
    """Those of the names that belonged to a program of this machine which has ended.

    `is_local`: they are where no other machine comes. Only there those of an earlier boot are taken for this machine's,
    since a machine may be a copy of another.
    """
    found = {name: _PATTERN.search(name) for name in names}
    return [name for name, one in found.items() if one is not None and _has_ended(one, is_local=is_local)]


class OwnTopics:
    """The topics that one `Topics` has for itself, by the names that it knows; `prefix` is that of all topics."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._made: dict[str, Topic] = {}
        self._known: dict[str, Topic] = {}
        #: the full names of those that are meant no longer and not deleted yet
        self._ended: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._made or self._ended)

    def know(self, topic: Topic) -> None:
        """A topic that somebody else has made is meant by its name; it is theirs to delete."""
        self._known[topic.name] = topic

    def describe(self) -> list[dict[str, object]]:
        """All that are known here, as JSON values."""
        fields = ("name", "partitions", "prefix")
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

    def create(self, client: AdminClient, shared: Topic) -> Topic:
        """Make one that is meant by the name of `shared` from now on; on the broker nobody else has its name."""
        topic = replace(shared, prefix=self._prefix + new_namespace())
        try:
            client.create_topic(topic.full_name, partitions=topic.partitions)
        except BaseException:  # it may have been made all the same
            self._ended.add(topic.full_name)
            raise
        self._made[shared.name] = topic
        return topic

    def release(self, client: AdminClient, name: str) -> None:
        """Mean it by this name no longer, and delete it with what belongs to it: later, if that cannot be done now."""
        topic = self._made.pop(name, None)
        if topic is not None:
            self._ended.add(topic.full_name)
            self._delete(client, topic.full_name)

    def release_all(self, client: AdminClient) -> None:
        """Delete all of them."""
        while self._made:
            self._ended.add(self._made.popitem()[1].full_name)
        self._delete_ended(client)

    def sweep(self, client: AdminClient, *, is_local: bool) -> None:
        """Delete what is meant no longer, and what programs of this machine that were killed have left behind.

        `is_local`: no other machine comes to this broker.
        """
        self._delete_ended(client)
        names = [name for name in client.list_topics() if name.startswith(self._prefix)]
        for name in abandoned(names, is_local=is_local):
            with suppress(UnknownTopic):  # somebody else was faster
                client.delete_topic(name)

    def _delete_ended(self, client: AdminClient) -> None:
        for full_name in sorted(self._ended):
            self._delete(client, full_name)

    def _delete(self, client: AdminClient, full_name: str) -> None:
        for name in client.list_topics():
            if belongs(name, to=full_name):
                with suppress(UnknownTopic):
                    client.delete_topic(name)
        self._ended.discard(full_name)


def _has_ended(found: re.Match[str], *, is_local: bool) -> bool:
    machine = _machine()
    if found["machine"] != machine.digest:
        return False
    if found["boot"] == machine.boot:
        return not psutil.pid_exists(int(found["pid"]))
    return is_local and machine.outlasts_boot


@cache
def _machine() -> _Machine:
    """A container is a machine of its own, since its process ids are. Two of one image may share all the rest, and have
    two boots if they run on two computers: so it is known for the same one during one boot only.
    """
    try:
        boot, pid_space = _BOOT_ID.read_text(), str(_PID_SPACE.readlink())
    except OSError:  # not on Linux, where process ids are looked up after any boot; and two machines may have one name
        return _Machine(_digest(platform.node(), f"{getnode():012x}"), _digest(), outlasts_boot=False)
    try:
        machine_id = _MACHINE_ID.read_text().strip()
    except OSError:
        machine_id = ""
    outlasts_boot = bool(machine_id) and pid_space == _NO_CONTAINER
    return _Machine(_digest(platform.node(), machine_id, pid_space), _digest(boot), outlasts_boot)


def _digest(*parts: str) -> str:
    return sha256("|".join(parts).encode()).hexdigest()[:8]
