"""Topics, under a prefix, in memory."""

import threading

import pytest

from labkit.errors import BrokerUnreachable, SettingsError, TopicMismatch, UnknownTopic
from labkit.taskqueue.cluster_errors import InternalTopic
from labkit.taskqueue.timeouts import LOOK_INTERVAL
from labkit.taskqueue.topics import Topic, Topics
from labkit.taskqueue.transport.contract import ProducerConfig
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.memory.admin import MemoryAdmin


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def write(topics: Topics, topic: str, partition: int, count: int = 1) -> None:
    client = topics.transport.producer(ProducerConfig())
    for _ in range(count):
        client.send(
            topics.prefix + topic,
            partition=partition,
            key=None,
            value=b"x",
            headers=(),
            timestamp_ms=None,
            on_delivery=lambda delivery, error: None,
        )
    client.close(5)


def test_creating_what_exists_with_the_same_shape_is_no_error(topics):
    assert topics.create("t", partitions=2) == topics.create("t", partitions=2) == topics.get("t")


def test_another_number_of_partitions_is_a_mismatch(topics):
    topics.create("t", partitions=2)
    with pytest.raises(TopicMismatch, match="exists already with 2 partitions, not 3"):
        topics.create("t", partitions=3)


def test_other_settings_are_a_mismatch(topics):
    topics.create("t", partitions=1, config={"retention.ms": "1000"})
    topics.create("t", partitions=1, config={"retention.ms": "1000"})
    with pytest.raises(TopicMismatch, match="other settings"):
        topics.create("t", partitions=1, config={"retention.ms": "2000"})


def test_a_name_that_is_taken_by_no_topic_is_asked_for_at_intervals_and_with_a_limit(topics, monkeypatch):
    """As by a broker that lags behind the one that has deleted the topic."""
    laps = []
    monkeypatch.setattr(MemoryAdmin, "create_topic", lambda *_, **__: laps.append(1))
    monkeypatch.setattr("labkit.taskqueue.topics.CHANGE_TIMEOUT", 10 * LOOK_INTERVAL)
    with pytest.raises(BrokerUnreachable, match="'t' could be neither made nor found"):
        topics.create("t", partitions=1)
    assert len(laps) <= 12


def test_a_topic_that_is_deleted_while_it_is_asked_for_is_made(topics, monkeypatch):
    topics.create("t", partitions=1)
    look = MemoryAdmin.describe_topic

    def late_look(self, name):
        if topics.names():
            topics.delete("t")
        return look(self, name)

    monkeypatch.setattr(MemoryAdmin, "describe_topic", late_look)
    assert topics.create("t", partitions=2).partitions == 2
    assert topics.end_offsets("t") == {0: 0, 1: 0}


@pytest.mark.parametrize("for_ever", [2**63 - 1, 2**63 - 2, 2**62, 9 * 10**18])
def test_a_time_that_is_meant_for_ever_is_a_setting_as_any_other(topics, for_ever):
    config = {"delete.retention.ms": str(for_ever)}
    made = topics.create("t", partitions=1, config=config)
    assert topics.create("t", partitions=1, config=config) == made
    assert topics.describe("t").config == config
    with pytest.raises(TopicMismatch, match="other settings"):
        topics.create("t", partitions=1, config={"delete.retention.ms": "86400000"})


def test_threads_that_ask_at_once_share_one_connection(topics, monkeypatch):
    make, made = topics.transport.admin, []

    def admin():
        made.append(make())
        if len(made) == 1:
            other.start()
            other.join(0.2)  # it would be through if it did not wait; else this takes nothing from the test
        return made[-1]

    monkeypatch.setattr(topics.transport, "admin", admin)
    with Topics(topics.transport) as asked:
        other = threading.Thread(target=asked.names)
        asked.names()
        other.join(60)
    assert len(made) == 1


def test_growing_and_never_shrinking(topics):
    topics.create("t", partitions=2)
    assert topics.grow("t", partitions=4).partitions == 4
    assert topics.get("t").partitions == 4
    with pytest.raises(TopicMismatch):
        topics.grow("t", partitions=3)


def test_what_is_not_there_is_unknown(topics):
    for call in (topics.get, topics.describe, topics.delete):
        with pytest.raises(UnknownTopic, match="nowhere"):
            call("nowhere")


@pytest.mark.parametrize(
    "change",
    [
        lambda topics, name: topics.create(name, partitions=2),
        lambda topics, name: topics.recreate(name, partitions=2),
        lambda topics, name: topics.grow(name, partitions=2),
        Topics.delete,
        Topics.get,
        lambda topics, name: Topic(name=name, partitions=1, transport=topics.transport),
    ],
    ids=["create", "recreate", "grow", "delete", "get", "a topic"],
)
@pytest.mark.parametrize("name", ["__consumer_offsets", "__transaction_state", "__share_group_state", "__of_a_user"])
def test_what_is_kafkas_own_is_not_changed_and_no_topic_to_work_on(topics, change, name):
    admin = topics.transport.admin()
    admin.create_topic(name, partitions=1)
    with pytest.raises(InternalTopic, match=f"'{name}' is Kafka's own"):
        change(topics, name)
    assert admin.describe_topic(name).partitions == topics.describe(name).partitions == 1, "it may be looked at"


def test_under_a_prefix_no_name_is_kafkas_own():
    with Topics(MemoryTransport(), prefix="ann.") as topics:
        topics.create("__t", partitions=1)
        topics.delete("__t")


def test_fresh_is_empty_and_leaves_nothing(topics):
    with topics.fresh("t", partitions=2) as topic:
        assert topic.partitions == 2
        assert topics.end_offsets("t") == {0: 0, 1: 0}
    assert topics.names() == []


def test_fresh_leaves_nothing_when_the_block_fails(topics):
    with pytest.raises(ZeroDivisionError), topics.fresh("t", partitions=1):
        raise ZeroDivisionError
    assert topics.names() == []


def test_a_prefix_keeps_users_apart():
    transport = MemoryTransport()
    ann, bob = Topics(transport, prefix="ann."), Topics(transport, prefix="bob.")
    ann.create("t", partitions=1)
    assert bob.names() == []
    assert bob.create("t", partitions=3).full_name == "bob.t"
    assert ann.get("t").partitions == 1
    assert Topics(transport).names() == ["ann.t", "bob.t"]


def test_lag_counts_what_is_not_committed(topics):
    topics.create("t", partitions=2)
    write(topics, "t", 0, 3)
    write(topics, "t", 1, 1)
    assert [(p.partition, p.committed, p.end, p.lag) for p in topics.lag("t", group="g")] == [
        (0, 0, 3, 3),
        (1, 0, 1, 1),
    ]


@pytest.mark.parametrize("shape", [{"partitions": 0}, {"partitions": -1}, {"partitions": 1, "replication_factor": 0}])
def test_a_topic_of_nothing_is_refused(topics, shape):
    with pytest.raises(SettingsError, match=r"'(partitions|replication_factor)' of .* from 1"):
        topics.create("t", **shape)
