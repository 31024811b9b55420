"""The contract's tests over the two transports that talk to a broker."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psutil
import pytest

from labkit.lab import Lab
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import (
    ConsumerConfig,
    Outgoing,
    Position,
    TopicPartition,
    Transport,
    connect_transport,
)
from tests.contract.fixtures import *  # noqa: F403
from tests.contract.fixtures import SHORT_SESSION, TIMEOUT, Member, Outbox, poll_until, read, shared
from tests.contract.groups import *  # noqa: F403
from tests.contract.listed_groups import *  # noqa: F403
from tests.contract.producing import *  # noqa: F403
from tests.contract.reading import *  # noqa: F403
from tests.contract.topics import *  # noqa: F403
from tests.contract.transactions import *  # noqa: F403


@pytest.fixture(scope="module", params=["kafka-python", "confluent-kafka"])
def transport(request: pytest.FixtureRequest, lab: Lab) -> Transport:
    return connect_transport(lab.connection, request.param)


class DoomedMember:
    """A member in a process of its own (`tests.contract.doomed`)."""

    def __init__(self, transport: Transport, name: str, topic: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.doomed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        job = {
            "connection": dataclasses.asdict(transport.connection),
            "transport": transport.name,
            "topic": topic,
            "name": name,
            "session_timeout": SHORT_SESSION,
        }
        self._partitions: list[int] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._process.stdin.write(json.dumps(job, default=str) + "\n")
        self._process.stdin.flush()

    def partitions(self) -> list[int]:
        return self._partitions

    def kill(self) -> None:
        self._process.kill()
        self.close()

    def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            self._process.stdin.close()
            self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._partitions = json.loads(line)


def test_closing_lets_go_of_every_thread_and_socket(transport, topic, unique_name):
    def held():
        sockets = psutil.Process().net_connections("tcp")
        return {*threading.enumerate(), *(one.laddr for one in sockets if one.status == "ESTABLISHED")}

    def use_everything():
        with (
            closing(transport.admin()),
            closing(transport.transactions(unique_name)) as transactions,
            closing(transport.consumer(ConsumerConfig())) as reader,
        ):
            transactions.write([Outgoing(topic, 0, None, b"written", ())])
            member = Member(transport.consumer(ConsumerConfig(group=unique_name)), topic)
            with Outbox(transport) as outbox, closing(member):
                outbox.send(topic)
                poll_until(lambda: len(member.records) > 0, member)
                reader.assign([TopicPartition(topic, 0)])
                read(reader, 1)
                assert held() - before

    before = held()  # what is of earlier tests may go meanwhile
    use_everything()
    wait_until(lambda: held() <= before, timeout=TIMEOUT, what="threads and sockets were to be gone")


@pytest.fixture
def doomed(transport: Transport) -> Iterator[object]:
    with ExitStack() as processes:
        yield lambda name, topic: processes.enter_context(closing(DoomedMember(transport, name, topic)))


@pytest.mark.parametrize("transport", ["confluent-kafka"], indirect=True)  # the other one joins in `poll` alone
def test_what_a_member_is_assigned_while_it_leaves_is_never_begun(join):
    first = join("worker-1")
    poll_until(lambda: first.events == [("assigned", [0, 1])], first)
    second = join("worker-2")
    poll_until(lambda: first.events[-1] == ("assigned", [0]), first)
    second.close()  # has not heard of its partition yet
    assert second.events == []
    poll_until(lambda: first.events[-1] == ("assigned", [0, 1]), first)


@pytest.mark.parametrize(
    ("transport", "others"),
    [
        ("confluent-kafka", "kafka-python"),
        ("kafka-python", "confluent-kafka"),
        pytest.param("confluent-kafka", "confluent-kafka", marks=pytest.mark.long),
        pytest.param("kafka-python", "kafka-python", marks=pytest.mark.long),
    ],
    indirect=["transport"],
)
def test_members_over_any_client_for_any_topic_share_a_group(lab, transport, others, admin, topic):
    """The first leads the group, so each client shares the other's topics out, which it does not read itself."""
    second_topic = topic + "-2"
    admin.create_topic(second_topic, partitions=3)
    theirs = connect_transport(lab.connection, others)

    def join_for(transport, name, wanted):
        return Member(transport.consumer(ConsumerConfig(group=topic, client_id=name)), wanted)

    with closing(join_for(transport, "a", topic)) as leader:
        poll_until(shared(leader), leader)
        with closing(join_for(theirs, "b", second_topic)) as one, closing(join_for(theirs, "c", topic)) as two:
            poll_until(lambda: shared(leader, two)() and shared(one, partitions=3)(), leader, one, two)
            leader.close()
            poll_until(lambda: shared(two)() and shared(one, partitions=3)(), one, two)
    admin.delete_topic(second_topic)


@pytest.mark.parametrize("metadata", ["", "memo"])
@pytest.mark.parametrize("others", ["confluent-kafka", "kafka-python"])
def test_what_one_client_commits_any_client_reads(lab, transport, others, admin, topic, metadata):
    place, position = TopicPartition(topic, 0), Position(3, metadata)
    with closing(transport.consumer(ConsumerConfig(group=topic))) as writer:
        writer.assign([place])
        writer.commit({place: position})
    with closing(connect_transport(lab.connection, others).consumer(ConsumerConfig(group=topic))) as reader:
        assert reader.committed([place]) == {place: position}
    assert admin.committed(topic, topic) == {0: position}
