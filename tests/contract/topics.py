"""The contract of the admin client."""

from __future__ import annotations

from contextlib import closing
from uuid import UUID

import pytest

from labkit.errors import TopicMismatch, TransportError, UnknownTopic
from labkit.taskqueue.transport import Position, TopicPartition
from tests.contract.fixtures import poll_until, shared


def test_a_topic_is_made_once(admin, unique_name):
    assert admin.create_topic(unique_name, partitions=3) is True
    assert admin.create_topic(unique_name, partitions=3) is False
    assert admin.describe_topic(unique_name).partitions == 3
    admin.delete_topic(unique_name)


def test_a_new_topic_can_be_used_at_once(admin, outbox, unique_name):
    admin.create_topic(unique_name, partitions=1)
    outbox.send(unique_name)
    assert [delivery.offset for delivery in outbox.delivered()] == [0]
    admin.delete_topic(unique_name)


def test_a_description_holds_the_shape_and_what_was_set(admin, unique_name):
    admin.create_topic(unique_name, partitions=2, config={"retention.ms": "60000"})
    description = admin.describe_topic(unique_name)
    assert (description.name, description.partitions, description.replication_factor) == (unique_name, 2, 1)
    assert description.config == {"retention.ms": "60000"}
    admin.delete_topic(unique_name)


def test_a_topic_of_the_same_name_that_is_made_later_has_another_id(admin, topic, unique_name):
    missing = f"{unique_name}-missing"
    first = admin.topic_ids([topic, missing])
    assert first == {topic: admin.describe_topic(topic).id}
    assert admin.topic_ids([]) == {}
    admin.grow_topic(topic, partitions=3)
    assert admin.topic_ids([topic]) == first
    admin.delete_topic(topic)
    assert admin.topic_ids([topic, missing]) == {}
    admin.create_topic(topic, partitions=2)
    assert admin.topic_ids([topic]).keys() == {topic}
    assert admin.topic_ids([topic]) != first


def test_whether_a_topic_could_be_made_is_told_without_making_it(admin, unique_name):
    assert admin.create_topic(f"{unique_name}.a", partitions=1, validate_only=True) is True
    assert f"{unique_name}.a" not in admin.list_topics()
    assert admin.create_topic(f"{unique_name}_a", partitions=1) is True
    assert admin.create_topic(f"{unique_name}_a", partitions=1, validate_only=True) is False
    for config in ({}, {"validate_only": True}):
        with pytest.raises(TransportError, match=f"collides with existing topic.*{unique_name}_a"):
            admin.create_topic(f"{unique_name}.a", partitions=1, **config)
        with pytest.raises(TransportError):
            admin.create_topic("x" * 250, partitions=1, **config)
    admin.delete_topic(f"{unique_name}_a")


def test_topics_are_listed_in_order_without_the_internal_ones(admin, topic, join):
    poll_until(shared(member := join("worker-1")), member)  # so that Kafka has its topic of offsets
    names = admin.list_topics()
    assert topic in names
    assert names == sorted(names)
    assert not any(name.startswith("__") for name in names)


def test_a_topic_grows(admin, topic):
    admin.grow_topic(topic, partitions=4)
    assert admin.describe_topic(topic).partitions == 4
    assert admin.end_offsets(topic) == {0: 0, 1: 0, 2: 0, 3: 0}


@pytest.mark.parametrize("partitions", [2, 1])
def test_a_topic_never_shrinks(admin, topic, partitions):
    with pytest.raises(TopicMismatch, match=topic):
        admin.grow_topic(topic, partitions=partitions)


def test_a_deleted_topic_is_gone_and_its_name_free(admin, topic):
    admin.delete_topic(topic)
    assert topic not in admin.list_topics()
    with pytest.raises(UnknownTopic):
        admin.describe_topic(topic)
    assert admin.create_topic(topic, partitions=1) is True
    assert admin.end_offsets(topic) == {0: 0}


def test_what_does_not_exist_is_named(admin, unique_name):
    for request in (
        lambda: admin.describe_topic(unique_name),
        lambda: admin.delete_topic(unique_name),
        lambda: admin.grow_topic(unique_name, partitions=3),
        lambda: admin.end_offsets(unique_name),
        lambda: admin.start_offsets(unique_name),
    ):
        with pytest.raises(UnknownTopic, match=unique_name):
            request()


@pytest.mark.parametrize(("name", "shape"), [("no topic", {"partitions": 1}), ("fine", {"partitions": 0})])
def test_a_topic_that_cannot_be_is_refused(admin, name, shape):
    with pytest.raises(TransportError):
        admin.create_topic(name, **shape)


def test_offsets_count_the_records(admin, topic, outbox):
    outbox.send_all(topic, [b"a", b"b", b"c"], partition=1)
    assert admin.start_offsets(topic) == {0: 0, 1: 0}
    assert admin.end_offsets(topic) == {0: 0, 1: 3}


def test_what_a_group_committed_is_known(admin, topic, join):
    poll_until(shared(member := join("worker-1")), member)
    assert admin.committed(topic, topic) == {}
    member.client.commit({TopicPartition(topic, 1): Position(7, "seven")})
    assert admin.committed(topic, topic) == {1: Position(7, "seven")}
    assert admin.committed(topic, "another-topic") == {}


def test_the_groups_are_known_with_the_topics_of_which_they_have_committed(admin, topic, join):
    poll_until(shared(member := join("worker-1")), member)
    assert topic not in admin.groups()  # it has committed nothing
    member.client.commit({TopicPartition(topic, 1): Position(7)})
    assert admin.groups()[topic] == {topic}
    member.close()
    assert admin.groups()[topic] == {topic}


def test_the_members_of_a_group_are_known(admin, topic, join):
    assert admin.members(topic) == {}
    members = [join("worker-1"), join("worker-2")]
    poll_until(shared(*members), *members)
    assert admin.members(topic) == {
        "worker-1": frozenset({TopicPartition(topic, 0)}),
        "worker-2": frozenset({TopicPartition(topic, 1)}),
    }
    for member in members:
        member.close()
    assert admin.members(topic) == {}


def test_a_group_without_members_is_forgotten(admin, topic, join):
    poll_until(shared(member := join("worker-1")), member)
    member.client.commit({TopicPartition(topic, 0): Position(1)})
    with pytest.raises(TransportError, match="members"):
        admin.delete_group(topic)
    member.close()
    admin.delete_group(topic)
    assert admin.committed(topic, topic) == {}
    admin.delete_group(topic)


def test_an_admin_client_is_closed_twice_and_then_says_so(transport):
    admin = transport.admin()
    admin.close()
    admin.close()
    with pytest.raises(TransportError, match="closed"):
        admin.list_topics()


def test_a_topic_made_anew_has_another_id(admin, unique_name):
    ids = []
    for _ in range(2):
        admin.create_topic(unique_name, partitions=1)
        ids.append(admin.describe_topic(unique_name).id)
        assert admin.describe_topic(unique_name).id == ids[-1]
        admin.delete_topic(unique_name)
    assert len({str(UUID(topic_id)) for topic_id in ids}) == 2


def test_a_topic_that_somebody_else_has_deleted_is_unknown_also_to_who_has_made_it(transport, admin, topic):
    with closing(transport.admin()) as other:
        other.delete_topic(topic)
    with pytest.raises(UnknownTopic):
        admin.describe_topic(topic)
    assert admin.topic_ids([topic]) == {}
