"""Which topic bears the name: asked in time, and never waited for longer than one wants to."""

import threading

import pytest

from labkit.errors import BrokerUnreachable, TransportError
from labkit.taskqueue.engine import topic_identity
from labkit.taskqueue.engine.topic_identity import INTERVAL, LONG_INTERVAL, LOST_AFTER, SHORT_INTERVAL, TopicIdentity
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryAdmin, MemoryTransport

TIMEOUT = 30.0


class Transport(MemoryTransport):
    """In memory; its admin clients may be unreachable, or hang until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.error = None
        self.answers = threading.Event()
        self.answers.set()
        self.opened = self.closed = 0

    def admin(self):
        self.opened += 1
        admin = super().admin()
        ask, close = admin.topic_ids, admin.close

        def topic_ids(names):
            assert self.answers.wait(TIMEOUT)
            if self.error is not None:
                raise self.error
            return ask(names)

        def count_and_close():
            self.closed += 1
            close()

        admin.topic_ids, admin.close = topic_ids, count_and_close
        return admin


class Scene:
    def __init__(self) -> None:
        self.now = 0.0
        self.transport = Transport()
        self.topics = Topics(self.transport)
        self.topic = self.topics.create("t", partitions=2)
        self.identity = TopicIdentity(self.topic, clock=lambda: self.now)
        self.transport.opened = self.transport.closed = 0

    def id(self):
        return self.topics.describe("t").id

    def heard(self):
        """The next answer; the question is put with the first look."""
        found = []

        def came():
            found.append(self.identity.look())
            return found[-1] is not None

        wait_until(came, timeout=TIMEOUT, what="an answer was to come")
        return found[-1].topic_id


@pytest.fixture
def scene():
    scene = Scene()
    yield scene
    scene.transport.answers.set()
    scene.identity.close()


def test_it_is_asked_for_now_and_then(scene):
    first = scene.id()
    assert scene.heard() == first
    scene.topics.recreate("t", partitions=2)
    assert scene.identity.look() is None
    scene.now += INTERVAL
    assert scene.heard() == scene.id() != first
    scene.topics.delete("t")
    scene.now += INTERVAL
    assert scene.heard() is None
    assert scene.transport.opened == 1


def test_it_is_asked_for_sooner_when_something_speaks_against_it(scene):
    scene.heard()
    scene.identity.suspect()
    scene.now += SHORT_INTERVAL
    assert scene.heard() == scene.id()


def test_who_asks_gets_the_answer_of_now_and_the_ends_too(scene):
    assert scene.identity.ask(timeout=TIMEOUT) == (scene.id(), {})
    assert scene.identity.ask(timeout=TIMEOUT, with_ends=True) == (scene.id(), {0: 0, 1: 0})
    scene.topics.delete("t")
    assert scene.identity.ask(timeout=TIMEOUT, with_ends=True) == (None, {})


@pytest.mark.parametrize("error", [BrokerUnreachable, TransportError])
def test_the_id_is_told_also_where_the_ends_are_not(scene, monkeypatch, error):
    def refuse(*_, **__):
        raise error("no leader")

    monkeypatch.setattr(MemoryAdmin, "end_offsets", refuse)
    assert scene.identity.ask(timeout=TIMEOUT, with_ends=True) == (scene.id(), {})


def test_a_broker_that_is_away_is_an_error_for_who_asks_and_none_for_who_looks(scene):
    scene.transport.error = BrokerUnreachable()
    with pytest.raises(BrokerUnreachable):
        scene.identity.ask(timeout=TIMEOUT)
    scene.now += LONG_INTERVAL
    scene.identity.look()
    wait_until(scene.identity._question.done.is_set, timeout=TIMEOUT, what="the question was to fail")
    assert scene.identity.look() is None
    assert scene.transport.opened == scene.transport.closed == 2  # what has failed may hold a dead request
    scene.transport.error = None
    assert scene.identity.ask(timeout=TIMEOUT).topic_id == scene.id()


def test_where_there_can_be_no_further_thread_that_is_the_answer_until_there_can(scene, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(topic_identity._Question, "start", start)
        with pytest.raises(BrokerUnreachable, match="too many threads"):
            scene.identity.ask(timeout=TIMEOUT)
    scene.now += LONG_INTERVAL + 1
    assert scene.heard() == scene.id()


def test_nobody_waits_for_an_answer_that_does_not_come(scene):
    scene.transport.answers.clear()
    assert scene.identity.look() is None
    with pytest.raises(BrokerUnreachable, match="'t'"):
        scene.identity.ask(timeout=0)
    scene.now += LOST_AFTER + 1
    assert scene.identity.look() is None  # it is given up
    scene.now += LONG_INTERVAL
    assert scene.identity.look() is None  # and the next is put over a connection of its own
    assert scene.transport.opened == 2
    scene.transport.answers.set()
    wait_until(lambda: scene.transport.closed == 1, timeout=TIMEOUT, what="the lost question was to let go")
    assert scene.heard() == scene.id()


def test_a_question_under_way_lets_go_of_its_connection_when_its_asker_is_closed(scene):
    scene.transport.answers.clear()
    scene.identity.look()
    wait_until(lambda: scene.transport.opened == 1, timeout=TIMEOUT, what="the question was to be put")
    scene.identity.close()
    assert scene.transport.closed == 0
    scene.transport.answers.set()
    wait_until(lambda: scene.transport.closed == 1, timeout=TIMEOUT, what="the connection was to be closed")


def test_a_defect_is_not_taken_for_a_broker_that_is_away(scene):
    scene.transport.error = KeyError("what")
    with pytest.raises(KeyError):
        scene.heard()
    with pytest.raises(KeyError):
        scene.identity.ask(timeout=TIMEOUT)
