"""Groups of the newer kinds on the real Kafka: a share group, and one whose partitions the broker deals out."""

from __future__ import annotations

from contextlib import closing

import pytest
from confluent_kafka import Consumer

from labkit.taskqueue import Producer, connect, stock_tasks
from labkit.taskqueue.cluster_errors import GroupInUse, UnknownGroup
from labkit.taskqueue.groups.groups import GroupPartition, Groups
from labkit.taskqueue.start_point import StartPoint
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import Position, Timeouts, TopicPartition
from labkit.taskqueue.transport.confluent.client import client_settings
from labkit.taskqueue.transport.share_contract import ShareConfig

TIMEOUT = 120.0


@pytest.fixture
def topic(lab, unique_name):
    """Its one partition holds three tasks."""
    with connect(lab, transport="confluent-kafka", prefix="ann.") as topics:
        topic = topics.create(unique_name, partitions=1)
        with Producer(topic) as producer:
            producer.send_many(stock_tasks(3, seed=1))
        yield topic
        topics.delete(unique_name)


@pytest.fixture
def groups(lab):
    """Over the default transport, which has no client for share groups."""
    with connect(lab, transport="kafka-python", prefix="ann.") as topics, Groups(topics) as groups:
        yield groups


def test_a_share_group_is_shown_set_back_and_deleted(topic, groups, unique_name):
    config = ShareConfig(group=topic.full_group(unique_name), client_id="a", lock=60.0)
    with closing(topic.transport.share_groups()) as shares, closing(shares.consumer(config)) as member:
        member.subscribe([topic.full_name])
        records = []
        wait_until(
            lambda: records.extend(member.poll(0.1)) or len(records) >= 3, timeout=TIMEOUT, what="three records to come"
        )
        for record, _ in records:
            member.acknowledge(record, "accept")
        member.commit()
        found = groups.describe(unique_name)
        assert (found.kind, found.state, found.members, found.topics) == ("share", "Stable", ("a",), [unique_name])
        with pytest.raises(GroupInUse, match="'a'"):
            groups.reset(unique_name, StartPoint("earliest"))
    wait_until(lambda: groups.describe(unique_name).state == "Empty", timeout=TIMEOUT, what="the member was to leave")
    assert groups.describe(unique_name).lag == 0
    [change] = groups.reset(unique_name, StartPoint("offset", 1))
    assert change.now == 1
    assert groups.describe(unique_name).partitions == (GroupPartition(unique_name, 0, 1, 3, 2, ()),)
    groups.delete(unique_name)
    with pytest.raises(UnknownGroup):
        groups.describe(unique_name)


def test_a_group_whose_partitions_the_broker_deals_out_is_shown_and_set_back(lab, topic, groups, unique_name):
    settings = client_settings(lab.connection, Timeouts()) | {
        "group.id": topic.full_group(unique_name),
        "group.protocol": "consumer",
        "client.id": "a",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    with closing(Consumer(settings)) as member:
        member.subscribe([topic.full_name])
        wait_until(
            lambda: (record := member.poll(0.1)) is not None and record.offset() == 0,
            timeout=TIMEOUT,
            what="a record was to come",
        )
        found = groups.describe(unique_name)
        assert (found.kind, found.state) == ("consumer", "Stable")
        assert found.partitions == (GroupPartition(unique_name, 0, None, 3, 3, ("a",)),)
        with pytest.raises(GroupInUse, match="'a'"):
            groups.reset(unique_name, StartPoint("latest"))
        with closing(topic.transport.admin()) as admin:
            listed = next(one for one in admin.list_groups() if one.name == topic.full_group(unique_name))
            with pytest.raises(GroupInUse):  # as Kafka says to who has not looked
                admin.set_committed(listed, {TopicPartition(topic.full_name, 0): Position(3)})
        member.commit(asynchronous=False)
    wait_until(lambda: groups.describe(unique_name).state == "Empty", timeout=TIMEOUT, what="the member was to leave")
    groups.reset(unique_name, StartPoint("latest"), topic=unique_name)
    assert groups.describe(unique_name).partitions == (GroupPartition(unique_name, 0, 3, 3, 0, ()),)
    groups.delete(unique_name)
