"""The contract of transactions."""

from __future__ import annotations

from contextlib import closing

import pytest

from labkit.errors import CommitRefused, MetadataTooLarge, NotAcknowledged, TransportError, UnknownTopic
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import ConsumerConfig, Outgoing, Position, TopicPartition
from tests.contract.fixtures import LONG_SESSION, SHORT_INTERVAL, SHORT_SESSION, TIMEOUT, poll_until, read, shared


@pytest.fixture
def transactions(transport, unique_name):
    with closing(transport.transactions(unique_name)) as transactions:
        yield transactions


def letter(topic, value, partition=0, key=None, headers=()):
    return Outgoing(topic, partition, key, value, headers)


def values_on(reader, topic, last):
    """All values on both partitions up to a last one, which is written now and without a transaction."""
    reader.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
    found = []
    while last not in found:
        found += [record.value for record in read(reader, 1)]
    return found


def poll_until_read(reader, partition, end):
    """Poll until the position is there, and nothing else comes."""
    wait_until(
        lambda: reader.poll(0.05) is not None and reader.position(partition) == end,
        timeout=TIMEOUT,
        what=f"{partition} was to be read up to {end}",
        pause=lambda _: None,
    )


def wait_until_committed(admin, topic, positions):
    """Kafka shows the offsets of a transaction a moment after it has ended."""
    wait_until(
        lambda: admin.committed(topic, topic) == positions, timeout=TIMEOUT, what=f"{positions} were to be there"
    )


def what_is_written(reader, outbox, topic):
    outbox.send_all(topic, [b"last"])
    return sorted(set(values_on(reader, topic, b"last")) - {b"last"})


def test_all_records_are_written_as_they_are(transactions, topic, reader):
    headers = (("name", b"content"), ("name", b"again"))
    transactions.write([letter(topic, b"a", 0, b"key", headers), letter(topic, None, 0, b"key"), letter(topic, b"", 0)])
    reader.assign([TopicPartition(topic, 0)])
    records = read(reader, 3)
    assert [(r.key, r.value, r.headers) for r in records] == [
        (b"key", b"a", headers),
        (b"key", None, ()),
        (None, b"", ()),
    ]


def test_a_record_without_a_partition_goes_by_its_key(transactions, topic, reader, outbox):
    outbox.send(topic, b"sent", partition=None, key=b"key")
    [place] = outbox.delivered()
    transactions.write([letter(topic, b"written", None, b"key")])
    reader.assign([TopicPartition(topic, place.partition)])
    assert [record.value for record in read(reader, 2)] == [b"sent", b"written"]


def test_one_transaction_follows_the_other(transactions, topic, reader):
    for number in range(5):
        transactions.write([letter(topic, b"%d" % number, number % 2)])
    reader.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
    assert sorted(record.value for record in read(reader, 5)) == [b"0", b"1", b"2", b"3", b"4"]


def test_records_and_positions_are_written_together(transactions, topic, admin, join, reader):
    poll_until(shared(member := join("worker-1")), member)
    positions = {TopicPartition(topic, 0): Position(3, "three"), TopicPartition(topic, 1): Position(5)}
    transactions.write([letter(topic, b"a", 0), letter(topic, b"b", 1)], positions, member.client)
    wait_until_committed(admin, topic, {0: Position(3, "three"), 1: Position(5)})
    reader.assign(list(positions))
    assert sorted(record.value for record in read(reader, 2)) == [b"a", b"b"]


def test_the_next_owner_goes_on_where_a_transaction_committed(transactions, transport, topic, join):
    poll_until(shared(member := join("worker-1")), member)
    first = TopicPartition(topic, 0)
    with closing(transport.consumer(ConsumerConfig(group=topic))) as successor:
        for number in range(1, 6):
            transactions.write([letter(topic, b"a")], {first: Position(number)}, member.client)
            assert successor.committed([first]) == {first: Position(number)}


def test_positions_alone_are_a_transaction_too(transactions, topic, admin, join):
    poll_until(shared(member := join("worker-1")), member)
    transactions.write([], {TopicPartition(topic, 0): Position(3, "three")}, member.client)
    wait_until_committed(admin, topic, {0: Position(3, "three")})


def test_nothing_at_all_is_no_error(transactions):
    transactions.write([])


def test_an_ordinary_commit_follows_one_in_a_transaction(transactions, topic, admin, join):
    poll_until(shared(member := join("worker-1")), member)
    transactions.write([letter(topic, b"a")], {TopicPartition(topic, 0): Position(3)}, member.client)
    member.client.commit({TopicPartition(topic, 0): Position(4)})
    wait_until_committed(admin, topic, {0: Position(4)})


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (lambda topic: letter(topic, b"x" * 1_100_000), NotAcknowledged),
        (lambda topic: letter(topic, b"b", 7), UnknownTopic),
        (lambda topic: letter(topic + "-unknown", b"b"), UnknownTopic),
        (lambda topic: letter(topic, None), ValueError),
    ],
)
def test_one_bad_record_spoils_all(transactions, topic, reader, outbox, admin, join, bad, error):
    poll_until(shared(member := join("worker-1")), member)
    with pytest.raises(error):
        transactions.write([letter(topic, b"a"), bad(topic)], {TopicPartition(topic, 0): Position(3)}, member.client)
    assert what_is_written(reader, outbox, topic) == []
    assert admin.committed(topic, topic) == {}
    transactions.write([letter(topic, b"later")])
    assert b"later" in values_on(reader, topic, b"later")


def test_a_position_with_more_text_than_the_broker_takes_spoils_all(transactions, topic, reader, outbox, admin, join):
    poll_until(shared(member := join("worker-1")), member)
    place = TopicPartition(topic, 0)
    with pytest.raises(MetadataTooLarge):
        transactions.write([letter(topic, b"a")], {place: Position(3, "x" * 5000)}, member.client)
    transactions.write([letter(topic, b"b")], {place: Position(4, "x" * 1000)}, member.client)
    assert what_is_written(reader, outbox, topic) == [b"b"]
    wait_until_committed(admin, topic, {0: Position(4, "x" * 1000)})


def test_the_largest_record_leaves_room_for_what_became_of_it(transactions, topic, reader):
    transactions.write([letter(topic, b"x" * 1_000_000, 0, b"key", (("error", b"y" * 25_000),))])
    assert len(values_on(reader, topic, b"x" * 1_000_000)) == 1


def test_who_has_lost_a_partition_writes_nothing(transactions, topic, reader, outbox, admin, join):
    first, second = join("worker-1"), join("worker-2")
    poll_until(shared(first, second), first, second)
    positions = {TopicPartition(topic, 0): Position(5), TopicPartition(topic, 1): Position(5)}
    with pytest.raises(CommitRefused):
        transactions.write([letter(topic, b"a")], positions, first.client)
    assert what_is_written(reader, outbox, topic) == []
    assert admin.committed(topic, topic) == {}


def test_who_does_not_know_yet_that_the_group_has_moved_on_writes_nothing(
    transactions, topic, reader, outbox, admin, join
):
    late = join("worker-1", session_timeout=SHORT_SESSION, max_poll_interval=SHORT_INTERVAL)
    poll_until(shared(late), late)
    other = join("worker-2", session_timeout=LONG_SESSION)
    poll_until(shared(other), other)  # the late one is out, and this one has all
    position = {TopicPartition(topic, 0): Position(5)}
    with pytest.raises(CommitRefused):
        transactions.write([letter(topic, b"a")], position, late.client)
    assert what_is_written(reader, outbox, topic) == []
    assert admin.committed(topic, topic) == {}
    transactions.write([letter(topic, b"b")], position, other.client)
    wait_until_committed(admin, topic, {0: Position(5)})


def test_who_loses_a_partition_may_write_before_another_has_it(transactions, topic, admin, join):
    first = join("worker-1")
    poll_until(shared(first), first)
    position = {TopicPartition(topic, 1): Position(5)}

    def write(revoked):
        first.on_revoked = lambda _: None
        transactions.write([letter(topic, b"a")], position, first.client)

    first.on_revoked = write
    second = join("worker-2")
    poll_until(shared(first, second), first, second)
    wait_until_committed(admin, topic, {1: Position(5)})


def test_who_leaves_may_write(transactions, topic, admin, join):
    member = join("worker-1")
    poll_until(shared(member), member)
    position = {TopicPartition(topic, 0): Position(6)}
    member.on_revoked = lambda _: transactions.write([letter(topic, b"a")], position, member.client)
    member.close()
    wait_until_committed(admin, topic, {0: Position(6)})


def test_who_has_left_writes_nothing(transactions, topic, admin, join):
    member = join("worker-1")
    poll_until(shared(member), member)
    member.close()
    with pytest.raises(TransportError, match="closed"):
        transactions.write([letter(topic, b"a")], {TopicPartition(topic, 0): Position(6)}, member.client)
    assert admin.committed(topic, topic) == {}


def test_positions_need_a_member_of_a_group(transactions, transport, topic, reader, outbox):
    position = {TopicPartition(topic, 0): Position(6)}
    with closing(transport.consumer(ConsumerConfig(group=topic))) as by_hand:
        by_hand.assign([TopicPartition(topic, 0)])
        for consumer in (None, by_hand, reader):
            with pytest.raises(ValueError, match="consumer"):
                transactions.write([letter(topic, b"a")], position, consumer)
    assert what_is_written(reader, outbox, topic) == []


def test_two_clients_with_one_id_work_one_after_the_other(transport, transactions, topic, reader, unique_name):
    transactions.write([letter(topic, b"a")])
    with closing(transport.transactions(unique_name)) as newer:
        newer.write([letter(topic, b"b")])
        with pytest.raises(TransportError, match="another client"):
            transactions.write([letter(topic, b"lost")])
        transactions.write([letter(topic, b"c")])
        with pytest.raises(TransportError, match="another client"):
            newer.write([letter(topic, b"lost too")])
        newer.write([letter(topic, b"d")])
    assert values_on(reader, topic, b"d") == [b"a", b"b", b"c", b"d"]


def test_a_position_goes_past_the_end_of_a_transaction(transactions, topic, admin, reader):
    first = TopicPartition(topic, 0)
    transactions.write([letter(topic, b"a"), letter(topic, b"b")])
    reader.assign([first])
    records = read(reader, 2)
    poll_until_read(reader, first, admin.end_offsets(topic)[0])
    assert [record.value for record in records] == [b"a", b"b"]
    transactions.write([letter(topic, b"c")])
    assert [record.value for record in read(reader, 1)] == [b"c"]
    assert reader.position(first) > records[-1].offset + 1
    reader.seek(first, 1)
    assert reader.position(first) in (None, 1)
    poll_until_read(reader, first, admin.end_offsets(topic)[0])


def test_a_position_never_goes_past_what_was_not_returned(topic, outbox, reader):
    first = TopicPartition(topic, 0)
    outbox.send_all(topic, [b"a", b"b", b"c"])
    reader.assign([first])
    seen = []
    while len(seen) < 3:
        seen += reader.poll(0.1, max_records=1)
        assert reader.position(first) in ({len(seen)} if seen else {None, 0})


def test_clients_with_ids_of_their_own_work_side_by_side(transport, transactions, topic, reader, unique_name):
    with closing(transport.transactions(unique_name + "-2")) as another:
        for client, value in ((transactions, b"a"), (another, b"b"), (transactions, b"c")):
            client.write([letter(topic, value)])
    assert values_on(reader, topic, b"c") == [b"a", b"b", b"c"]


def test_a_client_for_transactions_is_closed_twice_and_then_says_so(transport, topic, unique_name):
    client = transport.transactions(unique_name)
    client.close()
    client.close()
    with pytest.raises(TransportError, match="closed"):
        client.write([letter(topic, b"a")])
