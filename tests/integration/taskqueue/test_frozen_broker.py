"""A broker that is frozen: who can go on with what is known does not wait for it, and ends when he is to."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from labkit.backpressure import Action, make_strategy
from labkit.settings import Settings, TransportName, environment_with
from labkit.taskqueue import Producer, stock_tasks
from labkit.taskqueue.admission import MAX_AGE, ProducerAdmission
from labkit.taskqueue.producer import PARTITIONS_MAX_AGE
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport import Timeouts, connect_transport
from tests.conditions import PATIENCE, frozen, in_time
from tests.unit.clock import Clock


@pytest.fixture(params=get_args(TransportName))
def library(request):
    """A client library."""
    return request.param


def test_who_sends_does_not_wait_for_what_is_only_asked(own_lab, library, unique_name):
    """How far the group lags, and whether the topic has grown; each would be waited for as long as may be."""
    transport = connect_transport(own_lab.connection, library, timeouts=Timeouts(request=2 * PATIENCE))
    clock, measure = Clock(), Clock()
    with Topics(transport) as topics, topics.fresh(unique_name, partitions=1) as topic:
        admission = ProducerAdmission(make_strategy("refuse", limit=50), topic, clock=clock)
        with Producer(topic, admission=admission, settings=Settings(_env_file=None), measure=measure) as producer:
            producer.send_many(stock_tasks(10, seed=1))
            with frozen(own_lab.kafka_pid):
                clock.now += MAX_AGE
                measure.now += PARTITIONS_MAX_AGE
                for task in stock_tasks(40, seed=2):
                    assert in_time(lambda task=task: producer.submit(task))
                assert in_time(admission.judge).action is Action.REFUSE
                for question in (admission._question, producer._partitions):
                    assert question._pending is not None
                    assert not question._pending.done()
            producer.flush()

            def is_answered():
                clock.now += MAX_AGE
                return admission._question.look().answer.lag == 50

            wait_until(is_answered, timeout=PATIENCE, what="the broker was to tell the lag", pause=lambda _: None)
            assert admission.judge().action is Action.REFUSE


PROGRAM = """
import sys
from contextlib import suppress
from labkit import Producer, ProducerAdmission, connect, make_strategy, new_task
from labkit.errors import LabkitError
from labkit.lab import attach_lab
from tests.unit.clock import Clock

clock = Clock()
with attach_lab() as lab, connect(lab, transport=sys.argv[1]) as topics:
    topic = topics.create(sys.argv[2], partitions=1)
    admission = ProducerAdmission(make_strategy("slow"), topic, clock=clock)
    with suppress(LabkitError), Producer(topic, admission=admission, measure=clock) as producer:
        producer.send(new_task("k"))
        print("ready", flush=True)
        sys.stdin.readline()
        clock.now += 60
        producer.submit(new_task("k"))
    print("closed", flush=True)
"""


def test_a_program_that_has_asked_ends_all_the_same(own_lab, library, unique_name):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, library, unique_name],
        env=environment_with(bootstrap_servers=own_lab.bootstrap_servers, delivery_timeout=1),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert in_time(process.stdout.readline) == "ready\n"
        with frozen(own_lab.kafka_pid):
            told, _ = process.communicate("\n", timeout=PATIENCE)
        assert told == "closed\n"
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
