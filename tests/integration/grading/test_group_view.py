"""A group is seen as its broker sees it, of whichever kind it is, and whatever its members bring with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import kafka
import pytest
from confluent_kafka import Consumer
from kafka.structs import OffsetAndMetadata

from labkit.grading.behaviour.bounded_client import BoundedClient
from labkit.grading.behaviour.group_view import GroupView, groups_of
from labkit.lab import Lab
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport import connect_transport
from labkit.taskqueue.transport.kafka_python.overrides import keep_join
from tests.conditions import PATIENCE

HERE = "127.0.0.1"


@pytest.fixture
def view(lab: Lab, unique_name: str) -> Iterator[GroupView]:
    with Topics(connect_transport(lab.connection, "kafka-python")) as topics, BoundedClient(lab.connection) as client:
        topics.create(unique_name, partitions=2)
        yield GroupView(client, unique_name, unique_name, partitions=2)


def joined(poll: Callable[[], object], view: GroupView) -> None:
    def is_member() -> bool:
        poll()
        return view.has(HERE)

    wait_until(is_member, timeout=PATIENCE, what="it was to join")


def test_a_group_that_nobody_has_joined_is_empty(view: GroupView) -> None:
    assert (view.members(), view.committed(), view.has(HERE)) == ({}, {}, False)
    view.remove(HERE)


@pytest.mark.parametrize("kind", ["classic", "consumer"])
def test_members_are_known_by_their_addresses_and_can_be_taken_out(lab: Lab, view: GroupView, kind: str) -> None:
    """Those of KIP-848, the kind `consumer`, too."""
    options = {"bootstrap.servers": lab.bootstrap_servers, "group.id": view.group, "group.protocol": kind}
    consumer = Consumer(options)
    consumer.subscribe([view.topic])
    joined(lambda: consumer.poll(0.1), view)
    assert not view.has("127.0.0.11")
    assert view.group in groups_of(view._client, HERE)
    assert groups_of(view._client, "127.0.0.11") == set()
    (members,) = view.members().values()
    assert len(members) == 1
    view.remove(HERE)
    assert view.members().get(HERE) != members  # it may have joined again
    consumer.close()
    assert not view.has(HERE)


def test_only_its_own_partitions_are_asked_for(lab: Lab, view: GroupView) -> None:
    consumer = kafka.KafkaConsumer(
        view.topic,
        bootstrap_servers=lab.bootstrap_servers,
        group_id=view.group,
        metadata_max_age_ms=500,  # one that has joined before it knew the topic's partitions looks again
    )

    def poll() -> bool:
        keep_join(consumer)  # which kafka-python may forget
        return consumer.poll(100) == {} and bool(consumer.assignment())

    joined(poll, view)
    wait_until(poll, timeout=PATIENCE, what="it was to have both")
    consumer.commit({kafka.TopicPartition(view.topic, 1): OffsetAndMetadata(7, "x" * 4000, -1)})
    assert view.committed() == {1: 7}
    view.partitions = 1
    assert view.committed() == {}
    consumer.close()
