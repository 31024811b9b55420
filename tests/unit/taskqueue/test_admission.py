"""The producer's admission: strategies judge by the lag of the group, as it is in the in-memory broker."""

import threading
from types import SimpleNamespace

import pytest

from labkit.backpressure import Action, AdmissionDecision, make_strategy
from labkit.errors import BrokerUnreachable, LabkitError, NotAccepted, SettingsError, UnknownTopic
from labkit.settings import Settings
from labkit.taskqueue import repeated_question
from labkit.taskqueue.admission import MAX_AGE, ProducerAdmission
from labkit.taskqueue.arrivals import constant
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.repeated_question import OVERDUE, RETRY_AGE
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, TopicPartition
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.conditions import PATIENCE, in_time
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
        raise away

    admission = admission_of(topics, clock, "refuse", limit=3)
    with Producer(topics.get("t"), admission=admission, settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(2, seed=1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(admission._topics, "lag", broken)
            clock.now += 2 * MAX_AGE
            producer.send(stock_tasks(1, seed=2)[0])
            with pytest.raises(NotAccepted, match="3 tasks are not finished"):
                producer.send(stock_tasks(1, seed=3)[0])
            with pytest.raises(NotAccepted):
                producer.send(stock_tasks(1, seed=3)[0])
        assert len(looks) == 1, "it is not looked for each task"
        finish(topics, 2)
        clock.now += RETRY_AGE
        producer.send(stock_tasks(1, seed=4)[0])
    said = [line.getMessage() for line in caplog.records if "The admission to t" in line.getMessage()]
    assert [line.split(",")[0] for line in said] == [
        "The admission to t waits for Kafka",
        "The admission to t goes on: Kafka answers again",
    ]


class SlowLag:
    """A Kafka that tells the lag as soon as it may; how it was when it was asked."""

    def __init__(self, admission: ProducerAdmission) -> None:
        self._lag = admission._topics.lag
        self.asked = 0
        self._may_answer = threading.Semaphore(0)

    def __call__(self, name, *, group):
        found = self._lag(name, group=group)
        self.asked += 1
        assert self._may_answer.acquire(timeout=PATIENCE)
        return found

    def answer(self):
        self._may_answer.release()


@pytest.fixture
def frozen(topics, clock, monkeypatch):
    """An admission that knows a lag of 2, and whose Kafka does not answer any more."""
    admission = admission_of(topics, clock, "refuse", limit=5)
    with Producer(topics.get("t"), admission=admission, settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(2, seed=1))
        clock.now += 2 * MAX_AGE
        assert admission._question.look().answer.lag == 2
        slow = SlowLag(admission)
        monkeypatch.setattr(admission._topics, "lag", slow)
        monkeypatch.setattr(repeated_question, "MOMENT", 0)
        monkeypatch.setattr(repeated_question, "SILENCE", 0)
        clock.now += 2 * MAX_AGE
        yield admission, slow
        for _ in range(5):
            slow.answer()


def test_where_kafka_does_not_answer_nobody_waits_and_what_is_let_in_counts(frozen, clock, caplog):
    admission, slow = frozen
    assert [admission.judge().action for _ in range(4)] == [*3 * [Action.ADMIT], Action.REFUSE]
    wait_until(lambda: slow.asked, timeout=PATIENCE, what="it was to be asked")
    clock.now += 10 * OVERDUE
    assert [admission.judge().action for _ in range(3)] == 3 * [Action.REFUSE]
    assert slow.asked == 1, "one question at a time"
    (said,) = [line for line in caplog.messages if "waits for Kafka" in line]
    assert "the lag that was known last counts: The broker has given no answer for more than 5 s" in said


def test_what_was_let_in_while_it_was_asked_counts_besides_the_answer(frozen):
    admission, slow = frozen
    admission.judge()  # asks
    wait_until(lambda: slow.asked, timeout=PATIENCE, what="it was to be asked")
    assert admission.judge().action == Action.ADMIT
    slow.answer()
    question = admission._question
    wait_until(
        lambda: question.look() and question._pending is None, timeout=PATIENCE, what="the answer was to be taken in"
    )
    # the thread that asks may have begun before or after the first task was let in
    left = 5 - 2 - (4 - question.look().answer.let_in)
    assert left > 0
    assert [admission.judge().action for _ in range(left + 1)] == [*left * [Action.ADMIT], Action.REFUSE]


def test_several_threads_are_judged_while_one_asks(frozen):
    admission, slow = frozen
    threads = [threading.Thread(target=admission.judge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert slow.asked <= 1


def test_the_end_of_the_producer_is_that_of_its_admission(topics, clock):
    admission = admission_of(topics, clock, "refuse", limit=1)
    closed = []
    close = admission._topics.close
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission._topics, "close", lambda: closed.append(close()))
        with Producer(topics.get("t"), admission=admission, settings=SETTINGS) as producer:
            producer.send(stock_tasks(1, seed=1)[0])
        assert len(closed) == 1
    clock.now += 2 * MAX_AGE
    assert admission.judge().action == Action.REFUSE, "it may be used by another producer"
    admission.close()


def test_an_admission_whose_kafka_does_not_answer_can_be_closed(frozen):
    admission, slow = frozen
    closed = threading.Event()
    admission._topics.close = closed.set
    admission.judge()
    in_time(admission.close)
    assert not closed.is_set()
    slow.answer()
    assert closed.wait(PATIENCE)


def test_an_error_that_is_not_about_kafka_is_raised(topics, clock, monkeypatch):
    admission = admission_of(topics, clock, "refuse", limit=3)
    admission.judge()
    monkeypatch.setattr(admission._topics, "lag", lambda name, group: 1 / 0)
    clock.now += 2 * MAX_AGE
    with pytest.raises(ZeroDivisionError):
        admission.judge()


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
