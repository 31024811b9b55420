"""A name of one's own: nobody else has it, and what a killed program has left behind is found."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from labkit.errors import BrokerUnreachable, UnknownTopic
from labkit.lab.connection import Connection
from labkit.settings import Settings
from labkit.taskqueue import namespace
from labkit.taskqueue.namespace import abandoned, is_in_namespace, new_namespace
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.memory.admin import MemoryAdmin
from labkit.taskqueue.worker_group.group import WorkerGroup

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def transport():
    return MemoryTransport()


def of_a_dead_program() -> str:
    """A namespace of a process of this machine that has ended."""
    code = "from labkit.taskqueue.namespace import new_namespace; print(new_namespace())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_namespace_is_a_prefix_that_the_settings_take_and_nobody_else_has():
    first, second = new_namespace(), new_namespace()
    assert first != second
    assert Settings(_env_file=None, topic_prefix=f"{first}{second}").topic_prefix == first + second
    assert is_in_namespace(f"{first}task_queue")
    assert not any(map(is_in_namespace, ("task_queue", "own.goal", f"ann.{first}t", "own.12345678.1.12.t")))


def test_only_what_belonged_to_a_dead_program_of_this_machine_is_abandoned(monkeypatch):
    mine, dead = f"{new_namespace()}t", f"ann.{of_a_dead_program()}t"
    elsewhere = dead.replace(namespace._machine().digest, "0" * 8)
    for is_local in (False, True):
        assert abandoned([mine, dead, elsewhere, "t"], is_local=is_local) == [dead]


def test_two_machines_of_one_name_are_two(monkeypatch, tmp_path):
    """Where there is no /proc, as on macOS. What one of them has left it knows after another boot too."""
    monkeypatch.setattr(namespace, "_PID_SPACE", tmp_path / "none")
    found = []
    for node in (1, 2, 2):
        monkeypatch.setattr(namespace, "getnode", lambda node=node: node)
        found.append(namespace._machine.__wrapped__())
    assert found[0].digest != found[1].digest
    assert found[1] == found[2]
    assert is_in_namespace(f"own.{found[0].digest}.{found[0].boot}.1.00000000.t")


#: A machine as it tells itself from others: its name, its id, and the space of its process ids; and a container on it.
MACHINE = {"node": "vm", "machine_id": "3d12", "pid_space": namespace._NO_CONTAINER}
CONTAINER = {"node": "c0ffee", "machine_id": "3d12", "pid_space": "pid:[4026532190]"}


@pytest.fixture
def be(monkeypatch, tmp_path):
    """Lets this program run on such a machine from now on."""

    def change(boot, node, machine_id, pid_space):
        for name, text in (("_BOOT_ID", boot), ("_MACHINE_ID", machine_id)):
            file = tmp_path / name
            file.unlink(missing_ok=True)
            if text is not None:
                file.write_text(text)
            monkeypatch.setattr(namespace, name, file)
        link = tmp_path / "pid_space"
        link.unlink(missing_ok=True)
        link.symlink_to(pid_space)
        monkeypatch.setattr(namespace, "_PID_SPACE", link)
        monkeypatch.setattr("platform.node", lambda: node)
        namespace._machine.cache_clear()

    yield change
    monkeypatch.undo()
    namespace._machine.cache_clear()


def test_what_a_program_had_before_its_machine_was_started_again_is_abandoned_where_no_other_comes(be):
    """Another program may have its process id by now, as this one has."""
    be("first", **MACHINE)
    before = f"{new_namespace()}t"
    be("second", **MACHINE)
    mine = f"{new_namespace()}t"
    assert abandoned([before, mine], is_local=True) == [before]
    assert abandoned([before, mine], is_local=False) == [], "a machine may be a copy of another"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (CONTAINER, CONTAINER),
        (CONTAINER, CONTAINER | {"pid_space": "pid:[4026532191]"}),
        (CONTAINER, CONTAINER | {"pid_space": namespace._NO_CONTAINER}),
        (MACHINE, MACHINE | {"node": "other"}),
        (MACHINE, MACHINE | {"machine_id": "4e23"}),
        (MACHINE | {"machine_id": None}, MACHINE | {"machine_id": None}),
        (MACHINE | {"machine_id": ""}, MACHINE | {"machine_id": ""}),
    ],
    ids=["containers", "container again", "its machine", "another name", "another id", "no id", "empty id"],
)
def test_what_may_be_of_another_that_lives_is_left_alone(be, theirs, ours):
    be("first", **theirs)
    before = f"{new_namespace()}t"
    be("second", **ours)
    assert abandoned([before], is_local=True) == []


@pytest.mark.parametrize(
    ("servers", "deletes"),
    [
        ("127.0.0.1:9092", True),
        ("localhost:9092,[::1]:9093", True),
        ("127.0.0.1:9092, kafka.example:9092", False),
        ("kafka.example:9092", False),
    ],
)
def test_what_an_earlier_boot_has_left_is_deleted_by_the_next_program_on_a_broker_of_this_machine(
    transport, be, servers, deletes
):
    transport.connection = Connection(bootstrap_servers=servers)
    be("first", **MACHINE)
    before = f"{new_namespace()}t"
    transport.admin().create_topic(before, partitions=1)
    be("second", **MACHINE)
    with Topics(transport) as topics, topics.fresh("mine", partitions=1) as mine:
        left = set(transport.admin().list_topics())
        assert left == ({mine.full_name} if deletes else {mine.full_name, before})


def test_what_a_killed_program_has_left_is_deleted_by_the_next(transport):
    dead = of_a_dead_program()
    everybody = Topics(transport)
    for name in (f"{dead}t", f"{dead}t.dead", "shared"):
        transport.admin().create_topic(name, partitions=1)
    with everybody.fresh("mine", partitions=1) as mine:
        assert transport.admin().list_topics() == [mine.full_name, "shared"]


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
    assert os.getpid() == int(topic.full_name.split(".")[3])


def test_a_topic_whose_name_only_begins_as_that_of_a_fresh_one_is_everybodys(transport):
    with Topics(transport) as topics:
        eu = topics.create("orders.eu", partitions=1)
        topics.create("orders.deadline", partitions=1)
        with Producer(eu, settings=SETTINGS) as producer:
            producer.send_many(stock_tasks(3, seed=1))
        with WorkerGroup(eu, group="g", settings=SETTINGS) as group:
            group.drain(timeout=60)
        with topics.fresh("orders", partitions=1):
            assert topics.get("orders.eu") == eu
            assert [part.lag for part in topics.lag("orders.eu", group="g")] == [0]
            assert topics.get("orders.deadline").full_name == "orders.deadline"
        assert sum(topics.end_offsets("orders.eu").values()) == 3, "the end of the fresh one left it alone"


def test_what_labkit_makes_for_a_fresh_topic_is_its_own_and_ends_with_it(transport):
    with Topics(transport) as topics, topics.fresh("t", partitions=1) as topic:
        for name in ("t.dead", "t.later", "t.later.dead"):
            assert topics.create(name, partitions=1).full_group("g") == topic.full_group("g")
    assert transport.admin().list_topics() == []


@pytest.mark.parametrize("other", ["orders", "orders.dead", "orders.later", "orders_dead"])
def test_a_fresh_topic_has_nothing_to_do_with_what_others_have_by_such_names(transport, other):
    with Topics(transport) as topics:
        topics.create(other, partitions=1)
        with topics.fresh("orders", partitions=1) as fresh:
            topics.create("orders.dead", partitions=1)
            assert topics.names() == sorted({"orders", "orders.dead", other})
            assert len([name for name in transport.admin().list_topics() if name.startswith(fresh.full_name)]) == 2
    assert transport.admin().list_topics() == [other]


def test_who_makes_the_topic_of_that_name_meanwhile_keeps_it(transport):
    """As `labkit produce` does in another terminal, while a notebook has a fresh topic of the default name."""
    mine, others = Topics(transport), Topics(transport)
    with mine.fresh("task_queue", partitions=2):
        with pytest.raises(UnknownTopic):
            others.get("task_queue")
        theirs = others.create("task_queue", partitions=3)
        with Producer(theirs, settings=SETTINGS) as producer:
            producer.send_many(stock_tasks(4, seed=1))
        assert sum(mine.end_offsets("task_queue").values()) == 0
    mine.close()
    with Topics(transport) as another, another.fresh("task_queue", partitions=1):
        assert sum(others.end_offsets("task_queue").values()) == 4


def test_what_this_program_has_made_for_everybody_outlives_its_fresh_topic(transport):
    with Topics(transport) as topics:
        with Producer(topics.create("task_queue", partitions=2), settings=SETTINGS) as producer:
            producer.send_many(stock_tasks(4, seed=1))
        with topics.fresh("task_queue", partitions=1):
            assert topics.end_offsets("task_queue") == {0: 0}
        assert sum(topics.end_offsets("task_queue").values()) == 4


def test_a_fresh_topic_that_its_program_makes_anew_ends_with_the_block(transport):
    with Topics(transport) as topics:
        with topics.fresh("orders", partitions=1) as fresh:
            assert topics.recreate("orders", partitions=2).full_name == fresh.full_name
        assert transport.admin().list_topics() == []
        with topics.fresh("orders", partitions=1):
            topics.create("orders.dead", partitions=1)
            topics.delete("orders")
        assert transport.admin().list_topics() == []


@pytest.mark.parametrize("then", ["close", "fresh"])
def test_a_topic_that_cannot_be_deleted_at_the_end_of_its_block_is_deleted_later(transport, monkeypatch, then):
    """The broker is away at that moment. Its name means everybody's topic again all the same."""

    def away(self, name):
        raise BrokerUnreachable

    topics = Topics(transport)
    with monkeypatch.context() as patch:
        with pytest.raises(BrokerUnreachable), topics.fresh("orders", partitions=1) as fresh:
            patch.setattr(MemoryAdmin, "delete_topic", away)
        assert topics.create("orders", partitions=2).full_name == "orders"
        assert transport.admin().list_topics() == ["orders", fresh.full_name]
    if then == "close":
        topics.close()
        assert transport.admin().list_topics() == ["orders"]
    else:
        with topics.fresh("other", partitions=1):
            assert topics.names() == ["orders", "other"]
        assert transport.admin().list_topics() == ["orders"]


def test_a_topic_that_was_perhaps_made_is_deleted(transport, monkeypatch):
    """The broker has made it, and its answer was not heard."""
    make = MemoryAdmin.create_topic

    def unheard(self, name, **shape):
        make(self, name, **shape)
        raise BrokerUnreachable

    with Topics(transport) as topics:
        monkeypatch.setattr(MemoryAdmin, "create_topic", unheard)
        with pytest.raises(BrokerUnreachable):
            topics.temporary("orders", partitions=1)
        assert len(transport.admin().list_topics()) == 1
    assert transport.admin().list_topics() == []


def test_one_that_is_being_made_is_left_alone_by_the_next(transport, monkeypatch):
    """As when two threads of a program make topics of their own."""
    make = MemoryAdmin.create_topic

    def create_with_another_meanwhile(self, name, **more):
        answer = make(self, name, **more)
        if name.endswith(".a"):
            topics.temporary("b", partitions=1)
        return answer

    monkeypatch.setattr(MemoryAdmin, "create_topic", create_with_another_meanwhile)
    with Topics(transport) as topics:
        topics.temporary("a", partitions=1)
        assert topics.names() == ["a", "b"]
    assert not transport.admin().list_topics()
