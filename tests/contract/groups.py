"""The contract of consumers in a group."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from labkit.errors import CommitRefused, MetadataTooLarge
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import ConsumerConfig, Position, TopicPartition
from tests.contract.fixtures import LONG_SESSION, SHORT_INTERVAL, SHORT_SESSION, TIMEOUT, Member, poll_until, shared

LETTERS = [bytes([letter]) for letter in b"abcdef"]


@pytest.fixture
def partitions(topic):
    return [TopicPartition(topic, 0), TopicPartition(topic, 1)]


def test_the_only_member_reads_everything(topic, outbox, join):
    outbox.send_all(topic, LETTERS[:3], partition=0)
    outbox.send_all(topic, LETTERS[3:], partition=1)
    member = join("worker-1")
    poll_until(lambda: len(member.records) >= 6, member)
    assert sorted(member.values()) == LETTERS
    assert member.events == [("assigned", [0, 1])]


def test_members_share_the_partitions_round_robin_by_their_names(admin, topic, join):
    admin.grow_topic(topic, partitions=5)
    members = [join("worker-3"), join("worker-1"), join("worker-2")]
    poll_until(shared(*members, partitions=5), *members)
    assert {tuple(member.partitions()) for member in members} == {(0, 3), (1, 4), (2,)}
    assert [member.partitions() for member in members] == [[2], [0, 3], [1, 4]]


def test_members_of_different_topics_share_a_group(transport, admin, topic, outbox):
    other = topic + "-2"
    admin.create_topic(other, partitions=3)
    outbox.send_all(topic, LETTERS[:3])
    outbox.send_all(other, LETTERS[3:], partition=2)

    def join_for(name, wanted):
        return Member(transport.consumer(ConsumerConfig(group=topic, client_id=name)), wanted)

    with closing(join_for("worker-1", topic)) as first:
        poll_until(lambda: len(first.records) == 3, first)
        with closing(join_for("worker-2", other)) as second, closing(join_for("worker-3", other)) as third:
            everybody = (first, second, third)
            poll_until(lambda: shared(first)() and shared(second, third, partitions=3)(), *everybody)
            # some may come again: who joins first has all partitions until the other does
            poll_until(lambda: {*second.values(), *third.values()} == set(LETTERS[3:]), *everybody)
            assert set(first.values()) == set(LETTERS[:3])
        poll_until(shared(first), first)
    admin.delete_topic(other)


def test_a_member_more_than_partitions_idles(join):
    members = [join("worker-1"), join("worker-2"), join("worker-3")]
    poll_until(lambda: shared(*members)() and members[2].events[-1] == ("assigned", []), *members)
    assert [member.partitions() for member in members] == [[0], [1], []]


def test_who_joins_gets_a_share_and_who_leaves_gives_it_back(join):
    first = join("worker-1", session_timeout=LONG_SESSION)
    poll_until(shared(first), first)
    second = join("worker-2", session_timeout=LONG_SESSION)
    poll_until(shared(first, second), first, second)
    assert first.events == [("assigned", [0, 1]), ("revoked", [0, 1]), ("assigned", [0])]
    second.close()
    assert second.events[-1] == ("revoked", [1])
    poll_until(shared(first), first)  # at once: the session lasts longer than this waits


def test_who_dies_is_missed_after_the_session_timeout(topic, outbox, admin, join, doomed):
    outbox.send_all(topic, LETTERS, partition=1)
    first = join("worker-1", session_timeout=LONG_SESSION)
    second = doomed("worker-2", topic)
    poll_until(lambda: second.partitions() == [1] and first.partitions() == [0], first)
    first.records.clear()
    second.kill()
    poll_until(shared(first), first)
    poll_until(lambda: len(first.records) >= 6, first)
    assert first.values() == LETTERS  # what the dead one had not committed comes again
    assert admin.members(topic).keys() == {"worker-1"}


def test_a_group_goes_on_where_it_committed(topic, partitions, outbox, join):
    outbox.send_all(topic, LETTERS)
    member = join("worker-1")
    poll_until(lambda: len(member.records) >= 6, member)
    assert member.client.committed(partitions) == dict.fromkeys(partitions)
    member.client.commit({partitions[0]: Position(4, "after d")})
    assert member.client.committed(partitions) == {partitions[0]: Position(4, "after d"), partitions[1]: None}
    member.close()
    successor = join("worker-2")
    poll_until(lambda: len(successor.records) >= 2, successor)
    assert successor.values() == [b"e", b"f"]


def test_who_loses_a_partition_may_commit_before_another_has_it(topic, partitions, outbox, join):
    outbox.send_all(topic, LETTERS, partition=1)
    first = join("worker-1")
    poll_until(lambda: len(first.records) >= 6, first)

    def commit(revoked):
        first.on_revoked = lambda _: None
        first.client.commit({partitions[1]: Position(5)})

    first.on_revoked = commit
    second = join("worker-2")
    poll_until(lambda: len(second.records) >= 1, first, second)
    assert second.values() == [b"f"]


def test_who_has_lost_a_partition_may_not_commit_for_it(topic, partitions, admin, join):
    first, second = join("worker-1"), join("worker-2")
    poll_until(shared(first, second), first, second)
    first.client.commit({partitions[0]: Position(3)})
    for positions in ({partitions[1]: Position(5)}, {partitions[0]: Position(5), partitions[1]: Position(5)}):
        with pytest.raises(CommitRefused):
            first.client.commit(positions)
    assert admin.committed(topic, topic) == {0: Position(3)}


def test_a_position_with_more_text_than_the_broker_takes_is_refused_and_the_next_is_not(topic, partitions, admin, join):
    poll_until(shared(member := join("worker-1")), member)
    with pytest.raises(MetadataTooLarge, match=r"offset\.metadata\.max\.bytes"):
        member.client.commit({partitions[0]: Position(3, "x" * 5000)})
    member.client.commit({partitions[0]: Position(4, "x" * 1000)})
    assert admin.committed(topic, topic) == {0: Position(4, "x" * 1000)}


def test_who_leaves_may_commit(topic, partitions, outbox, admin, join):
    outbox.send_all(topic, LETTERS)
    member = join("worker-1")
    poll_until(lambda: len(member.records) >= 6, member)
    member.on_revoked = lambda revoked: member.client.commit({partitions[0]: Position(6)})
    member.close()
    assert admin.committed(topic, topic) == {0: Position(6)}


def test_leaving_commits_nothing_by_itself(topic, outbox, admin, join):
    outbox.send_all(topic, LETTERS)
    member = join("worker-1")
    poll_until(lambda: len(member.records) >= 6, member)
    member.close()
    assert admin.committed(topic, topic) == {}


def test_after_a_rebalance_everyone_reads_on_from_what_was_committed(topic, partitions, outbox, join):
    outbox.send_all(topic, LETTERS)
    first = join("worker-1")
    poll_until(lambda: len(first.records) >= 6, first)
    first.client.commit({partitions[0]: Position(3)})
    first.client.pause(partitions)
    second = join("worker-2")
    poll_until(shared(first, second), first, second)
    # it keeps partition 0 and had read all of it; yet what is not committed comes again, and no pause stays
    poll_until(lambda: len(first.records) >= 9, first, second)
    assert first.values() == LETTERS + LETTERS[3:]


def read_letters(member):
    """Read them all. On a machine that stands still the member may be out meanwhile; then it begins anew."""
    member.on_revoked = lambda _: member.records.clear()
    poll_until(lambda: len(member.records) >= 6, member)
    assert member.values() == LETTERS


def read_letters_and_commit(member, positions):
    def is_committed():
        read_letters(member)
        try:
            member.client.commit(positions)
        except CommitRefused:
            return False
        return True

    wait_until(is_committed, timeout=TIMEOUT, what="the member was to commit in time", pause=lambda _: None)


def test_who_polls_too_late_is_out_and_comes_back(topic, partitions, outbox, join):
    outbox.send_all(topic, LETTERS)
    member = join("worker-1", session_timeout=SHORT_SESSION, max_poll_interval=SHORT_INTERVAL)
    read_letters_and_commit(member, {partitions[0]: Position(2)})
    refusals = []

    def commit(revoked):
        member.on_revoked = lambda _: member.records.clear()
        member.records.clear()
        with pytest.raises(CommitRefused):
            member.client.commit({partitions[0]: Position(6)})
        refusals.append(revoked)

    member.on_revoked = commit
    other = join("worker-2", session_timeout=LONG_SESSION)
    poll_until(shared(other), other)  # the late one is out, and this one has all
    with pytest.raises(CommitRefused):
        member.client.commit({partitions[0]: Position(6)})
    poll_until(shared(member, other), member, other)
    assert refusals == [partitions]
    # first in the order of names, it gets partition 0 again, and all of it that was not committed
    poll_until(lambda: len(member.records) >= 4, member, other)
    assert member.values() == LETTERS[2:]


def test_a_late_poll_alone_loses_nothing(topic, partitions, outbox, admin, join):
    outbox.send_all(topic, LETTERS)
    member = join("worker-1", session_timeout=SHORT_SESSION, max_poll_interval=SHORT_INTERVAL)
    read_letters(member)
    wait_until_left(admin, topic)
    with pytest.raises(CommitRefused):
        member.client.commit({partitions[0]: Position(6)})
    member.records.clear()
    poll_until(lambda: len(member.records) >= 6, member)
    assert member.values() == LETTERS
    # on a machine that stood still it was out more often
    times = len(member.events) // 2
    assert times >= 1
    assert member.events == [("assigned", [0, 1]), ("revoked", [0, 1])] * times + [("assigned", [0, 1])]


def wait_until_left(admin, group):
    poll_until(lambda: admin.members(group) == {})


def test_a_new_member_may_seek_and_pause_at_once(topic, partitions, outbox, join):
    outbox.send_all(topic, LETTERS, partition=0)
    outbox.send_all(topic, LETTERS, partition=1)
    member = join("worker-1")

    def begin(assigned):
        member.client.seek(partitions[0], 4)
        member.client.pause([partitions[1]])

    member.on_assigned = begin
    poll_until(lambda: len(member.records) >= 2, member)
    for _ in range(5):
        member.poll()
    assert member.values() == [b"e", b"f"]
    member.client.resume([partitions[1]])
    poll_until(lambda: len(member.records) >= 8, member)
    assert member.values()[2:] == LETTERS


def test_an_error_in_a_callback_comes_out_and_loses_no_record(topic, outbox, join):
    outbox.send_all(topic, LETTERS)
    member = join("worker-1")

    def fail(assigned):
        member.on_assigned = lambda _: None
        raise ArithmeticError("from the callback")

    member.on_assigned = fail
    with pytest.raises(ArithmeticError, match="from the callback"):
        poll_until(lambda: False, member)
    poll_until(lambda: len(member.records) >= 6, member)
    assert member.values() == LETTERS


def test_a_topic_that_grows_is_noticed(admin, topic, outbox, join):
    members = [join("worker-1"), join("worker-2")]
    poll_until(shared(*members), *members)
    admin.grow_topic(topic, partitions=4)
    outbox.send_all(topic, [b"new"], partition=3)
    poll_until(shared(*members, partitions=4), *members)
    poll_until(lambda: members[1].records != [], *members)
    assert members[1].values() == [b"new"]


def test_different_groups_each_get_everything(transport, topic, outbox, join):
    outbox.send_all(topic, LETTERS)
    mine = join("worker-1")
    theirs = Member(transport.consumer(ConsumerConfig(group=topic + "-2", client_id="worker-1")), topic)
    poll_until(lambda: len(mine.records) >= 6 and len(theirs.records) >= 6, mine, theirs)
    theirs.close()
    assert mine.values() == theirs.values() == LETTERS


def test_members_in_threads_of_their_own_share_the_work(topic, outbox, join):
    """As workers do: each polls on its own thread while others join and leave."""
    members = [join(f"worker-{number}") for number in (1, 2, 3)]
    stop = [threading.Event() for _ in members]
    done: list[bytes] = []

    def work(member, stop):
        while not stop.is_set():
            member.poll()
            for record in member.records:
                done.append(record.value)
                member.client.commit({TopicPartition(record.topic, record.partition): Position(record.offset + 1)})
            member.records.clear()
        member.close()

    threads = [threading.Thread(target=work, args=pair) for pair in zip(members, stop, strict=True)]
    for thread in threads:
        thread.start()
    sent = [b"%d" % number for number in range(200)]
    for number, value in enumerate(sent):
        outbox.send(topic, value, partition=number % 2)
        if number == 100:
            stop[0].set()
            threads[0].join(TIMEOUT)
    outbox.delivered()
    try:
        poll_until(lambda: set(done) == set(sent))
    finally:
        for event in stop:
            event.set()
        for thread in threads:
            thread.join(TIMEOUT)
    assert set(done) == set(sent)
