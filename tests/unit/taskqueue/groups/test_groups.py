"""Groups as a user sees them, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from labkit.errors import BrokerUnreachable, NotAuthorized, UnknownTopic
from labkit.taskqueue import Topics
from labkit.taskqueue.cluster_errors import GroupInUse, UnknownGroup, UnreadTopic
from labkit.taskqueue.groups.groups import GroupPartition, Groups, OffsetChange
from labkit.taskqueue.start_point import StartPoint
from labkit.taskqueue.transport import ConsumerConfig, Position, ProducerConfig, TopicPartition
from labkit.taskqueue.transport.memory import MemoryTransport

EARLIEST, LATEST = StartPoint("earliest"), StartPoint("latest")


@pytest.fixture
def topics() -> Iterator[Topics]:
    """Under a prefix, with a topic of two partitions, of which the second holds five records."""
    with Topics(MemoryTransport(), prefix="ann.") as topics:
        topics.create("t", partitions=2)
        with closing(_Outbox(topics)) as outbox:
            outbox.send("ann.t", 5)
        yield topics


@pytest.fixture
def groups(topics: Topics) -> Iterator[Groups]:
    with Groups(topics) as groups:
        yield groups


class _Outbox:
    def __init__(self, topics: Topics) -> None:
        self._client = topics.transport.producer(ProducerConfig())

    def send(self, topic: str, count: int) -> None:
        record = {"key": None, "value": b"x", "headers": (), "timestamp_ms": None, "on_delivery": lambda *_: None}
        for _ in range(count):
            self._client.send(topic, partition=1, **record)

    def close(self) -> None:
        self._client.close(1)


@contextmanager
def member(topics: Topics, name: str, group: str = "ann.g", topic: str = "ann.t"):
    with closing(topics.transport.consumer(ConsumerConfig(group=group, client_id=name))) as consumer:
        consumer.subscribe([topic], on_assigned=lambda _: None, on_revoked=lambda _: None)
        consumer.poll(0.0)
        yield consumer


def commit(topics: Topics, offset: int, *, group: str = "ann.g", topic: str = "ann.t", metadata: str = "") -> None:
    with closing(topics.transport.consumer(ConsumerConfig(group=group))) as consumer:
        consumer.assign([place := TopicPartition(topic, 1)])
        consumer.commit({place: Position(offset, metadata)})


def test_they_are_listed_under_the_prefix_without_what_programs_have_for_themselves(topics, groups):
    commit(topics, 2)
    commit(topics, 1, group="bob.g")
    own = topics.temporary("t", partitions=2)
    commit(topics, 0, group=own.full_group("g"), topic=own.full_name)
    with member(topics, "a", "ann.h"):
        found = groups.all()
    assert [(one.name, one.kind, one.state, one.topics, one.members, one.lag) for one in found] == [
        ("g", "classic", "Empty", ["t"], (), 3),
        ("h", "classic", "Stable", ["t"], ("a",), 5),
    ]


def test_one_is_described_by_partition_with_those_who_read_it(topics, groups):
    with member(topics, "a") as first, member(topics, "b") as second, member(topics, "b") as third:
        for one in (first, second, third, first, second, third):
            one.poll(0.0)
        holder = next(one for one in (first, second, third) if TopicPartition("ann.t", 1) in one.assignment())
        holder.commit({TopicPartition("ann.t", 1): Position(2)})
        found = groups.describe("g")
    assert found.members == ("a", "b", "b")
    assert found.partitions == (
        GroupPartition("t", 0, None, 0, 0, ("a",)),
        GroupPartition("t", 1, 2, 5, 3, ("b",)),
    )


def test_offsets_of_another_topic_of_that_name_are_none_of_it(topics, groups):
    commit(topics, 3, metadata="labkit2 another-id 0 0 eJwDAAAAAAE=")
    assert groups.describe("g").partitions[1] == GroupPartition("t", 1, None, 5, 5, ())


def test_a_group_goes_on_from_there_and_it_is_told_what_changed(topics, groups):
    commit(topics, 4)
    assert groups.reset("g", StartPoint("offset", 2)) == [OffsetChange("t", 0, None, 0), OffsetChange("t", 1, 4, 2)]
    assert [lag.committed for lag in topics.lag("t", group="g")] == [0, 2]
    assert groups.reset("g", LATEST, topic="t")[1] == OffsetChange("t", 1, 2, 5)
    assert topics.committed("t", group="g")[1].metadata.split()[1] == topics.describe("t").id


def test_only_the_topic_that_is_named_is_reset_also_one_outside_the_prefix(topics, groups):
    commit(topics, 4)
    Topics(topics.transport).create("far", partitions=2)
    commit(topics, 0, topic="far")
    assert groups.describe("g").topics == ["t", "far"]
    assert {change.topic for change in groups.reset("g", EARLIEST, topic="far")} == {"far"}
    assert topics.committed("t", group="g")[1].offset == 4
    assert {change.topic for change in groups.reset("g", EARLIEST)} == {"t", "far"}


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda groups: groups.describe("no"), UnknownGroup, "There is no group 'no'"),
        (lambda groups: groups.reset("no", EARLIEST), UnknownGroup, "There is no group 'no'"),
        (lambda groups: groups.delete("no"), UnknownGroup, "There is no group 'no'"),
        (lambda groups: groups.reset("g", EARLIEST, topic="u"), UnreadTopic, "nothing of the topic 'u', only of t"),
    ],
    ids=["describe", "reset", "delete", "another topic"],
)
def test_what_is_not_there_is_named(topics, groups, change, error, says):
    commit(topics, 1)
    with pytest.raises(error, match=says):
        change(groups)


@pytest.mark.parametrize("change", [lambda groups: groups.reset("g", EARLIEST), lambda groups: groups.delete("g")])
def test_a_group_with_members_stays_as_it_is_and_they_are_named(topics, groups, change):
    with member(topics, "a\x1b[2J") as one:
        one.commit({TopicPartition("ann.t", 1): Position(3)})
        with pytest.raises(GroupInUse, match=r"'g' has members \('a\\x1b\[2J'\)"):
            change(groups)
        assert topics.committed("t", group="g")[1].offset == 3
    change(groups)


def test_a_group_that_is_deleted_is_as_if_it_had_never_been(topics, groups):
    commit(topics, 3)
    groups.delete("g")
    assert groups.all() == []
    assert topics.lag("t", group="g")[1].lag == 5


def test_a_topic_that_is_gone_is_told_and_nothing_to_go_on_from(topics, groups, monkeypatch):
    commit(topics, 3)
    places = {TopicPartition("ann.gone", 0): Position(7)}  # Kafka forgets them, but not at once
    known = topics.transport.admin().all_committed(["ann.g"])["ann.g"]
    kind = type(topics.transport.admin())
    monkeypatch.setattr(kind, "all_committed", lambda *_: {"ann.g": known | places})
    found = groups.describe("g")
    assert (found.topics, found.gone, found.lag) == (["t", "gone"], ("gone",), 2)
    assert {change.topic for change in groups.reset("g", EARLIEST)} == {"t"}
    with pytest.raises(UnknownTopic):
        groups.reset("g", EARLIEST, topic="gone")
    monkeypatch.setattr(kind, "all_committed", lambda *_: {"ann.g": places})
    with pytest.raises(UnreadTopic, match="nothing of any topic that is there"):
        groups.reset("g", EARLIEST)


def test_a_group_that_cannot_be_read_keeps_nobody_from_the_others(topics, groups, monkeypatch):
    with member(topics, "a"), member(topics, "b", group="ann.secret"):
        read = groups._client.members_of

        def members_of(group):
            if group.name == "ann.secret":
                raise NotAuthorized("The broker does not tell of it.")
            return read(group)

        monkeypatch.setattr(groups._client, "members_of", members_of)
        found = groups.all()
        assert [(one.name, one.members, one.unreadable) for one in found] == [
            ("g", ("a",), ""),
            ("secret", (), "The broker does not tell of it."),
        ]


def test_a_broker_that_is_away_is_not_taken_for_a_group_that_cannot_be_read(topics, groups, monkeypatch):
    def members_of(_group):
        raise BrokerUnreachable("Nobody answers.")

    with member(topics, "a"):
        monkeypatch.setattr(groups._client, "members_of", members_of)
        with pytest.raises(BrokerUnreachable):
            groups.all()
