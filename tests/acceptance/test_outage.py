"""Ctrl-C while the broker is away: every command that runs on ends, in bounded time and without a traceback."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from labkit.lab import Lab
from labkit.taskqueue import Topics, connect
from labkit.taskqueue.timeouts import wait_until
from tests.acceptance.commands import outcome

#: How long a record may be under way in these tests, in seconds.
PATIENCE = 3
#: What runs on until Ctrl-C, each with what is on its topic or in its group once it is at work.
CONSUMERS = {
    ("work",): ("task_queue", "worker_group"),
    ("jobs", "consume", "--group", "g"): ("job-status", "g"),
    ("bridge",): ("task_queue", "celery_bridge.bridge"),
}
#: The same of those that are ended otherwise than by one Ctrl-C.
OTHERWISE = {
    ("work", "--group", "ended"): ("task_queue", "ended"),
    ("work", "--group", "pressed-twice"): ("task_queue", "pressed-twice"),
}
#: With which signals these are ended, and with which status they may end then.
ENDINGS = {
    ("work", "--group", "ended"): ((signal.SIGTERM,), (0,)),
    ("work", "--group", "pressed-twice"): ((signal.SIGINT, signal.SIGINT), (0, 130)),
}
BY_CTRL_C = ((signal.SIGINT,), (0,))
PRODUCERS = {("produce", "--forever"): "task_queue", ("jobs", "produce", "--forever"): "job-status"}


@pytest.fixture(scope="module")
def own() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(params=["kafka-python", pytest.param("confluent-kafka", marks=pytest.mark.long)])
def environment(request, environment, own) -> dict[str, str]:
    return environment | {
        "LABKIT_BOOTSTRAP_SERVERS": own.bootstrap_servers,
        "LABKIT_REDIS_URL": own.redis_url,
        "LABKIT_TRANSPORT": request.param,
        "LABKIT_DELIVERY_TIMEOUT": str(PATIENCE),
    }


def ended(process: Popen[str], *statuses: int) -> str:
    """What it has said, once it has ended with one of these."""
    out, _ = outcome(process, *statuses)
    assert "Traceback" not in out
    return out


def is_ending(process: Popen[str]) -> bool:
    """Whether its workers end by now: a hang-up is held back then too, as is seen where there is /proc."""
    status = Path(f"/proc/{process.pid}/status")
    if process.poll() is not None or not status.exists():
        return True
    masks = re.findall(r"^Sig(?:Ign|Cgt):\t(\w+)$", status.read_text(), re.MULTILINE)
    return any(int(mask, 16) >> (signal.SIGHUP - 1) & 1 for mask in masks)


def records(topics: Topics, name: str) -> int:
    return sum(topics.end_offsets(name).values()) if name in topics.names() else 0


def done(topics: Topics, name: str, group: str) -> int:
    """How many of a topic's tasks the group has committed."""
    return sum(place.committed for place in topics.lag(name, group=group))


@pytest.mark.parametrize(
    "places", [CONSUMERS, pytest.param(OTHERWISE, marks=pytest.mark.long)], ids=["by Ctrl-C", "otherwise"]
)
def test_ctrl_c_ends_each_command_while_the_broker_is_away(type_in, own, places):
    producers = {words: type_in(*words, "--rate", "20") for words in PRODUCERS}
    with connect(own) as topics:
        for name in PRODUCERS.values():
            wait_until(lambda name=name: records(topics, name) > 0, timeout=120, what=f"{name} was to have records")
        before = {place: done(topics, *place) for place in places.values()}
        consumers = {words: type_in(*words) for words in places}
        for words, process in consumers.items():
            place = places[words]
            wait_until(
                lambda place=place, process=process: process.poll() is not None or done(topics, *place) > before[place],
                timeout=120,
                what=f"{place} was to be worked on",
            )
            assert process.poll() is None, outcome(process, process.returncode)
        own.kill_broker()
        try:
            for process in producers.values():
                process.send_signal(signal.SIGINT)
            for words, process in consumers.items():
                first, *more = ENDINGS.get(words, BY_CTRL_C)[0]
                process.send_signal(first)
                for number in more:  # two at once would be one
                    taken = lambda process=process: is_ending(process)  # noqa: E731
                    wait_until(taken, timeout=120, what=f"{words} was to begin its end")
                    process.send_signal(number)
            for words, process in consumers.items():
                ended(process, *ENDINGS.get(words, BY_CTRL_C)[1])
            for process in producers.values():
                ended(process, 0, 1)  # which says whether something was under way
        finally:
            own.restart_broker()


def test_a_second_ctrl_c_gives_up_what_is_under_way_and_says_what_was_sent(type_in, own, unique_name):
    process = type_in("produce", "--forever", "--topic", unique_name, LABKIT_DELIVERY_TIMEOUT="600")
    with connect(own) as topics:
        wait_until(lambda: records(topics, unique_name) > 0, timeout=120, what="there were to be records")
        own.kill_broker()
        try:
            process.send_signal(signal.SIGINT)
            assert "Ctrl-C gives it up" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert f"tasks to {unique_name}" in ended(process, 130)
        finally:
            own.restart_broker()
