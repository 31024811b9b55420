"""The contract: what an admin client knows of all groups, and how a group is set back or forward."""

from __future__ import annotations

import pytest

from labkit.taskqueue.cluster_errors import GroupInUse
from labkit.taskqueue.transport import Position, TopicPartition
from labkit.taskqueue.transport.contract import ListedGroup
from labkit.taskqueue.transport.group_contract import GroupMember
from tests.contract.fixtures import poll_until, shared


def listed(admin, name):
    return next((group for group in admin.list_groups() if group.name == name), None)


def test_groups_are_listed_with_their_members(admin, topic, join):
    assert listed(admin, topic) is None
    members = [join("twin"), join("twin")]
    poll_until(shared(*members), *members)
    group = listed(admin, topic)
    assert group == ListedGroup(topic, "classic", "Stable")
    held = [GroupMember("twin", frozenset({TopicPartition(topic, number)})) for number in range(2)]
    assert sorted(admin.members_of(group), key=lambda member: min(member.partitions)) == held
    [place] = members[0].client.assignment()
    members[0].client.commit({place: Position(1, "one")})
    for member in members:
        member.close()
    assert listed(admin, topic) == ListedGroup(topic, "classic", "Empty")
    assert admin.members_of(group) == []
    assert admin.all_committed([topic]) == {topic: {place: Position(1, "one")}}
    assert admin.all_committed([]) == {}


def test_a_group_goes_on_from_where_it_is_set_but_not_while_it_has_members(admin, topic, outbox, join):
    outbox.send_all(topic, [b"a", b"b", b"c"], partition=1)
    place = TopicPartition(topic, 1)
    member = join("worker-1")
    poll_until(lambda: len(member.records) >= 3, member)
    group = listed(admin, topic)
    with pytest.raises(GroupInUse, match="members"):
        admin.set_committed(group, {place: Position(1)})
    assert admin.committed(topic, topic) == {}
    member.close()
    admin.set_committed(group, {place: Position(2, "two")})
    assert admin.committed(topic, topic) == {1: Position(2, "two")}
    later = join("worker-2")
    poll_until(lambda: len(later.records) > 0, later)
    assert [record.value for record in later.records] == [b"c"]


def test_offsets_are_found_by_time(admin, topic, outbox):
    for stamp in (1000, 2000, 3000):
        outbox.send(topic, partition=1, timestamp_ms=stamp)
        outbox.client.flush(30)
    assert [admin.offsets_at(topic, stamp) for stamp in (-5, 1000, 1001, 3000, 3001)] == [
        {0: 0, 1: offset} for offset in (0, 0, 1, 2, 3)
    ]
