"""The settings of a share group on the broker, which labkit makes, and looks after as long as a worker is in it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it imports these names without exporting them
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    ResourceType,
)

from labkit.errors import TransportError, Unsupported
from labkit.lab.condition import wait_for
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent.client import connect, in_words, kafka_error, words_of
from labkit.taskqueue.transport.library_logs import LOGGER
from labkit.taskqueue.transport.reachability import unreachable
from labkit.taskqueue.transport.share_contract import DELIVERIES, ShareConfig
from labkit.taskqueue.transport.values import Timeouts

Answer = TypeVar("Answer")

#: The codes by which a broker refuses the settings of a group.
_NOT_ALLOWED = {KafkaError.INVALID_CONFIG, KafkaError.UNSUPPORTED_VERSION, KafkaError.INVALID_REQUEST}
#: How often the broker is asked whether it knows the settings of a group, in seconds.
LOOK_INTERVAL = 0.05
_LOCK = "share.record.lock.duration.ms"


class ShareSettings:
    """Those of one group. Raises `Unsupported` if the broker does not allow them, and other `TransportError`."""

    def __init__(self, connection: Connection, config: ShareConfig, timeouts: Timeouts) -> None:
        self._connection = connection
        self._config = config
        self._timeouts = timeouts
        #: how long the group's locks last, in seconds
        self.lock = config.lock
        self._wanted = {
            "share.auto.offset.reset": "earliest",
            "share.isolation.level": "read_committed",
            _LOCK: str(int(config.lock * 1000)),
            "share.delivery.count.limit": str(DELIVERIES),
        }

    def make(self) -> None:
        """Give the group these settings, if it has others."""
        admin = self._admin()
        if not self._are_known(admin, self._wanted):
            self._set(admin, self._wanted)
        self.lock = self._config.lock

    def look_after(self) -> None:
        """Set again what was deleted. What another program has set stays, and its lock counts from now on."""
        admin = self._admin()
        known = self._known(admin)
        set_here = {name for name, entry in known.items() if ConfigSource(entry.source) is ConfigSource.GROUP_CONFIG}
        missing = {name: value for name, value in self._wanted.items() if name not in set_here}
        if missing:
            self._set(admin, missing)
        lock = float(missing.get(_LOCK) or known[_LOCK].value or 0) / 1000
        if lock != self.lock:
            LOGGER.warning(
                "the locks of the share group %r last %g s now and not %g s, since somebody has set it so: the worker "
                "reckons with that. Give all workers of a group the same lock.",
                *(self._config.group, lock, self.lock),
            )
            self.lock = lock

    def _admin(self) -> AdminClient:
        admin: AdminClient = connect(AdminClient, self._connection, self._timeouts, client_id=self._config.client_id)
        return admin

    def _known(self, admin: AdminClient) -> dict[str, ConfigEntry]:
        group = ConfigResource(ResourceType.GROUP, self._config.group)
        [asked] = admin.describe_configs([group], request_timeout=self._timeouts.request).values()
        return self._await(asked)

    def _are_known(self, admin: AdminClient, wanted: Mapping[str, str]) -> bool:
        known = self._known(admin)
        return all(name in known and known[name].value == value for name, value in wanted.items())

    def _set(self, admin: AdminClient, wanted: Mapping[str, str]) -> None:
        """Return when the broker has them.

        The controller answers before the broker has them, and a group that begins before that begins at the end of its
        topics: what is there already would never be delivered. So the broker is asked until it knows them.
        """
        set_it = AlterConfigOpType.SET
        entries = [ConfigEntry(name, value, incremental_operation=set_it) for name, value in wanted.items()]
        resource = ConfigResource(ResourceType.GROUP, self._config.group, incremental_configs=entries)
        [answer] = admin.incremental_alter_configs([resource], request_timeout=self._timeouts.request).values()
        self._await(answer)
        patience = self._timeouts.connect + self._timeouts.request
        if not wait_for(lambda: self._are_known(admin, wanted), patience, interval=LOOK_INTERVAL):
            raise TransportError(
                f"Kafka has taken the settings of the share group {self._config.group!r}, and after {patience:g} s the "
                "broker still does not have them. It may have too much to do: try again when it is less busy."
            )

    def _await(self, answer: Future[Answer]) -> Answer:
        try:
            return answer.result(self._timeouts.connect + self._timeouts.request)
        except TimeoutError as late:
            raise unreachable(self._connection) from late
        except KafkaException as exception:
            error = kafka_error(exception)
            is_refused = error.code() in _NOT_ALLOWED
            raise (refused_group(error) if is_refused else in_words(error, self._connection)) from exception


def refused_group(error: KafkaError) -> Unsupported:
    """The error for a broker that has no share groups, or not with such settings."""
    return Unsupported(
        f"This Kafka refused the share group: {words_of(error)}. labkit knows the share groups (KIP-932) of Kafka 4.4. "
        "How long a lock may last is set there by group.share.min.record.lock.duration.ms and "
        "group.share.max.record.lock.duration.ms: by default 15 to 60 s, in the lab from 1 s on."
    )
