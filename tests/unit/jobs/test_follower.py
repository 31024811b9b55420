"""Which topic it is: asked by many threads at once, and seldom enough."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.errors import BrokerUnreachable, UnknownTopic
from labkit.jobs.follower import Catalogue
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topic
from tests.conditions import PATIENCE

THREADS = 8


class Broker:
    """A transport and its admin client, which answers when it may."""

    def __init__(self):
        self.topic_id, self.questions, self.may_answer = "first", 0, threading.Event()
        self.error = None

    def admin(self):
        return self

    def topic_ids(self, names):
        self.questions += 1
        found = self.topic_id
        assert self.may_answer.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return {name: found for name in names if found is not None}


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def catalogue(broker):
    return Catalogue(Topic(name="t", partitions=1, transport=broker))


class CountedLock:
    """A lock that knows how many have come to it."""

    def __init__(self):
        self.lock, self.came = threading.Lock(), 0

    def __enter__(self):
        self.came += 1
        self.lock.acquire()

    def __exit__(self, *_):
        self.lock.release()


def test_threads_share_an_answer_that_is_not_older_than_their_question(catalogue, broker):
    catalogue._looking = lock = CountedLock()
    with ThreadPoolExecutor(THREADS) as pool:
        first = pool.submit(catalogue.look)
        wait_until(lambda: broker.questions == 1, timeout=PATIENCE, what="the first was to ask")
        broker.topic_id = "second"
        others = [pool.submit(catalogue.look) for _ in range(THREADS - 1)]
        wait_until(lambda: lock.came == THREADS, timeout=PATIENCE, what="the others were to ask meanwhile")
        broker.may_answer.set()
        assert first.result().id == "first"
        assert {other.result().id for other in others} == {"second"}
    assert broker.questions == 2


def test_a_look_later_asks_again(catalogue, broker):
    broker.may_answer.set()
    assert catalogue.look().id == "first"
    broker.topic_id = "second"
    assert catalogue.id().id == "first"
    assert catalogue.look().id == "second"
    assert broker.questions == 2


@pytest.mark.parametrize(("topic_id", "error"), [(None, None), ("second", BrokerUnreachable("away"))])
def test_a_look_in_vain_is_nobodys_answer(catalogue, broker, topic_id, error):
    broker.may_answer.set()
    catalogue.look()
    broker.topic_id, broker.error = topic_id, error
    for _ in range(2):
        with pytest.raises((UnknownTopic, BrokerUnreachable)):
            catalogue.look()
    broker.topic_id, broker.error = "third", None
    assert catalogue.look().id == "third"
