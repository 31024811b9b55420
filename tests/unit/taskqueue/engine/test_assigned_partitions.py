"""What a worker keeps in mind of partitions that were taken from it while the broker was away."""

import logging

import pytest

from labkit.errors import BrokerUnreachable, CommitRefused
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.engine.offset_tracker import OffsetMetadata
from labkit.taskqueue.transport.contract import Position, TopicPartition

PLACE = TopicPartition("t", 0)


class Client:
    """The two calls that matter, on a broker that may be away."""

    def __init__(self) -> None:
        self.position = Position(0)
        self.error = None

    def committed(self, places):
        return dict.fromkeys(places, self.position)

    def commit(self, positions):
        if self.error is not None:
            raise self.error
        self.position = positions[PLACE]


@pytest.fixture
def client():
    return Client()


def work(holdings: AssignedPartitions, offsets, *, until: int) -> list[int]:
    """Receive and finish these offsets; those that were new."""
    holdings.adopt([PLACE])
    progress = holdings.by_partition[0].progress
    new = [offset for offset in offsets if progress.receive(offset)]
    for offset in new[:until]:
        progress.finish(offset)
    return new


@pytest.mark.parametrize("error", [BrokerUnreachable, CommitRefused])
def test_what_was_finished_and_not_committed_is_not_done_again(client, error):
    holdings = AssignedPartitions(client, "t", suspects=10)
    assert work(holdings, range(10), until=6) == list(range(10))
    client.error = error()
    holdings.leave()
    client.error = None
    assert client.position.offset == 0
    assert work(holdings, range(10), until=10) == [6, 7, 8, 9]
    holdings.leave()
    assert client.position.offset == 10


def test_another_topic_of_the_same_name_is_begun_anew(client):
    holdings = AssignedPartitions(client, "t", suspects=10)
    client.position = Position(5)
    work(holdings, range(5, 10), until=5)
    client.error = BrokerUnreachable()
    holdings.leave()
    client.error = None
    client.position = Position(0)
    assert work(holdings, range(10), until=10) == list(range(10))


def starts(client) -> int:
    """How many starts stand on the broker that did not end in order."""
    return OffsetMetadata.decode(client.position.metadata, client.position.offset).starts


def test_a_start_counts_with_the_first_record_and_not_before(client):
    holdings = AssignedPartitions(client, "t", suspects=10)
    holdings.adopt([PLACE])
    assert starts(client) == 0
    holdings.begin({0: 0})
    assert starts(client) == 1
    holdings.leave()
    assert starts(client) == 0


def test_a_worker_that_lives_is_not_taken_for_one_that_died_here(client):
    holdings = AssignedPartitions(client, "t", suspects=10)
    for _ in range(10):
        client.error = None
        holdings.adopt([PLACE])
        assert not holdings.by_partition[0].alone
        holdings.begin({0: 0})
        client.error = BrokerUnreachable()
        holdings.leave()
    assert starts(client) == 1


def test_those_that_died_here_count_beside_one_that_lives(client):
    holdings = AssignedPartitions(client, "t", suspects=10)
    holdings.adopt([PLACE])
    holdings.begin({0: 0})
    client.error = BrokerUnreachable()
    holdings.leave()
    client.error = None
    for _ in range(2):
        died = AssignedPartitions(client, "t", suspects=10)
        died.adopt([PLACE])
        died.begin({0: 0})
    assert starts(client) == 3
    holdings.adopt([PLACE])
    assert holdings.by_partition[0].alone


def test_a_start_that_the_broker_did_not_take_is_tried_again(client):
    holdings = AssignedPartitions(client, "t", suspects=10)
    holdings.adopt([PLACE])
    client.error = BrokerUnreachable()
    with pytest.raises(BrokerUnreachable):
        holdings.begin({0: 0})
    assert not holdings.by_partition[0].begun
    client.error = None
    holdings.begin({0: 0})
    assert starts(client) == 1


def test_that_commits_have_to_wait_is_said_once_for_each_outage(client, caplog):
    holdings = AssignedPartitions(client, "t", suspects=10)
    with caplog.at_level(logging.INFO, "labkit.worker"):
        for error in (BrokerUnreachable(), BrokerUnreachable(), None, BrokerUnreachable()):
            work(holdings, range(10), until=1)
            client.error = error
            holdings.leave()
            client.error = None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]
