"""What the transport in memory has besides the contract: a clock that is handed in, and members that crash."""

import threading

import pytest

from labkit.errors import CommitRefused, TransportError
from labkit.taskqueue.transport import ConsumerConfig, Position, ProducerConfig, TopicPartition
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.unit.clock import Clock

P0, P1 = TopicPartition("t", 0), TopicPartition("t", 1)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def transport(clock):
    transport = MemoryTransport(clock=clock)
    transport.admin().create_topic("t", partitions=2)
    return transport


def join(transport, name, events=None, **config):
    consumer = transport.consumer(ConsumerConfig(group="g", client_id=name, **config))
    seen = [] if events is None else events
    consumer.subscribe(
        ["t"],
        on_assigned=lambda partitions: seen.append(("assigned", partitions)),
        on_revoked=lambda partitions: seen.append(("revoked", partitions)),
    )
    return consumer


def settle(*consumers):
    """Two rounds: in the first they give up what they have, in the second they take what they get."""
    for _ in range(2):
        for consumer in consumers:
            consumer.poll(0)


def send(transport, value, partition=0, **options):
    delivered = []
    record = {"key": None, "headers": (), "timestamp_ms": None} | options
    transport.producer(ProducerConfig()).send(
        "t", partition=partition, value=value, on_delivery=lambda *outcome: delivered.append(outcome), **record
    )
    return delivered


def test_the_clock_stamps_the_records(transport, clock):
    send(transport, b"a")
    clock.now += 0.5
    send(transport, b"b")
    reader = transport.consumer(ConsumerConfig())
    reader.assign([P0])
    assert [record.timestamp_ms for record in reader.poll(0)] == [1_000_000, 1_000_500]


def test_a_record_is_acknowledged_when_send_returns(transport):
    assert send(transport, b"a") == [((0, 0), None)]
    assert send(transport, b"b") == [((0, 1), None)]


def test_a_silent_member_is_missed_when_its_session_has_timed_out_and_not_before(transport, clock):
    one, two = join(transport, "worker-1"), join(transport, "worker-2", session_timeout=6.0)
    settle(one, two)
    assert (one.assignment(), two.assignment()) == ({P0}, {P1})
    two.crash()
    clock.now += 5.9
    settle(one)
    assert one.assignment() == {P0}
    assert transport.admin().members("g").keys() == {"worker-1", "worker-2"}
    clock.now += 0.1
    settle(one)
    assert one.assignment() == {P0, P1}
    assert transport.admin().members("g") == {"worker-1": {P0, P1}}


def test_a_crashed_member_does_nothing_any_more(transport):
    member = join(transport, "worker-1")
    member.poll(0)
    member.crash()
    with pytest.raises(TransportError):
        member.poll(0)
    member.close()
    assert transport.admin().members("g").keys() == {"worker-1"}


def test_a_rebalance_waits_for_a_silent_member_until_its_session_has_timed_out(transport, clock):
    one, two = join(transport, "worker-1"), join(transport, "worker-2")
    settle(one, two)
    two.crash()
    three = join(transport, "worker-3")
    settle(one, three)
    assert one.assignment() == three.assignment() == frozenset()
    clock.now += 6
    settle(one, three)
    assert (one.assignment(), three.assignment()) == ({P0}, {P1})


def test_a_member_that_works_for_long_keeps_its_partitions(transport, clock):
    """Its heartbeats go on without a poll: only the poll interval counts."""
    events = []
    member = join(transport, "worker-1", events, session_timeout=6.0, max_poll_interval=300.0)
    member.poll(0)
    clock.now += 300
    member.commit({P0: Position(1)})
    member.poll(0)
    assert events == [("assigned", [P0, P1])]


def test_a_member_that_works_for_too_long_is_out(transport, clock):
    events = []
    member = join(transport, "worker-1", events, max_poll_interval=300.0)
    member.poll(0)
    clock.now += 300.1
    with pytest.raises(CommitRefused):
        member.commit({P0: Position(1)})
    member.poll(0)
    assert events == [("assigned", [P0, P1]), ("revoked", [P0, P1]), ("assigned", [P0, P1])]
    member.commit({P0: Position(1)})


def test_between_giving_up_and_getting_there_is_nothing_to_commit(transport):
    one = join(transport, "worker-1")
    one.poll(0)
    two = join(transport, "worker-2")
    two.poll(0)
    one.commit({P0: Position(1)})  # a rebalance has begun, and it still has its partitions
    one.poll(0)
    two.poll(0)
    three = join(transport, "worker-3")
    three.poll(0)
    one.poll(0)  # it has given them up and waits for worker-2
    with pytest.raises(CommitRefused):
        one.commit({P0: Position(2)})
    assert transport.admin().committed("g", "t") == {0: Position(1)}


def test_a_reader_assigned_by_hand_cannot_commit_for_a_group_with_members(transport):
    join(transport, "worker-1").poll(0)
    reader = transport.consumer(ConsumerConfig(group="g"))
    reader.assign([P0])
    with pytest.raises(CommitRefused):
        reader.commit({P0: Position(1)})


def test_polls_take_turns_over_the_partitions(transport):
    for _ in range(4):
        send(transport, b"a", 0)
        send(transport, b"b", 1)
    reader = transport.consumer(ConsumerConfig())
    reader.assign([P0, P1])
    assert [reader.poll(0, 2)[0].partition for _ in range(4)] == [0, 1, 0, 1]


def test_a_deleted_topic_gives_nothing_and_its_successor_all(transport):
    send(transport, b"old")
    send(transport, b"old")
    reader = transport.consumer(ConsumerConfig())
    reader.assign([P0, P1])
    assert len(reader.poll(0)) == 2
    admin = transport.admin()
    admin.delete_topic("t")
    assert reader.poll(0) == []
    admin.create_topic("t", partitions=1)
    send(transport, b"new")
    assert [record.value for record in reader.poll(0)] == [b"new"]


def test_deleting_a_topic_forgets_what_was_committed(transport):
    member = join(transport, "worker-1")
    member.poll(0)
    member.commit({P0: Position(5)})
    transport.admin().delete_topic("t")
    assert transport.admin().committed("g", "t") == {}


def test_a_waiting_poll_notices_a_death_by_itself(transport, clock):
    one, two = join(transport, "worker-1"), join(transport, "worker-2")
    settle(one, two)
    send(transport, b"for worker-2", 1)
    two.crash()
    mover = threading.Timer(0.1, lambda: setattr(clock, "now", clock.now + 6))
    mover.start()
    assert [record.value for record in one.poll(30)] == [b"for worker-2"]
    mover.join()


def test_two_transports_share_nothing(transport):
    assert MemoryTransport().admin().list_topics() == []
    assert transport.admin().list_topics() == ["t"]


def test_a_transport_in_memory_has_no_connection(transport):
    assert transport.connection is None
