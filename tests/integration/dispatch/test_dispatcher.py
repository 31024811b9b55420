"""The dispatcher before a real Redis, with Kafka in memory: policies, what is held, shed and given up, and failures."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from labkit.celery_app import capacity as room_module
from labkit.errors import RedisUnreachable, WorkerFailed
from labkit.policies import Decision, PriorityClass, make_policy
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ConsumerConfig, ProducerConfig
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.integration.dispatch.rig import HIGH, LOW, Rig, wait_for_status


@pytest.fixture(autouse=True)
def _workers_do_not_fall_silent(monkeypatch):
    monkeypatch.setattr(room_module, "SILENCE", 120.0)


@pytest.fixture
def rig(lab, settings) -> Iterator[Rig]:
    with Topics(MemoryTransport()) as topics:
        made = Rig(lab.redis_url, topics, settings)
        yield made
        made.close()


def heavy(name: str, **how: float) -> PriorityClass:
    return PriorityClass(name=name, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "options", "classes", "order"),
    [
        ("strict", {}, (HIGH, LOW), "HHHHLLL"),
        ("weighted", {}, (heavy("high", weight=2), heavy("low", weight=1)), "HHLHHLL"),
        ("quota", {}, (HIGH, heavy("low", share=0.5)), "HLHLHLH"),
        ("aging", {"rate": 100.0}, (HIGH, LOW), "LLLHHHH"),
        ("aging", {"rate": 0.01}, (HIGH, LOW), "HHHHLLL"),
        ("earliest_deadline", {}, (HIGH, heavy("low", relative_deadline=1.0)), "LLLHHHH"),
    ],
)
def test_each_policy_has_its_order_on_the_live_queue(rig, policy, options, classes, order):
    rig.produce("low", 3, at=1_000.0)
    rig.produce("high", 4, at=1_001.0)
    with rig.dispatcher(policy, classes, limit=1, **options) as dispatcher:
        wait_for_status(dispatcher, high={"waiting": 4}, low={"waiting": 3})
        assert rig.take() is None, "without a worker there is no room"
        rig.workers(1)
        found = [rig.next() for _ in order]
        assert "".join(message.name[0].upper() for message in found) == order
        assert {(message.name, message.level) for message in found} == {("high", 0), ("low", 1)}
        rig.wait_for_lag("high")
        rig.wait_for_lag("low")
        wait_for_status(dispatcher, high={"sent": 4, "waiting": 0, "held": ""}, low={"sent": 3, "held": ""})


def test_the_original_design_starts_urgent_tasks_beyond_the_capacity_and_holds_the_others(rig):
    rig.produce("low", 5)
    with rig.dispatcher("reserve", limit=2) as dispatcher:
        wait_for_status(dispatcher, low={"waiting": 5, "held": "the queue is full"})
        urgent = rig.produce("high", 120)
        wait_until(lambda: rig.queued() == 120, timeout=120, what="urgent tasks were to be sent")
        assert [rig.take().id for _ in urgent] == urgent
        rig.wait_for_lag("high")
        assert rig.lag("low") == 5, "who is held keeps its place on Kafka"
        rig.workers(1)
        wait_until(lambda: rig.queued() == 2, timeout=120, what="two were to be sent")
        wait_for_status(dispatcher, low={"sent": 2, "waiting": 3}, high={"sent": 120})


def test_a_class_in_order_of_arrival(rig):
    sent = rig.produce("low", 130)
    rig.workers(100)
    with rig.dispatcher(limit=10) as dispatcher:
        wait_for_status(dispatcher, low={"sent": 130})
    assert [message.id for message in rig.take_all()] == sent


def test_what_came_last_is_shed_beyond_the_limit(rig):
    ids = rig.produce("low", 10)
    with rig.dispatcher(classes=(HIGH, heavy("low", limit=3))) as dispatcher:
        wait_for_status(dispatcher, low={"waiting": 3, "shed": 7})
    assert sorted(record.task_id for record in rig.records) == sorted(ids[3:])
    for record in rig.records:
        assert (record.outcome, record.priority, record.kind) == ("shed", 1, "sleep")
        assert record.topic == rig.topic("low").name
        assert "low" in record.error
    assert rig.take() is None
    with rig.dispatcher(name="d2", classes=(HIGH, heavy("low", limit=3))) as dispatcher:
        wait_for_status(dispatcher, low={"waiting": 3, "shed": 0})
        rig.workers(1)
        assert [rig.next().id for _ in range(3)] == ids[:3], "what was shed does not come back"
        rig.wait_for_lag("low")


def test_nothing_is_shed_while_there_is_room(rig):
    rig.workers(100)
    with rig.dispatcher(classes=(HIGH, heavy("low", limit=0)), limit=100) as dispatcher:
        for _ in range(20):
            rig.produce("low", 40)
        wait_for_status(dispatcher, low={"sent": 800, "shed": 0})


def test_who_was_chosen_does_not_wait_for_what_is_shed(rig):
    shedding, go_on = threading.Event(), threading.Event()

    def slow(record):
        shedding.set()
        assert go_on.wait(60)

    with rig.dispatcher(classes=(HIGH, heavy("low", limit=0)), on_record=slow) as dispatcher:
        rig.workers(1)
        rig.produce("high", 1)
        rig.produce("low", 5)
        assert shedding.wait(60)
        assert rig.queued() == 1
        go_on.set()

        def settled() -> bool:
            high, low = dispatcher.status()
            return (high.sent + low.sent, low.sent + low.shed) == (1, 5)  # the low ones may come first from Kafka

        wait_until(settled, timeout=120, what="one was to be sent and the low ones beside it were to be shed")


def test_what_celery_can_do_nothing_with_is_a_dead_letter_with_the_reason(rig):
    rig.workers(10)
    nobody, somebody = new_task("no-such-kind", 1), new_task("sleep", 0)
    client = rig.topics.transport.producer(ProducerConfig())
    topic = rig.topic("low")
    client.send(
        topic.full_name,
        partition=0,
        key=None,
        value=b"\xff",
        headers=(),
        timestamp_ms=None,
        on_delivery=lambda *_: None,
    )
    rig.send("low", [nobody, somebody])
    with rig.dispatcher() as dispatcher:
        wait_for_status(dispatcher, low={"sent": 1, "dead": 2, "waiting": 0})
        rig.wait_for_lag("low")
        sent = rig.next()
        assert (sent.id, sent.group) == (somebody.id, f"{rig.group}.low")
    bad, unknown = DeadLetters(rig.topics, topic.name).list()
    assert bad.error.startswith("BadRecord: ")
    assert "No Celery task is registered for the kind 'no-such-kind'" in unknown.error
    assert {(letter.attempts, letter.group) for letter in (bad, unknown)} == {(1, f"{rig.group}.low")}
    assert [(one.task_id, one.outcome, one.priority) for one in rig.records] == [
        ("", "bad", 1),
        (nobody.id, "dead", 1),
    ]


def test_many_that_cannot_be_sent_do_not_hold_the_others(rig):
    rig.workers(10)
    rig.produce("low", 150, kind="no-such-kind")
    sent = rig.produce("low", 2)
    with rig.dispatcher(limit=1) as dispatcher:
        wait_for_status(dispatcher, low={"sent": 2, "dead": 150})
    assert [message.id for message in rig.take_all()] == sent


def test_a_stop_commits_what_celery_has_and_a_restart_repeats_nothing(rig):
    ids = rig.produce("low", 200)
    taken: list[str] = []
    for number in range(4):
        with rig.dispatcher(name=f"d{number}", limit=10) as dispatcher:
            rig.workers(5)
            wait_until(lambda: rig.queued() == 50, timeout=120, what="the queue was to fill")
        taken += [message.id for message in rig.take_all()]
        assert rig.lag("low") == 200 - len(taken)
        assert sum(one.sent for one in dispatcher.status()) == 50
    assert taken == ids


# --- failures


def test_without_redis_the_tasks_wait_on_kafka_and_then_go_on(own_redis, settings, caplog):
    with Topics(MemoryTransport()) as topics:
        rig = Rig(own_redis.url, topics, settings)
        with rig.dispatcher(limit=None, classes=(LOW,)) as bridge:
            first = rig.produce("low", 20)
            rig.wait_for_lag("low")
            own_redis.kill()
            later = rig.produce("low", 120)
            wait_until(lambda: "waits for Redis" in caplog.text, timeout=120, what="it was to say so")
            wait_for_status(bridge, low={"waiting": 120, "sent": 20})
            assert rig.lag("low") == 120, "nothing is committed that Celery has not"
            own_redis.start()
            rig.wait_for_lag("low")
            assert "goes on" in caplog.text
        found = [message.id for message in rig.take_all()]
        assert list(dict.fromkeys(found)) == first + later
        rig.close()


@pytest.mark.parametrize("limit", [None, 5])
def test_a_stop_while_redis_is_away_is_quick_and_commits_nothing(own_redis, settings, caplog, limit):
    with Topics(MemoryTransport()) as topics:
        rig = Rig(own_redis.url, topics, settings)
        dispatcher = rig.dispatcher(limit=limit).start()
        own_redis.kill()
        rig.produce("low", 30)
        wait_until(lambda: "waits for Redis" in caplog.text, timeout=120, what="it was to say so")
        stopping = threading.Thread(target=dispatcher.stop, daemon=True)
        stopping.start()
        stopping.join(60)
        assert not stopping.is_alive()
        assert rig.lag("low") == 30
        rig.close()


def test_a_record_that_cannot_be_written_loses_nothing(rig):
    """Redis goes away between a look at the room and the record of what is shed or dead."""
    tries: Counter[str] = Counter()

    def away_at_first(record):
        tries[record.task_id] += 1
        if tries[record.task_id] <= 2:
            raise RedisUnreachable
        rig.records.append(record)

    rig.workers(1)
    with rig.dispatcher(classes=(HIGH, heavy("low", limit=2)), on_record=away_at_first) as dispatcher:
        dead = rig.produce("high", 1, kind="no-such-kind")
        wait_for_status(dispatcher, high={"dead": 1})  # before another has the only place
        shed = rig.produce("low", 6)
        wait_for_status(dispatcher, low={"sent": 1, "waiting": 2, "shed": 3})
        assert rig.next().id == shed[0]
        assert [rig.next().id, rig.next().id] == shed[1:3]
        rig.wait_for_lag("low")
        rig.wait_for_lag("high")
    assert sorted(one.task_id for one in rig.records) == sorted([*shed[3:], *dead])
    assert {one.attempt for one in rig.records} == {1}


class Failing:
    """A policy that decides twice and then is at its end."""

    name = "failing"

    def __init__(self) -> None:
        self._left = 2

    def decide(self, view, now) -> Decision:
        if view.backlogged:
            self._left -= 1
        if self._left < 0:
            raise ZeroDivisionError("a defect in a policy")
        return make_policy("strict").decide(view, now)


def test_a_policy_that_raises_is_reported_and_the_dispatcher_can_be_stopped(rig):
    rig.workers(100)
    ids = rig.produce("high", 10)
    rig.produce("low", 10)
    dispatcher = rig.dispatcher(Failing())
    with suppress(WorkerFailed):  # that may be before it has its partitions
        dispatcher.start()

    def failed() -> bool:
        try:
            dispatcher.check()
        except WorkerFailed as error:
            return "a defect in a policy" in str(error)
        return False

    wait_until(failed, timeout=120, what="it was to fail")
    stopping = threading.Thread(target=dispatcher.stop, daemon=True)
    stopping.start()
    stopping.join(60)
    assert not stopping.is_alive(), "who was in hand when it failed must not hold the end"
    assert [rig.lag("high"), rig.lag("low")] == [10, 10]
    with rig.dispatcher(name="d2") as again:
        wait_for_status(again, high={"sent": 10}, low={"sent": 10})
    assert [message.id for message in rig.take_all()][:10] == ids


class Brittle(MemoryTransport):
    """The consumers of one class break when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = threading.Event()

    def consumer(self, config: ConsumerConfig):
        client = super().consumer(config)
        poll = client.poll

        def breaking(*args):
            if self.broken.is_set() and config.group.endswith(".low"):
                raise RuntimeError("a defect in a client")
            return poll(*args)

        client.poll = breaking  # type: ignore[method-assign]
        return client


def test_when_one_intake_dies_the_dispatcher_says_so_and_leaves_nothing_behind(lab, settings):
    transport = Brittle()
    with Topics(transport) as topics:
        rig = Rig(lab.redis_url, topics, settings)
        rig.produce("low", 5)
        dispatcher = rig.dispatcher().start()
        wait_for_status(dispatcher, low={"waiting": 5})
        transport.broken.set()

        def failed() -> bool:
            try:
                dispatcher.check()
            except WorkerFailed as error:
                return "a defect in a client" in str(error)
            return False

        wait_until(failed, timeout=120, what="it was to fail")
        assert [one.waiting for one in dispatcher.status()] == [0, 0], "these are others' now"
        with pytest.raises(WorkerFailed, match="a defect in a client"):
            dispatcher.stop()
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("d1")]
        transport.broken.clear()
        rig.workers(10)
        with rig.dispatcher(name="d2") as again:
            wait_for_status(again, low={"sent": 5})
        rig.close()


def test_a_dispatcher_that_was_never_started_can_be_stopped(rig):
    rig.dispatcher().stop()


def test_a_check_while_it_stops_is_no_failure(rig):
    with rig.dispatcher() as dispatcher:
        pass
    dispatcher.check()


def test_a_rebalance_takes_what_waits_to_the_other_dispatcher(rig):
    """Two dispatchers come and go; each task is sent once."""
    ids = rig.produce("low", 300)
    rig.topic("high")
    with rig.dispatcher("strict", limit=5, name="d1") as one:
        rig.workers(2)
        taken = [rig.next().id for _ in range(50)]
        with rig.dispatcher("strict", limit=5, name="d2") as other:
            taken += [rig.next().id for _ in range(50)]
            assert one.status()[1].waiting == 0 or other.status()[1].waiting == 0, "one partition has one owner"
        taken += [rig.next().id for _ in range(200)]
    assert rig.take() is None
    assert sorted(taken) == sorted(ids)
