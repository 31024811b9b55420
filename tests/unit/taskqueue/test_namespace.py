"""A name of one's own: nobody else has it, and what a killed program has left behind is found."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from labkit.errors import TopicMismatch, UnknownTopic
from labkit.settings import Settings
from labkit.taskqueue import namespace
from labkit.taskqueue.group import WorkerGroup
from labkit.taskqueue.namespace import OWNER, abandoned, is_in_namespace, new_namespace, owner_mark
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.memory.admin import MemoryAdmin

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def transport():
    return MemoryTransport()


def of_a_dead_program(call: str = "new_namespace()") -> str:
    """What a process of this machine that has ended says: by default a namespace of its own."""
    code = f"from labkit.taskqueue.namespace import *; print({call})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def leave_behind(transport: MemoryTransport, name: str, *others: str) -> None:
    """As a program does that is killed in the block of a fresh topic that has a plain name, with these beside it."""
    admin = transport.admin()
    admin.create_topic(name, partitions=3, config={OWNER: of_a_dead_program("owner_mark()")})
    for other in others:
        admin.create_topic(other, partitions=1)


def test_a_namespace_is_a_prefix_that_the_settings_take_and_nobody_else_has():
    first, second = new_namespace(), new_namespace()
    assert first != second
    assert Settings(_env_file=None, topic_prefix=f"{first}{second}").topic_prefix == first + second
    assert is_in_namespace(f"{first}task_queue")
    assert not any(map(is_in_namespace, ("task_queue", "own.goal", f"ann.{first}t", "own.12345678.1.12.t")))


def test_only_what_belonged_to_a_dead_program_of_this_machine_is_abandoned(monkeypatch):
    mine, dead = f"{new_namespace()}t", f"ann.{of_a_dead_program()}t"
    elsewhere = dead.replace(namespace._machine(), "0" * 8)
    assert abandoned([mine, dead, elsewhere, "t"]) == [dead]


def test_two_machines_of_one_name_are_two(monkeypatch, tmp_path):
    """Where there is no /proc, as on macOS."""
    monkeypatch.setattr(namespace, "_PID_SPACE", tmp_path / "none")
    found = []
    for node in (1, 2, 2):
        monkeypatch.setattr(namespace, "getnode", lambda node=node: node)
        found.append(namespace._machine.__wrapped__())
    assert found[0] != found[1] == found[2]
    assert is_in_namespace(f"own.{found[0]}.1.00000000.t")


def test_what_a_killed_program_has_left_is_deleted_by_the_next(transport):
    dead = of_a_dead_program()
    everybody = Topics(transport)
    for name in (f"{dead}t", f"{dead}t.dead", "shared"):
        transport.admin().create_topic(name, partitions=1)
    with everybody.fresh("mine", partitions=1):
        assert transport.admin().list_topics() == ["mine", "shared"]


def test_two_programs_each_have_a_fresh_topic_of_one_name(transport):
    ann, bob = Topics(transport), Topics(transport)
    with ann.fresh("task_queue", partitions=2) as anns:
        with Producer(anns, settings=SETTINGS) as producer:
            producer.send_many(stock_tasks(4, seed=1))
        with bob.fresh("task_queue", partitions=3) as bobs:
            assert repr(bobs) == "Topic(name='task_queue', partitions=3)"
            assert bob.names() == ["task_queue"]
            assert sum(bob.end_offsets("task_queue").values()) == 0
            assert bob.get("task_queue") == bobs
            assert {anns.full_group("g"), bobs.full_group("g"), "g"} != {"g"}
            assert anns.full_group("g") != bobs.full_group("g") != "g"
        assert sum(ann.end_offsets("task_queue").values()) == 4, "bob's end took nothing of ann's"
    assert transport.admin().list_topics() == []


def test_what_everybody_shares_is_left_alone(transport):
    everybody, mine = Topics(transport), Topics(transport)
    shared = everybody.create("task_queue", partitions=2)
    with Producer(shared, settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(4, seed=1))
    with mine.fresh("task_queue", partitions=1) as fresh:
        assert fresh.full_name != "task_queue"
        assert mine.end_offsets("task_queue") == {0: 0}
        assert mine.grow("task_queue", partitions=2).full_name == fresh.full_name
    assert sum(mine.end_offsets("task_queue").values()) == 4


def test_a_temporary_topic_is_there_until_it_is_closed_or_made_anew(transport):
    with Topics(transport) as topics:
        first = topics.temporary("t", partitions=1)
        second = topics.temporary("t", partitions=2)
        assert first.full_name != second.full_name
        assert topics.get("t").partitions == 2
        assert len(transport.admin().list_topics()) == 1
    assert transport.admin().list_topics() == []


def test_a_fresh_topic_ends_with_its_dead_letters(transport):
    with Topics(transport) as topics, topics.fresh("t", partitions=1):
        transport.admin().create_topic(topics.full_name("t.dead"), partitions=1)
        assert topics.names() == ["t", "t.dead"]
    assert transport.admin().list_topics() == []


def test_two_groups_with_default_names_do_each_their_own_tasks(transport):
    """As two programs with the lines of the README."""
    done = []
    with (
        Topics(transport) as ann,
        Topics(transport) as bob,
        ann.fresh("task_queue", partitions=2) as one,
        bob.fresh("task_queue", partitions=2) as other,
        WorkerGroup(one, workers=2, settings=SETTINGS) as anns,
        WorkerGroup(other, workers=2, settings=SETTINGS) as bobs,
    ):
        for topic, group, seed in ((one, anns, 1), (other, bobs, 2)):
            tasks = stock_tasks(20, seed=seed)
            with Producer(topic, settings=SETTINGS) as producer:
                producer.send_many(tasks)
            done.append((set(group.drain(timeout=60)["task_id"]), {task.id for task in tasks}))
    assert all(records == sent for records, sent in done)


def test_workers_of_two_programs_with_one_name_share_one_group(transport):
    with Topics(transport) as topics:
        topic = topics.create("t", partitions=2)
        with WorkerGroup(topic, settings=SETTINGS) as one, WorkerGroup(topic, settings=SETTINGS) as other:
            members = topics.members("worker_group")
            assert len(members) == 2
            assert {name.partition(".")[0] for name in members} == {"worker-1"}
            one.wait_until_balanced()
            held = [one.assignment()["worker-1"], other.assignment()["worker-1"]]
    assert sorted(held) == [(0,), (1,)]


def test_a_process_that_works_for_a_program_means_the_same_topics(transport):
    parent, child = Topics(transport), Topics(transport)
    topic = parent.temporary("t", partitions=3)
    child.know(parent.own())
    assert child.get("t") == topic
    child.close()
    assert parent.get("t") == topic, "it is not the child's to delete"
    assert os.getpid() == int(topic.full_name.split(".")[2])


@pytest.mark.parametrize("is_plain", [True, False])
def test_a_topic_whose_name_only_begins_as_that_of_a_fresh_one_is_everybodys(transport, is_plain):
    with Topics(transport) as topics:
        eu = topics.create("orders.eu", partitions=1)
        topics.create("orders.deadline", partitions=1)
        with Producer(eu, settings=SETTINGS) as producer:
            producer.send_many(stock_tasks(3, seed=1))
        with WorkerGroup(eu, group="g", settings=SETTINGS) as group:
            group.drain(timeout=60)
        if not is_plain:
            topics.transport.admin().create_topic("orders", partitions=1)
        with topics.fresh("orders", partitions=1) as fresh:
            assert (fresh.full_name == "orders") is is_plain
            assert topics.get("orders.eu") == eu
            assert [part.lag for part in topics.lag("orders.eu", group="g")] == [0]
            assert topics.get("orders.deadline").full_name == "orders.deadline"
        assert sum(topics.end_offsets("orders.eu").values()) == 3, "the end of the fresh one left it alone"


def test_what_labkit_makes_for_a_fresh_topic_is_its_own_and_ends_with_it(transport):
    with Topics(transport) as topics, topics.fresh("t", partitions=1) as topic:
        for name in ("t.dead", "t.later", "t.later.dead"):
            assert topics.create(name, partitions=1).full_group("g") == topic.full_group("g")
    assert transport.admin().list_topics() == []


@pytest.mark.parametrize("other", ["orders.dead", "orders.later", "orders.later.dead", "orders_dead"])
def test_who_has_the_dead_letters_has_the_name(transport, other):
    """A topic that was deleted has left them; or Kafka would not tell them from those of the fresh one."""
    with Topics(transport) as topics:
        topics.create(other, partitions=1)
        with topics.fresh("orders", partitions=1) as fresh:
            assert fresh.full_name != "orders"
            transport.admin().create_topic(f"{fresh.full_name}.dead", partitions=1)
    assert transport.admin().list_topics() == [other]


def test_a_topic_that_kafka_takes_for_another_gets_a_name_of_its_own(transport):
    with Topics(transport) as topics:
        topics.create("task.queue", partitions=1)
        with topics.fresh("task_queue", partitions=1) as fresh:
            assert fresh.full_name != "task_queue"


@pytest.mark.parametrize("prefix", ["", "ann."])
def test_a_plain_name_that_a_killed_program_had_is_free_again(transport, prefix):
    leave_behind(transport, f"{prefix}task_queue", f"{prefix}task_queue.dead", f"{prefix}task_queues")
    with Topics(transport, prefix=prefix) as topics, topics.fresh("other", partitions=1):
        assert topics.names() == ["other", "task_queues"]


@pytest.mark.parametrize("ask", ["get", "describe"])
def test_what_a_killed_program_has_left_is_not_there_for_who_asks_for_it(transport, ask):
    leave_behind(transport, "task_queue", "task_queue.dead")
    with Topics(transport) as topics, pytest.raises(UnknownTopic, match="task_queue"):
        getattr(topics, ask)("task_queue")
    assert transport.admin().list_topics() == []


def test_a_topic_is_created_where_a_killed_program_has_left_one_and_then_is_everybodys(transport):
    leave_behind(transport, "task_queue")
    with Topics(transport) as topics:
        made = topics.create("task_queue", partitions=4)
        assert topics.create("task_queue", partitions=4) == made
        assert topics.describe("task_queue").config == {}
        with topics.fresh("other", partitions=1):
            assert "task_queue" in topics.names()
        with pytest.raises(TopicMismatch):
            topics.create("task_queue", partitions=3)


def test_a_plain_name_of_a_program_that_lives_or_is_elsewhere_is_left_alone(transport, monkeypatch):
    admin = transport.admin()
    settings = {"living": owner_mark(), "users": "86400000", "for_ever": str(2**63 - 1)}
    dead = of_a_dead_program("owner_mark()")
    for name, value in settings.items():
        admin.create_topic(name, partitions=1, config={OWNER: value})
    with monkeypatch.context() as patch:
        patch.setattr(namespace, "_machine", lambda: "0" * 8)
        elsewhere = owner_mark()
    assert dead != elsewhere
    admin.create_topic("elsewhere", partitions=1, config={OWNER: elsewhere})
    with Topics(transport) as topics, topics.fresh("other", partitions=1):
        assert topics.names() == sorted([*settings, "elsewhere", "other"])


def test_the_end_of_a_fresh_topic_takes_nothing_that_others_made_under_its_name(transport):
    mine, others = Topics(transport), Topics(transport)
    with mine.fresh("orders", partitions=1):
        others.recreate("orders", partitions=2)
        others.create("orders.dead", partitions=1)
    assert others.names() == ["orders", "orders.dead"]


def test_a_fresh_topic_that_its_program_makes_anew_ends_with_the_block(transport):
    with Topics(transport) as topics:
        with topics.fresh("orders", partitions=1):
            assert topics.recreate("orders", partitions=2).full_name == "orders"
            assert topics.describe("orders").config == {}
        assert transport.admin().list_topics() == []
        with topics.fresh("orders", partitions=1):
            transport.admin().create_topic("orders.dead", partitions=1)
            topics.delete("orders")
        assert transport.admin().list_topics() == []


def test_a_topic_that_a_user_has_made_meanwhile_is_not_deleted(transport, monkeypatch):
    """Between the look at what a killed program has left and its end, somebody was faster and made it anew."""
    leave_behind(transport, "orders")
    admin = transport.admin()
    look = MemoryAdmin.settings_of

    def slow_look(self, names, setting):
        found = look(self, names, setting)
        if "orders" in found:
            admin.delete_topic("orders")
            admin.create_topic("orders", partitions=1)
        return found

    monkeypatch.setattr(MemoryAdmin, "settings_of", slow_look)
    with Topics(transport) as topics, topics.fresh("other", partitions=1):
        assert topics.get("orders").partitions == 1
