"""What is left for a share group, by a broker that counts also what nobody can read."""

from __future__ import annotations

import pytest

from labkit.errors import BrokerUnreachable, UnknownTopic
from labkit.taskqueue.groups.share_group_state import STILL, ShareGroupState
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.share_contract import ShareLag


class Groups:
    """What the broker says of the only partition; None if the group has not read it."""

    def __init__(self):
        self.told: ShareLag | None = None

    def lag(self, group, topic):
        return {} if self.told is None else {0: self.told}

    def close(self):
        """Nothing is open."""


class Broker(MemoryTransport):
    def __init__(self):
        super().__init__()
        self.groups, self.start, self.end = Groups(), 0, 0

    def share_groups(self):
        return self.groups

    def admin(self):
        admin = super().admin()
        admin.start_offsets = lambda topic: {0: self.start}
        admin.end_offsets = lambda topic: {0: self.end}
        return admin


class Rig:
    """The state of a group of which it is set by hand what is done; it tells what it was asked."""

    def __init__(self, topics, broker):
        self.now, self.takes, self.asked, self.is_done = 0.0, 0.0, [], False
        self.broker = broker
        self.state = ShareGroupState(topics.get("t"), "g", has_done=self.has_done, measure=lambda: self.now)

    def has_done(self, partition, floor):
        self.asked.append((partition, floor))
        self.now += self.takes
        if isinstance(self.is_done, Exception):
            raise self.is_done
        return self.is_done

    def stands(self, start, end, told):
        self.broker.start, self.broker.end = start, end
        self.broker.groups.told = None if told is None else ShareLag(*told)

    def left(self, *, look=True):
        [place] = self.state.lag(look=look)
        return place.lag


@pytest.fixture
def rig():
    broker = Broker()
    with Topics(broker) as topics:
        topics.create("t", partitions=1)
        yield Rig(topics, broker)


@pytest.mark.parametrize(
    ("start", "end", "told", "left"),
    [
        (0, 4, None, 4),
        (3, 4, None, 1),
        (0, 10, (3, 1), 1),
        (16, 16, (10, 6), 0),
        (14, 16, (10, 6), 2),
        (0, 6, (6, 0), 0),
        (0, 4, (9, 2), 0),
        (4, 9, (-1, 9), 5),
    ],
)
def test_no_more_is_left_than_there_is(rig, start, end, told, left):
    rig.stands(start, end, told)
    assert rig.left() == left


def test_what_stays_is_looked_at_and_nothing_is_left_where_all_was_done(rig):
    rig.stands(0, 10, (3, 1))
    assert (rig.left(), rig.asked) == (1, [])
    rig.now += STILL
    assert (rig.left(), rig.asked) == (1, [(0, 3)])
    rig.now += STILL
    assert (rig.left(), rig.asked) == (1, [(0, 3)]), "it costs something, so it is not done all the time"
    rig.is_done = True
    rig.now += STILL
    assert (rig.left(), rig.asked) == (0, [(0, 3)] * 2)
    assert (rig.left(), rig.asked) == (0, [(0, 3)] * 2)


def test_who_does_not_want_it_looked_at_gets_what_the_broker_counts(rig):
    rig.is_done = True
    rig.stands(0, 10, (3, 1))
    for _ in range(3):
        assert (rig.left(look=False), rig.asked) == (1, [])
        rig.now += STILL
    assert (rig.left(), rig.asked) == (0, [(0, 3)])
    assert rig.left(look=False) == 0


@pytest.mark.parametrize("error", [BrokerUnreachable(), UnknownTopic()], ids=["a transaction is open", "it is gone"])
def test_what_cannot_be_seen_is_left_and_looked_at_later(rig, error):
    rig.is_done, rig.takes = error, 15.0
    rig.stands(0, 10, (3, 1))
    rig.left()
    for patience in (STILL, 2 * STILL, 4 * STILL):
        asked = len(rig.asked)
        rig.now += patience / 2
        assert (rig.left(), len(rig.asked)) == (1, asked)
        rig.now += patience / 2
        assert (rig.left(), len(rig.asked)) == (1, asked + 1)
    rig.is_done = True
    rig.now += 8 * STILL
    assert rig.left() == 0


def test_a_task_in_hand_makes_nobody_wait_longer(rig):
    rig.is_done = None
    rig.stands(0, 10, (3, 1))
    rig.left()
    for count in (1, 2, 3, 4):
        rig.now += STILL
        assert (rig.left(), len(rig.asked)) == (1, count)


def test_what_has_come_since_is_left(rig):
    rig.is_done = True
    rig.stands(0, 4, None)
    rig.left()
    rig.now += STILL
    assert rig.left() == 0
    rig.stands(0, 5, None)
    assert rig.left() == 5
    rig.now += STILL / 2
    rig.stands(0, 6, None)
    assert rig.left() == 6
    rig.now += STILL / 2
    assert rig.left() == 6, "it has not been so for long"


def test_what_was_done_before_is_told_by_number(rig):
    rig.stands(2, 20, (5, 4))
    before = rig.state.done()
    assert (dict(before.runs), dict(before.others)) == ({0: [range(5)]}, {0: (range(5, 20), 11)})
    rig.stands(2, 20, None)
    before = rig.state.done()
    assert (dict(before.runs), dict(before.others)) == ({0: [range(2)]}, {0: (range(2, 20), 0)})
