"""The settings of a share group: it does not begin before the broker has them."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from confluent_kafka.admin import ConfigEntry

from labkit.errors import TransportError
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent import share_groups
from labkit.taskqueue.transport.share_contract import ShareConfig
from labkit.taskqueue.transport.values import Timeouts

CONNECTION = Connection(bootstrap_servers="127.0.0.1:1")


class LateBroker:
    """Takes settings at once and has them only when it is asked for the `looks`th time, as under load."""

    def __init__(self, looks):
        self.looks = looks
        self.taken = {}

    def incremental_alter_configs(self, resources, **_):
        [resource] = resources
        self.taken = {entry.name: entry for entry in resource.incremental_configs}
        return {resource: answered(None)}

    def describe_configs(self, resources, **_):
        self.looks -= 1
        unset = {name: ConfigEntry(name, "latest") for name in self.taken}
        return {resources[0]: answered(unset if self.looks > 0 else self.taken)}


def answered(value):
    future = Future()
    future.set_result(value)
    return future


def configure(monkeypatch, broker, timeouts):
    monkeypatch.setattr(share_groups, "connect", lambda *_, **__: broker)
    share_groups._configure(CONNECTION, ShareConfig(group="g"), timeouts)


def test_a_group_begins_when_the_broker_has_its_settings(monkeypatch):
    """One that begins before begins at the end of its topics, and what is there already is delivered to nobody."""
    broker = LateBroker(looks=3)
    configure(monkeypatch, broker, Timeouts())
    assert broker.looks == 0
    assert broker.taken["share.auto.offset.reset"].value == "earliest"


def test_a_broker_that_never_has_them_is_not_waited_for_without_end(monkeypatch):
    with pytest.raises(TransportError, match="the share group 'g', and after"):
        configure(monkeypatch, LateBroker(looks=1_000_000), Timeouts(connect=0.05, request=0.05))
