"""What each client does while the broker is away for longer than it has patience, and after."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import get_args

import pytest

from labkit.errors import NotAcknowledged, TransportError
from labkit.settings import Settings, TransportName
from labkit.taskqueue import Producer, Topics, WorkerGroup, stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import (
    AdminClient,
    ConsumerConfig,
    Outgoing,
    Position,
    ProducerConfig,
    Timeouts,
    TopicPartition,
    connect_transport,
)
from tests import conditions
from tests.conditions import in_time
from tests.contract.fixtures import TIMEOUT, Outbox, join, poll_until, shared, topic  # noqa: F401 - fixtures

#: How long a record may be under way in these tests, in seconds.
PATIENCE = 1.0
#: How long clients wait in these tests.
IMPATIENT = Timeouts(connect=1.0, request=1.0, transaction=1.5, abort=0.5, leave=0.5)
#: How long any call may take at most with these, on a busy machine.
BOUND = 30.0


@pytest.fixture(scope="module")
def lab(own_lab):
    """One whose broker may be killed and frozen."""
    return own_lab


@pytest.fixture(scope="module", params=get_args(TransportName))
def transport(request, lab):
    return connect_transport(lab.connection, request.param, timeouts=IMPATIENT)


@pytest.fixture(scope="module")
def admin(lab) -> Iterator[AdminClient]:
    """A patient one, for what stands around the tests."""
    with closing(connect_transport(lab.connection, "kafka-python").admin()) as admin:
        yield admin


def frozen(lab):
    """A broker that neither answers nor closes its connections."""
    return conditions.frozen(lab.kafka_pid)


@contextmanager
def killed(lab):
    """A broker that is gone, and comes back."""
    lab.kill_broker()
    try:
        yield
    finally:
        lab.restart_broker()


def answered(call):
    """What it gives once the broker answers in the time that there is, which it may not at first."""
    found = []

    def answers():
        try:
            found.append(call())
        except TransportError:
            return False
        return True

    wait_until(answers, timeout=3 * TIMEOUT, what="the broker was to answer", pause=lambda _: None)
    return found[0]


def until_they_arrive(outbox, topic, values, *, partition):  # noqa: F811
    """Send them until all do, and say where; what was too late before is forgotten."""

    def arrive():
        outbox.outcomes.clear()
        outbox.send_all(topic, values, partition=partition)
        return all(error is None for _, error in outbox.outcomes)

    wait_until(arrive, timeout=3 * TIMEOUT, what="records were to arrive", pause=lambda _: None)
    return [place.partition for place in outbox.delivered()]


@pytest.mark.parametrize("outage", [frozen, killed])
def test_a_producer_refuses_what_is_too_late_and_goes_on_afterwards(lab, transport, topic, admin, outage):  # noqa: F811
    with answered(lambda: Outbox(transport, delivery_timeout=PATIENCE)) as outbox:
        until_they_arrive(outbox, topic, [b"before"], partition=0)
        with outage(lab):
            for partition in (0, 1):  # with a batch under way, and with none
                in_time(lambda partition=partition: outbox.send_all(topic, [b"late"] * 10, partition=partition))
            assert len(outbox.outcomes) == 21
            assert all(isinstance(error, NotAcknowledged) for _, error in outbox.outcomes[1:])
        until_they_arrive(outbox, topic, [b"first"], partition=1)
        for partition in (0, 1, 0, 1):
            assert until_they_arrive(outbox, topic, [b"after"] * 10, partition=partition) == [partition] * 10


@pytest.fixture
def place(topic):  # noqa: F811
    return TopicPartition(topic, 0)


def refused_or_late(call, what="it"):
    try:
        answer = in_time(call, within=BOUND)
    except TransportError:
        return
    pytest.fail(f"{what} was answered: {answer}")


def ask(client, place):
    assert client.poll(0.1) == []
    if place in client.assignment():  # the client may know that its session is over
        client.position(place)
        client.pause([place])
        client.resume([place])


@pytest.mark.parametrize("outage", [frozen, killed])
def test_a_member_waits_for_nothing_without_end_and_goes_on_afterwards(lab, transport, join, place, outage):  # noqa: F811
    member = answered(lambda: join("worker-1"))
    poll_until(shared(member), member)
    answered(lambda: member.client.commit({place: Position(1)}))
    with outage(lab):
        refused_or_late(lambda: member.client.commit({place: Position(2)}))
        refused_or_late(lambda: member.client.commit({place: Position(2)}))
        in_time(lambda: ask(member.client, place), within=BOUND)

    def commits():
        member.poll()
        try:
            member.client.commit({place: Position(3, "memo")})
        except TransportError:
            return False
        return member.client.committed([place]) == {place: Position(3, "memo")}

    wait_until(commits, timeout=3 * TIMEOUT, what="the member was to commit again", pause=lambda _: None)


def test_a_member_can_be_closed_while_the_broker_is_away(lab, transport, join, place, admin):  # noqa: F811
    member = answered(lambda: join("worker-1"))
    refusals = []

    def commit(_):
        try:
            member.client.commit({place: Position(2)})
        except TransportError as error:
            refusals.append(error)

    member.on_revoked = commit
    poll_until(shared(member), member)
    with frozen(lab):
        refused_or_late(lambda: member.client.commit({place: Position(1)}))
        in_time(member.close, within=BOUND)
    wait_until(lambda: admin.members(place.topic) == {}, timeout=3 * TIMEOUT, what="the member was to leave its group")


def test_what_asks_the_broker_ends_and_works_again(lab, transport, topic, unique_name):  # noqa: F811
    letter = Outgoing(topic, 0, None, b"letter")
    with (
        closing(answered(transport.admin)) as admin,
        closing(answered(lambda: transport.transactions(unique_name))) as transactions,
    ):
        answered(lambda: transactions.write([letter]))
        asked = {
            "committed": lambda: admin.committed(topic, topic),
            "members": lambda: admin.members(topic),
            "end_offsets": lambda: admin.end_offsets(topic),
            "describe": lambda: admin.describe_topic(topic),
            "list": admin.list_topics,
            "write": lambda: transactions.write([letter]),
            "another admin": transport.admin,
            "another consumer": lambda: transport.consumer(ConsumerConfig(group=topic)),
            "another producer": lambda: transport.producer(ProducerConfig()),
        }
        with frozen(lab), ThreadPoolExecutor(len(asked)) as pool:
            for refused in [pool.submit(refused_or_late, call, what) for what, call in asked.items()]:
                refused.result()

        def all_answered():
            try:
                transactions.write([letter])
                return admin.committed(topic, topic) == {} == admin.members(topic) and admin.end_offsets(topic)[0] > 1
            except TransportError:
                return False

        wait_until(all_answered, timeout=3 * TIMEOUT, what="the broker was to answer again", pause=lambda _: None)


@pytest.mark.parametrize("transport", ["confluent-kafka"], indirect=True)
def test_a_restart_under_questions_ends_no_process(lab, transport, topic):  # noqa: F811
    """librdkafka's own admin client ends the process when a broker goes away while it asks for a group."""
    stop, answers = threading.Event(), []

    def ask(admin):
        while not stop.is_set():
            try:
                answers.append((admin.committed(topic, topic), admin.members(topic)))
            except TransportError as error:
                answers.append(error)

    # all are connected before the broker goes away
    admins = [connect_transport(lab.connection, transport.name).admin() for _ in range(3)]
    threads = [threading.Thread(target=ask, args=[admin]) for admin in admins]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: ({}, {}) in answers, timeout=TIMEOUT, what="they were to be answered")
        with killed(lab):
            wait_until(
                lambda: any(isinstance(answer, TransportError) for answer in answers),
                timeout=3 * TIMEOUT,
                what="they were to miss the broker",
            )
        answers.clear()
        wait_until(lambda: ({}, {}) in answers, timeout=3 * TIMEOUT, what="they were to be answered again")
    finally:
        stop.set()
        for thread, admin in zip(threads, admins, strict=True):
            thread.join(BOUND)
            admin.close()


def test_a_topic_that_is_made_anew_after_the_broker_came_back_is_read_by_all_who_read_the_old_one(
    lab, transport, unique_name
):
    """Its leader's epochs begin again, and a client may take what it hears of it for old news (KIP-320)."""
    patient, place = connect_transport(lab.connection, transport.name), TopicPartition(unique_name, 0)

    def read(reader, count):
        found: list[int] = []
        reader.assign([place])
        reader.seek(place, 0)

        def came():
            found.extend(record.offset for record in reader.poll(0.1))
            return len(found) >= count

        wait_until(came, timeout=4 * TIMEOUT, what=f"{count} were to be read", pause=lambda _: None)
        assert found == [*range(count)]

    with Topics(patient) as topics, closing(patient.consumer(ConsumerConfig())) as reader:
        topic = topics.create(unique_name, partitions=1)
        with WorkerGroup(topic, group=unique_name, handler=lambda task: None) as group:
            for outage in (lambda: None, lambda: lab.kill_broker() or lab.restart_broker()):
                outage()
                with Producer(topic) as producer:
                    producer.send_many(stock_tasks(3, seed=1))
                group.drain(timeout=4 * TIMEOUT)
            read(reader, 6)
            topics.recreate(unique_name, partitions=1)
            with Producer(topic) as producer:
                producer.send_many(stock_tasks(5, seed=2))
            read(reader, 5)
            wait_until(lambda: group.attempts() == 11, timeout=4 * TIMEOUT, what="all were to be done")


@pytest.mark.parametrize("outage", [pytest.param(frozen, marks=pytest.mark.long), killed])
def test_a_share_group_with_a_task_in_hand_ends_while_the_broker_is_away(lab, unique_name, outage):
    release, begun = threading.Event(), threading.Event()

    def handler(_task):
        begun.set()
        assert release.wait(TIMEOUT)

    settings = Settings(_env_file=None)
    patient, impatient = (
        connect_transport(lab.connection, "confluent-kafka", timeouts=timeouts) for timeouts in (Timeouts(), IMPATIENT)
    )
    with Topics(patient) as topics, topics.fresh(unique_name, partitions=1) as own:
        with Producer(own, settings=settings) as producer:
            producer.send_many(stock_tasks(3, seed=1))
        topic = replace(own, transport=impatient)
        group = answered(lambda: WorkerGroup(topic, mode="share", handler=handler, settings=settings).start())
        assert begun.wait(TIMEOUT)
        with outage(lab):
            release.set()
            wait_until(lambda: group.attempts() > 0, timeout=TIMEOUT, what="the task was to be done")
            in_time(group.stop, within=2 * BOUND)
        assert group.attempts() == len(group.records())
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker-1")]
