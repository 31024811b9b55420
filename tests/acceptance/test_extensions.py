"""`docs/extensions.md`, word for word, and what a user sees where a policy or a strategy fails as it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.taskqueue import Producer, Topics, new_task
from labkit.taskqueue.transport import connect_transport
from tests.acceptance.commands import said

PAGE = (Path(__file__).parents[2] / "docs" / "extensions.md").read_text()
MODULES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"```sh\nlabkit (.*)\n```", PAGE)

FAILING = """
import threading
from dataclasses import dataclass

@dataclass(frozen=True)
class Raises:
    name = "raises"
    def decide(self, view, now):
        return view.startable[0] if not view.backlogged else 1 / 0

@dataclass(frozen=True)
class Hangs:
    name = "hangs"
    def decide(self, view, now):
        if view.backlogged:
            threading.Event().wait()
        from labkit.policies.policy import hold
        return hold(view)

@dataclass(frozen=True)
class Judge:
    name = "judge"
    def begin(self): ...
    def judge(self, sight, state, now):
        return {}["no key"]
"""


@pytest.fixture
def prefix(unique_name):
    return f"{unique_name[-40:]}."


@pytest.fixture
def environment(environment, prefix):
    return environment | {"LABKIT_TOPIC_PREFIX": prefix}


@pytest.fixture
def topics(lab, prefix):
    with Topics(connect_transport(lab.connection, "kafka-python"), prefix=prefix) as found:
        yield found


@pytest.fixture
def modules(tmp_path):
    """The page's modules, in the working directory of the commands."""
    for name, text in {**MODULES, "failing.py": FAILING}.items():
        (tmp_path / name).write_text(text)


def test_each_module_of_the_page_is_short_and_chosen_by_a_command():
    assert len(MODULES) == len(COMMANDS) == 3
    for name, text in MODULES.items():
        assert len(text.strip().splitlines()) + 1 < 40
        assert any(f"{name.removesuffix('.py')}:" in command for command in COMMANDS)


def test_the_page_s_producers_work(type_in, modules, topics):
    told = {command: type_in(*command.split()) for command in COMMANDS if command.startswith("produce")}
    assert len(told) == 2
    for command, process in told.items():
        out = said(process)
        assert "0 refused" in out
        if "halves" in command:
            assert "Sent 7 tasks" in out
            assert "3 tasks were turned away at admission: refuse." in out
        else:
            assert "partition 1: 10" in out, "key-0 and its like have five letters"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--policy", "failing:Raises"), r"The policy 'raises' raised .*failing\.py, line"),
        (("--policy", "failing:Hangs"), "The policy 'hangs' has not answered within 10 s"),
        (("--admission", "failing:Judge"), r"The strategy 'judge' raised KeyError: 'no key' .*failing\.py, line"),
    ],
)
def test_one_that_fails_ends_the_dispatcher_and_the_next_one_has_the_tasks(type_in, modules, topics, words, message):
    with Producer(topics.create("jobs.low", partitions=2)) as producer:
        producer.send_many(new_task("sleep", 0) for _ in range(5))
    err = said(type_in("dispatch", *words), status=1)
    assert re.search(message, err)
    committed = topics.lag("jobs.low", group="dispatcher.low")
    assert sum(place.lag for place in committed) == 5
