"""`docs/extensions.md`, word for word, and what a user sees where a policy or a strategy fails as it runs. Its scenario
is played in `tests/integration/grading/test_own_scenario.py`, too.
"""

from __future__ import annotations

import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from labkit.grading.assignment_folder import read_assignment
from labkit.grading.visible_checks import write_checks
from labkit.taskqueue import Producer, Topics, new_task
from labkit.taskqueue.transport import connect_transport
from tests.acceptance.commands import said
from tests.unit.grading.notebooks import noted, write

ASSIGNMENT = Path(__file__).parents[2] / "assignments" / "source" / "a2_task_queue"
PAGE = (Path(__file__).parents[2] / "docs" / "extensions.md").read_text()
MODULES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
(QUESTION,) = re.findall(r"```toml\n(kind = .*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"```sh\nlabkit (.*)\n```", PAGE)

FAILING = """
import threading
from dataclasses import dataclass
from labkit.policies.policy import hold

@dataclass(frozen=True)
class Raises:
    name = "raises"
    def decide(self, view, now):
        if view.backlogged:
            raise KeyError("no key")
        return hold(view)

@dataclass(frozen=True)
class Hangs:
    name = "hangs"
    def decide(self, view, now):
        if view.backlogged:
            threading.Event().wait()
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


def test_each_module_of_the_page_is_short_and_chosen_by_name():
    assert len(MODULES) == 4
    assert len(COMMANDS) == 3
    for name, text in MODULES.items():
        assert len(text.strip().splitlines()) + 1 < 40
        assert any(f"{name.removesuffix('.py')}:" in words for words in (*COMMANDS, QUESTION))


def test_the_page_s_producers_work(type_in, modules):
    def produced(module: str) -> str:
        return said(type_in(*next(command for command in COMMANDS if module in command).split()))

    assert "(partition 1: 10)" in produced("regions"), "key-0 and its like have five letters"
    # from the first task on, ten that nobody has worked on are there: it hangs on no moment who is refused
    out = produced("halves")
    assert "Sent 5 tasks" in out
    assert "5 tasks were turned away at admission: refuse." in out
    assert "5 acknowledged, 0 refused" in out


def test_a_question_s_scenario_is_found_beside_the_notebook(type_in, modules, tmp_path):
    source = tmp_path / "source" / "a2_task_queue"
    shutil.copytree(ASSIGNMENT, source)
    question = source / "questions" / "q1.toml"
    question.write_text(question.read_text().replace('"producer"', '"calm:play_nothing"'))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        write_checks(read_assignment(source), tmp_path)
    sys.modules.pop("calm", None)
    answer = "def send_tasks(bootstrap_servers, topic, tasks): ..."
    write(tmp_path / "mine.ipynb", [noted(answer, "q1", solution=True)])
    assert "2 of 2 points so far" in said(type_in("check", "mine.ipynb", "--question", "q1"))


@pytest.fixture
def low(topics):
    """The topic of a class, with five tasks."""
    with Producer(topics.create("jobs.low", partitions=2)) as producer:
        producer.send_many(new_task("sleep", 0) for _ in range(5))
    yield topics.get("jobs.low")
    left = topics.lag("jobs.low", group="dispatcher.low")
    assert sum(place.lag for place in left) == 5, "the next dispatcher has them"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--policy", "failing:Raises"), r"The policy 'raises' raised KeyError: 'no key' .*failing\.py, line"),
        (("--admission", "failing:Judge"), r"The strategy 'judge' raised KeyError: 'no key' .*failing\.py, line"),
    ],
)
def test_one_that_fails_ends_the_dispatcher_and_the_next_one_has_the_tasks(type_in, modules, low, words, message):
    assert re.search(message, said(type_in("dispatch", *words), status=1))


@pytest.mark.long
def test_a_policy_that_never_decides_is_named_while_the_dispatcher_runs(type_in, modules, low):
    dispatcher = type_in("dispatch", "--policy", "failing:Hangs")
    while "The policy 'hangs' has not answered for 10 s" not in (line := dispatcher.stderr.readline()):
        assert line, "it has ended"
    dispatcher.send_signal(signal.SIGINT)
    assert "is left behind" in said(dispatcher, status=1)
