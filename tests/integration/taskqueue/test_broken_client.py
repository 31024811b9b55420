"""A client of kafka-python whose I/O thread breaks down: who used it says so and ends, or makes another."""

from __future__ import annotations

import pytest

from labkit.errors import TransportError, WorkerFailed
from labkit.taskqueue import Producer, Topics, WorkerGroup, connect, new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.worker_group.membership import Membership

TIMEOUT = 60.0

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def topics(lab):
    with connect(lab, transport="kafka-python") as topics:
        yield topics


def break_down(client, monkeypatch) -> None:
    def fail(_):
        raise OSError("no more events")

    monkeypatch.setattr(client._net._selector, "select", fail)
    client._net.wakeup()


def send(topic, count: int) -> None:
    with Producer(topic) as producer:
        producer.send_many(new_task("k") for _ in range(count))


def test_a_worker_whose_client_has_broken_down_ends_and_says_why(topics: Topics, unique_name, monkeypatch):
    topic = topics.create(unique_name, partitions=1)
    group = WorkerGroup(topic, group=unique_name, membership=Membership(session_timeout=1.0))
    group.begin_to_add()
    group.wait_until_balanced()
    broken = group._members["worker-1"]._worker._client
    break_down(broken._client, monkeypatch)
    wait_until(lambda: group.dead() == ["worker-1"], timeout=TIMEOUT, what="the worker was to end")
    with pytest.raises(WorkerFailed, match=r"broken down, and another is needed: .*no more events"):
        group.close()
    assert broken._client._net._closed
    with WorkerGroup(topic, group=unique_name) as group:
        send(topic, 3)
        group.drain(timeout=TIMEOUT)


@pytest.mark.parametrize(
    "ask",
    [
        lambda admin, name: admin.topic_ids([name]),
        lambda admin, name: name in admin.list_topics(),
        lambda admin, _: isinstance(admin.groups(), dict),
    ],
    ids=["a topic", "all topics", "groups"],
)
def test_an_admin_client_that_has_broken_down_is_made_anew(topics: Topics, unique_name, monkeypatch, ask):
    topics.create(unique_name, partitions=1)
    broken = topics._client._client
    break_down(broken, monkeypatch)
    broken._net._io_thread.join(TIMEOUT)
    assert ask(topics._client, topics.prefix + unique_name)
    assert topics._client._client is not broken


def test_a_question_that_was_put_before_the_client_broke_down_is_refused_once(topics: Topics, unique_name, monkeypatch):
    topics.create(unique_name, partitions=1)
    admin = topics._client
    request = admin._client.describe_topics

    def break_down_first(*how):
        monkeypatch.setattr(admin._client, "describe_topics", request)
        break_down(admin._client, monkeypatch)
        return request(*how)

    monkeypatch.setattr(admin._client, "describe_topics", break_down_first)
    with pytest.raises(TransportError, match="broken down"):
        topics.get(unique_name)
    assert topics.get(unique_name).partitions == 1
