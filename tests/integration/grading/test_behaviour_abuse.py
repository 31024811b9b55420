"""Whatever a worker does to the grader's means, it has a named reason, no marks, and no effect on the next one."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psutil
import pytest

from labkit.grading import broker_pool
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.broker_pool import BrokerPool
from labkit.grading.question_verdict import QuestionVerdict
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.sandboxed_solution import SandboxedSolution
from labkit.lab import Lab
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE
from tests.integration.grading.shared_broker import SharedBroker
from tests.integration.grading.test_a2_task_queue import FOLDER

WORKER = "def work_on_tasks(bootstrap_servers, topic, group, work, stop):\n    "
TO_THE_SINK = (
    "import socket, time; s = socket.socket(socket.AF_UNIX); s.connect('/run/labkit/64999.sock'); {}; time.sleep(600)"
)
DELETION = (
    "import kafka.admin; kafka.admin.KafkaAdminClient(bootstrap_servers=bootstrap_servers).delete_topics([topic])"
)
ABUSE = "misuse of the grader's means"
ATTACKS = {
    "garbage": (TO_THE_SINK.format("s.sendall(b'x' * 5000)"), ABUSE),
    "flood": (TO_THE_SINK.format('[s.sendall(b\'["done", "a"]\\n\') for _ in range(50_000)]'), ABUSE),
    "exit": ("import os; os._exit(0)", "ended by an error"),
    "error": ("raise ValueError('x' * 5000)", "ended by an error"),
    "return": ("return", "ended before it was asked to"),
    "forged": ("work('a task of my own'); stop.wait()", "work on a task that nobody sent"),
    "deletion": (f"{DELETION}; stop.wait()", "topic deleted"),
}


def judge(sandbox: Bubblewrap, brokers: object, name: str, *cells: str) -> QuestionVerdict:
    question = next(question for question in read_assignment(FOLDER).questions if question.id == name)
    listed = [(None, cell) for cell in cells]
    with SandboxedSolution(sandbox, listed, student="ada", seed=uuid4().hex, brokers=brokers) as solution:
        return question.judge(solution)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_has_a_name_and_no_marks(sandbox: Bubblewrap, lab: Lab, name: str) -> None:
    attack, mistake = ATTACKS[name]
    verdict = judge(sandbox, SharedBroker(lab), "q2", WORKER + attack)
    assert verdict.points == 0
    assert mistake in {feedback.mistake for feedback in verdict.feedback}
    assert all(len(feedback.sentence) <= 600 for feedback in verdict.feedback)


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokerPool]:
    monkeypatch.setattr(broker_pool, "PARTITIONS", 12)
    with BrokerPool(most=1) as pool:
        yield pool


MANY = """
from kafka.admin import KafkaAdminClient, NewTopic

def send_tasks(bootstrap_servers, topic, tasks):
    KafkaAdminClient(bootstrap_servers=bootstrap_servers).create_topics([NewTopic("many", 15, 1)])
    __import__("time").sleep(600)
"""


@pytest.mark.long
@pytest.mark.slow
def test_a_broker_that_is_filled_up_is_thrown_away_and_the_next_submission_has_another(
    sandbox: Bubblewrap, brokers: BrokerPool
) -> None:
    verdict = judge(sandbox, brokers, "q1", MANY)
    assert verdict.points == 0
    assert "more than 12 partitions" in verdict.feedback[0].sentence
    model = [cell.source for cell in read_assignment(FOLDER).source if cell.kind == "code"]
    assert judge(sandbox, brokers, "q1", *model).state == "right"


@pytest.mark.slow
def test_a_broker_that_dies_is_replaced(sandbox: Bubblewrap, brokers: BrokerPool) -> None:
    (pid,) = [lab.brokers[1] for lab in one_ready(brokers)]
    psutil.Process(pid).kill()
    assert judge(sandbox, brokers, "q2", WORKER + "return").feedback[0].mistake == "ended before it was asked to"


def test_a_worker_that_there_is_not_is_named(sandbox: Bubblewrap, lab: Lab) -> None:
    verdict = judge(sandbox, SharedBroker(lab), "q2", "def work_on_task(): ...")
    assert (verdict.points, verdict.feedback[0].mistake) == (0, "no such function")


FORGETFUL = """
import kafka
from kafka.admin import KafkaAdminClient

def work_on_tasks(bootstrap_servers, topic, group, work, stop):
    consumer = kafka.KafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id=group, auto_offset_reset="earliest",
        enable_auto_commit=False, max_poll_records=1,
    )
    admin, done = KafkaAdminClient(bootstrap_servers=bootstrap_servers), 0
    while not stop.is_set():
        for records in consumer.poll(200).values():
            for record in records:
                work(record.value.decode())
                consumer.commit()
                done += 1
        if done == 8:
            places = sorted(consumer.assignment())
            admin.delete_records({place: -1 for place in places})
            consumer.seek_to_end(*places)
            [consumer.position(place) for place in places]
            consumer.commit()
            done += 1
    consumer.close()
"""


@pytest.mark.slow
def test_who_deletes_tasks_instead_of_doing_them_has_lost_them(sandbox: Bubblewrap, lab: Lab) -> None:
    """The grader knows what it has put there."""
    verdict = judge(sandbox, SharedBroker(lab), "q2", FORGETFUL)
    assert "lost task" in {feedback.mistake for feedback in verdict.feedback}
    assert verdict.points < verdict.possible


def one_ready(brokers: BrokerPool) -> list[Lab]:
    wait_until(lambda: len(brokers._ready) == 1, timeout=PATIENCE, what="a broker was to be ready")
    return [*brokers._ready]


SENDER = "def send_tasks(bootstrap_servers, topic, tasks): "


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("return None", marks=pytest.mark.long),
        pytest.param("return []", marks=pytest.mark.long),
        "return [[number % 2, number // 2] for number in range(20)]",
    ],
)
def test_who_sends_nothing_has_spread_nothing(sandbox: Bubblewrap, lab: Lab, body: str) -> None:
    verdict = judge(sandbox, SharedBroker(lab), "q1", SENDER + body)
    assert (verdict.points, verdict.feedback[0].mistake) == (0, "task not on the topic")
