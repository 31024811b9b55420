"""The assignor of groups over kafka-python: Java's round robin, also where members read different topics."""

from __future__ import annotations

from collections import namedtuple

from hypothesis import given
from hypothesis import strategies as st
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from labkit.taskqueue.transport.kafka_python.assignor import RoundRobin

Member = namedtuple("Member", "member_id group_instance_id metadata")


class Cluster:
    def __init__(self, sizes):
        self.sizes = sizes

    def partitions_for_topic(self, topic):
        return set(range(self.sizes[topic])) if topic in self.sizes else None


def member(name, *topics, instance=None):
    return Member(name, instance, RoundRobin.metadata(topics))


def shares(assignment):
    """As (topic, partition) pairs by member, through the wire format."""
    return {
        name: [(topic, partition) for topic, partitions in share.assigned_partitions for partition in partitions]
        for name, share in assignment.items()
    }


def assigned(sizes, *members):
    return shares(RoundRobin.assign(Cluster(sizes), members))


def test_members_of_one_topic_are_dealt_its_partitions_in_turn():
    assert assigned({"t": 3}, member("b", "t"), member("a", "t")) == {"a": [("t", 0), ("t", 2)], "b": [("t", 1)]}


def test_the_example_in_javas_documentation():
    sizes = {"t0": 1, "t1": 2, "t2": 3}
    found = assigned(sizes, member("C0", "t0"), member("C1", "t0", "t1"), member("C2", "t0", "t1", "t2"))
    assert found == {
        "C0": [("t0", 0)],
        "C1": [("t1", 0)],
        "C2": [("t1", 1), ("t2", 0), ("t2", 1), ("t2", 2)],
    }


def test_members_of_different_topics_do_not_disturb_each_other():
    found = assigned({"aa": 2, "bb": 3}, member("w1", "aa"), member("w2", "bb"), member("w3", "bb"))
    assert found["w1"] == [("aa", 0), ("aa", 1)]
    assert sorted(found["w2"] + found["w3"]) == [("bb", 0), ("bb", 1), ("bb", 2)]


def test_a_topic_that_is_not_known_yet_is_left_out():
    assert assigned({"aa": 1}, member("w1", "aa"), member("w2", "bb")) == {"w1": [("aa", 0)], "w2": []}


def test_members_with_a_name_for_all_generations_come_first():
    found = assigned({"t": 3}, member("a", "t"), member("z", "t", instance="i2"), member("y", "t", instance="i3"))
    assert found == {"z": [("t", 0)], "y": [("t", 1)], "a": [("t", 2)]}


topics = st.sampled_from(["t0", "t1", "t2", "t3"])


@given(
    st.dictionaries(topics, st.integers(1, 5)),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sets(topics), min_size=1, max_size=6),
)
def test_every_partition_has_one_owner_that_subscribes_to_it(sizes, subscriptions):
    members = [member(name, *sorted(wanted)) for name, wanted in subscriptions.items()]
    found = assigned(sizes, *members)
    dealt = sorted(place for places in found.values() for place in places)
    wanted = {topic for topics in subscriptions.values() for topic in topics} & sizes.keys()
    assert dealt == sorted((topic, number) for topic in wanted for number in range(sizes[topic]))
    assert all(topic in subscriptions[name] for name, places in found.items() for topic, _ in places)


@given(st.dictionaries(topics, st.integers(1, 5), min_size=1), st.sets(st.text("abc", min_size=1), min_size=1))
def test_members_of_the_same_topics_get_what_other_clients_give_them(sizes, names):
    members = [member(name, *sizes) for name in sorted(names)]
    theirs = RoundRobinPartitionAssignor.assign(Cluster(sizes), members)
    assert assigned(sizes, *members) == shares(theirs)
