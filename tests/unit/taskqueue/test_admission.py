"""The producer's admission: strategies judge by the lag of the group, as it is in the in-memory broker."""

import threading
from types import SimpleNamespace

import pytest

from labkit.backpressure import Action, AdmissionDecision, make_strategy
from labkit.errors import BrokerUnreachable, LabkitError, NotAccepted, SettingsError, UnknownTopic
from labkit.settings import Settings
from labkit.taskqueue.admission import MAX_AGE, OUTAGE_AGE, ProducerAdmission
from labkit.taskqueue.arrivals import constant
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, TopicPartition
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.unit.clock import Clock

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def clock():
    return Clock(100.0)


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        topics.create("t", partitions=1)
        yield topics


def finish(topics: Topics, offset: int) -> None:
    """The group has done everything before this offset."""
    consumer = topics.transport.consumer(ConsumerConfig(group="worker_group"))
    consumer.assign([TopicPartition("t", 0)])
    consumer.commit({TopicPartition("t", 0): Position(offset)})
    consumer.close()


def admission_of(topics: Topics, clock: Clock, name: str, **options: float) -> ProducerAdmission:
    return ProducerAdmission(make_strategy(name, **options), topics.get("t"), clock=clock, wall_clock=clock)


def test_a_full_door_refuses_and_the_sender_hears_why(topics, clock):
    admission = admission_of(topics, clock, "refuse", limit=3)
    with Producer(topics.get("t"), admission=admission, settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(3, seed=1))
        with pytest.raises(NotAccepted, match="the limit is 3"):
            producer.send(stock_tasks(1, seed=2)[0])
        finish(topics, 2)
        clock.now += 2 * MAX_AGE
        producer.send_many(stock_tasks(2, seed=3))
    assert topics.end_offsets("t") == {0: 5}
    assert list(admission.turned_away()["action"]) == [Action.REFUSE]


def test_what_was_let_in_counts_before_the_lag_is_looked_at_again(topics, clock):
    admission = admission_of(topics, clock, "refuse", limit=2)
    assert [admission.judge().action for _ in range(3)] == [Action.ADMIT, Action.ADMIT, Action.REFUSE]


def test_under_a_schedule_the_refused_are_counted_and_the_others_sent(topics, clock):
    admission = admission_of(topics, clock, "refuse", limit=4)
    with Producer(topics.get("t"), admission=admission, settings=SETTINGS) as producer:
        assert producer.submit_on_schedule(stock_tasks(10, seed=1), constant(1e6)) == 4
        producer.flush()
    assert topics.end_offsets("t") == {0: 4}
    assert admission.turned_away()["tasks"].sum() == 6


def test_a_task_that_is_shed_is_not_sent(topics, clock):
    admission = admission_of(topics, clock, "shed_newest", limit=1)
    with Producer(topics.get("t"), admission=admission, settings=SETTINGS) as producer:
        assert producer.submit(stock_tasks(1, seed=1)[0])
        assert not producer.submit(stock_tasks(1, seed=2)[0])
        with pytest.raises(NotAccepted, match="dropped at admission"):
            producer.send(stock_tasks(1, seed=3)[0])
        assert producer.send_many(stock_tasks(5, seed=4)) == []
    assert topics.end_offsets("t") == {0: 1}


def test_the_producer_waits_as_long_as_the_door_says(topics, clock):
    admission = admission_of(topics, clock, "token_bucket", rate=10, burst=1)
    with Producer(topics.get("t"), admission=admission, settings=SETTINGS, pause=clock.pause) as producer:
        producer.send_many(stock_tasks(11, seed=1))
    assert clock.now == pytest.approx(101.0)


def test_a_door_that_goes_by_latency_hears_of_it(topics, clock):
    admission = admission_of(topics, clock, "aimd", start=4, target=1.0, beta=0.5)
    assert [admission.judge().action for _ in range(5)].count(Action.ADMIT) == 4
    admission.answered(3.0)
    clock.now += 2 * MAX_AGE  # nothing of it was sent, so nothing lags
    assert [admission.judge().action for _ in range(4)].count(Action.ADMIT) == 2


@pytest.mark.parametrize("name", ["spill", "shed_lowest"])
def test_what_only_a_dispatcher_can_do_is_refused(topics, clock, name):
    with pytest.raises(SettingsError, match="labkit dispatch"):
        admission_of(topics, clock, name)


def test_a_producer_that_waits_at_the_door_can_be_stopped(topics, clock):
    admission = admission_of(topics, clock, "pause", high=1, low=0, look=0.01)
    stop = threading.Event()
    with Producer(topics.get("t"), admission=admission, settings=SETTINGS) as producer:
        thread = threading.Thread(
            target=producer.submit_on_schedule, args=(stock_tasks(5, seed=1), constant(1e6)), kwargs={"stop": stop}
        )
        thread.start()
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("away", [BrokerUnreachable, UnknownTopic])
def test_while_kafka_is_away_the_lag_that_was_known_last_counts(topics, clock, caplog, away):
    looks = []

    def broken(name, *, group):
        looks.append(clock.now)
        clock.now += 10  # as long as a frozen one is waited for
        raise away

    admission = admission_of(topics, clock, "refuse", limit=3)
    with Producer(topics.get("t"), admission=admission, settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(2, seed=1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(admission._topics, "lag", broken)
            clock.now += 2 * MAX_AGE
            producer.send(stock_tasks(1, seed=2)[0])
            clock.now += 2 * MAX_AGE
            with pytest.raises(NotAccepted, match="3 tasks are not finished"):
                producer.send(stock_tasks(1, seed=3)[0])
        assert len(looks) == 1, "it is not looked for each task"
        finish(topics, 2)
        clock.now += OUTAGE_AGE
        producer.send(stock_tasks(1, seed=4)[0])
    said = [line.getMessage() for line in caplog.records if "The admission to t" in line.getMessage()]
    assert [line.split(",")[0] for line in said] == [
        "The admission to t waits for Kafka",
        "The admission to t goes on: Kafka answers again",
    ]


def test_an_admission_that_never_knew_the_lag_says_that_kafka_is_away(topics, clock, monkeypatch):
    admission = admission_of(topics, clock, "refuse", limit=3)
    monkeypatch.setattr(admission._topics, "lag", broken)
    with pytest.raises(BrokerUnreachable):
        admission.judge()


def broken(name: str, *, group: str) -> None:
    raise BrokerUnreachable


def own(judge, begin=lambda: None) -> SimpleNamespace:
    """A strategy of somebody else's."""
    return SimpleNamespace(name="mine", begin=begin, judge=judge)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda sight, state, now: 1 / 0, "'mine' raised ZeroDivisionError: .*test_admission.py, line"),
        (lambda sight: None, "'mine' raised TypeError: "),
        (lambda sight, state, now: None, "'mine' returned None"),
        (
            lambda sight, state, now: (AdmissionDecision(action=Action.SPILL), None),
            "'spill', which a producer cannot do",
        ),
    ],
)
def test_a_strategy_of_somebody_else_s_that_fails_is_told_and_nothing_is_sent(topics, clock, judge, message):
    admission = ProducerAdmission(own(judge), topics.get("t"), clock=clock, wall_clock=clock)
    with (
        pytest.raises(LabkitError, match=message),
        Producer(topics.get("t"), admission=admission, settings=SETTINGS) as producer,
    ):
        producer.send(stock_tasks(1, seed=1)[0])
    assert topics.end_offsets("t") == {0: 0}
    assert admission.turned_away().empty


def test_a_strategy_of_somebody_else_s_that_cannot_begin_is_told(topics):
    with pytest.raises(LabkitError, match="'mine' raised ZeroDivisionError"):
        ProducerAdmission(own(None, begin=lambda: 1 / 0), topics.get("t"))
