"""What stands on the screen while a command runs, and at its end: of every command with a live view."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import labkit.cli
from labkit.taskqueue import Producer, connect, new_task
from tests.acceptance.commands import further, outcome
from tests.screen import ScreenedCommand

#: Says something in every way there is, and fails for one task in three.
HANDLERS = """
import os, subprocess, sys, warnings

def noisy(task):
    print("it prints", task.payload)
    print("it complains", task.payload, file=sys.stderr)
    os.write(2, b"a library in C complains\\n")
    subprocess.run(["echo", "a process speaks"], check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("a library warns")
    if task.payload % 3 == 0:
        raise ValueError("three divides it")
"""
#: What a line may be that is none of the view's and none of the summary's.
SAID = re.compile(
    r"it (prints|complains) \d+|a library in C complains|a process speaks|\S+: UserWarning: a library warns|"
    r'  warnings\.warn\("a library warns"\)|labkit: .*| +File .*| +raise ValueError.*|Task \d+: .*'
)
TASKS = 12


class LiveCommand(NamedTuple):
    """A command with a live view: its words, what stands once in its last frame, and what is true of its end."""

    words: tuple[str, ...]
    once: tuple[str, ...]
    ready: Callable[[str], bool]
    by_ctrl_c: bool = True


#: By the function of the command. NAME is the topic.
LIVE: Mapping[str, LiveCommand] = {
    "work": LiveCommand(
        ("work", "--topic", "NAME", "--group", "NAME", "--handler", "noises:noisy", "--attempts", "1", "--until-empty"),
        ("partitions", "8 tasks done, 4 attempts failed", "`labkit dead list --topic NAME`"),
        lambda _: True,
        by_ctrl_c=False,
    ),
    "produce": LiveCommand(
        ("produce", "--topic", "NAME", "--count", "40", "--rate", "100"),
        ("sent 40, acknowledged 40", "Sent 40 tasks to NAME"),
        lambda _: True,
        by_ctrl_c=False,
    ),
    "describe": LiveCommand(("topics", "describe", "NAME", "--watch"), ("NAME", "all "), lambda shown: "lag" in shown),
    "bridge": LiveCommand(
        ("bridge", "--topic", "NAME", "--group", "NAME"),
        (f"{TASKS} sent", f"{TASKS} tasks went from NAME to Celery", "Left on Kafka"),
        lambda shown: f"{TASKS} sent" in shown,
    ),
    "dispatch": LiveCommand(
        ("dispatch", "--classes", "NAME", "--partitions", "1"),
        ("sent/s", "Dispatched 0 tasks", "Left on Kafka"),
        lambda shown: "lag" in shown,
    ),
    "_run": LiveCommand(
        ("demo", "bridge", "--seconds", "3"),
        ("What became of the tasks", "It adds up"),
        lambda _: True,
        by_ctrl_c=False,
    ),
}


@pytest.fixture
def unique_name(unique_name) -> str:
    """A name that is shorter than a line."""
    return f"t-{unique_name[-8:]}"


@pytest.fixture
def environment(environment, unique_name) -> dict[str, str]:
    """As others have it; Celery's keys are this test's own."""
    own = {"LABKIT_CELERY_NAMESPACE": unique_name}
    return {name: value for name, value in environment.items() if name not in ("NO_COLOR", "COLUMNS")} | own


@pytest.fixture
def folder(tmp_path, lab, unique_name) -> Path:
    """Where the command runs: with the handler, and with tasks on the topic."""
    (tmp_path / "noises.py").write_text(HANDLERS)
    with connect(lab) as topics, Producer(topics.create(unique_name, partitions=2)) as producer:
        producer.send_many([new_task("sleep", number) for number in range(TASKS)])
    return tmp_path


def words_of(live: LiveCommand, name: str) -> list[str]:
    return [word.replace("NAME", name) for word in live.words]


def flat(lines: list[str]) -> str:
    """What was said, wherever lines end."""
    return " ".join(" ".join(lines).split())


def test_every_command_with_a_live_view_is_in_the_table():
    found = set()
    for path in Path(labkit.cli.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                calls = {getattr(one.func, "id", "") for one in ast.walk(function) if isinstance(one, ast.Call)}
                found |= {function.name} if {"LiveView", "Live"} & calls else set()
    # produce has it in a method; `_Screen` is the view itself
    assert {"produce" if name == "shown" else name for name in found} - {"__init__"} == set(LIVE)


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("name", [name if name in ("work", "describe") else further(name) for name in LIVE])
def test_what_stands_on_the_screen(folder, environment, unique_name, name, columns):
    live = LIVE[name]
    with ScreenedCommand(
        *words_of(live, unique_name), columns=columns, folder=folder, environment=environment
    ) as command:
        command.wait_for(lambda lines: live.ready(flat(lines)) or command.process.poll() is not None)
        lines = command.end(by_ctrl_c=live.by_ctrl_c)
    for words in live.once:
        assert flat(lines).count(words.replace("NAME", unique_name)) == 1, lines
    for command_to_copy in re.findall(r"`[^`]*`", flat(lines)):
        if len(command_to_copy) <= columns:
            assert any(command_to_copy in line for line in lines), lines


@pytest.mark.parametrize("more", [(), further(("--executor", "processes")), further(("--processes",))], ids=str)
def test_nothing_tears_the_view_and_all_that_handlers_say_is_seen(folder, environment, unique_name, more):
    words = [*words_of(LIVE["work"], unique_name), *more]
    with ScreenedCommand(*words, columns=200, folder=folder, environment=environment) as command:
        lines = command.end(by_ctrl_c=False)
    for number in range(TASKS):
        assert lines.count(f"it prints {number}") == 1, lines
        assert lines.count(f"it complains {number}") == 1, lines
    assert lines.count("a process speaks") == lines.count("a library in C complains") == TASKS
    begin = next(number for number, line in enumerate(lines) if "partitions" in line)
    assert [line for line in lines[:begin] if line and not SAID.fullmatch(line)] == []
    assert "labkit:" not in "".join(lines[begin:])


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, further({"TERM": "dumb"})], ids=str)
def test_without_colours_and_on_a_terminal_that_cannot_move(folder, environment, unique_name, more):
    words = words_of(LIVE["work"], unique_name)
    with ScreenedCommand(*words, columns=80, folder=folder, environment=environment | more) as command:
        lines = command.end(by_ctrl_c=False)
    assert "8 tasks done, 4 attempts failed" in flat(lines)
    assert flat(lines).count("partitions") == 1
    assert re.search(rb"\x1b\[[0-9;]*3[0-9]m", command.raw) is None
    if "TERM" in more:
        assert b"\x1b" not in command.raw


def test_without_a_terminal_the_last_frame_is_whole_and_equal_to_the_summary(folder, type_in, unique_name):
    out, _ = outcome(type_in(*words_of(LIVE["work"], unique_name)))
    lines = out.splitlines()
    (row,) = (line.split() for line in lines if re.match(r"\s*worker-", line))
    assert row[2:4] == ["8", "4"]
    assert "8 tasks done, 4 attempts failed" in out
    assert f"4 of {unique_name} are dead letters: `labkit dead list --topic {unique_name}` lists them." in lines
    letters, _ = outcome(type_in("dead", "list", "--topic", unique_name))
    assert letters.count("ValueError: three divides it") == 4
    assert "\x1b" not in out + letters


def test_a_single_task_has_no_rate(type_in, unique_name):
    out, _ = outcome(type_in("produce", "one", "--topic", unique_name))
    assert "Sent 1 task to " in out
    assert "/s" not in out
