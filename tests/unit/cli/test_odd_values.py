"""The table of odd values: each option, argument and setting there is, with what a slip or a script may put there.

Each is answered by one paragraph and a status other than 0, or it means something and comes as far as the lab, which
does not run here. What is numbers by its type is refused, unless it is a number within the option's limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from labkit.api.messages.message_queues import queue_names
from labkit.celery_app.application import celery_url
from labkit.celery_app.kinds import import_handlers
from labkit.celery_app.periodic_tasks import periods
from labkit.cli.checked_command import CheckedCommand
from labkit.cli.dispatch_commands import parse_classes
from labkit.errors import LabkitError
from labkit.jobs.database import open_database
from labkit.setting_names import PREFIX
from labkit.settings import Settings, load_settings
from tests.command_lines import COMMANDS

ODD = {
    "empty": "",
    "blank": " ",
    "word": "abc",
    "negative": "-1",
    "zero": "0",
    "fraction": "1.5",
    "infinite": "inf",
    "minus infinite": "-inf",
    "not a number": "nan",
    "beyond floats": "1e400",
    "beyond 64 bits": "9" * 30,
    "of 5000 digits": "9" * 5000,
    "two lines": "a\nb",
    "no UTF-8": "\udce4",
    "long": "x" * 300,
    "path": "a/b",
    "folder above": "..",
    "home of nobody": "~nobody-of-that-name/x",
}
#: What is a number in its text, with the number left out.
IN_TEXT = {
    "service": "constant:{}",
    "backpressure": "slow:look={}",
    "admission": "token_bucket:rate={}",
    "weights": "{},1",
    "shares": "{},0",
    "deadlines": "{},1",
    "limits": "{},1",
}
NUMBERS = ("negative", "infinite", "not a number")
#: Where nothing is read that could be wrong before the lab, or another program, is asked.
STARTS_SOMETHING = {"up", "jupyter", "notebooks", "check", "grade", "demo", "api"}
#: What is said where a value was taken, and the lab is asked for.
TAKEN = ("is not running", "has never run", "stores nothing", "No lab is running")


def parameters() -> Iterator[tuple[tuple[str, ...], Any]]:
    for words, command in COMMANDS.items():
        for one in command.params:
            if one.name != "help" and not getattr(one, "is_flag", False):
                yield words, one


def line(words: tuple[str, ...], odd_one: Any, text: str) -> list[str]:
    """The command with this text for one of its parameters, and something sensible where more must be given."""
    options, arguments = [], []
    for one in COMMANDS[words].params:
        given = text if one is odd_one else "1" if one.name == "job_id" else "t/0/1" if "letter" in one.name else "g"
        if one is not odd_one and not one.required:
            continue
        if one.param_type_name == "option":
            options.append(f"{one.opts[0]}={given}")
        else:
            arguments.append(given)
    return [*words, *options, "--", *arguments]


def is_number(one: Any) -> bool:
    annotation = one.type_descriptor.annotation
    return annotation in (int, float) or annotation == list[int]


PARAMETERS = list(parameters())
IDS = [f"{' '.join(words)} {one.name}" for words, one in PARAMETERS]


@pytest.fixture
def parsed(monkeypatch, tmp_path):
    """The parameters of a command as it would get them; raises what is said of them instead."""
    monkeypatch.chdir(tmp_path)

    def parse(words: tuple[str, ...], arguments: list[str]) -> dict[str, Any]:
        context = COMMANDS[words].make_context("labkit", arguments[len(words) :])
        return context.params

    return parse


def test_every_command_is_checked():
    assert [words for words, command in COMMANDS.items() if not isinstance(command, CheckedCommand)] == []


@pytest.mark.parametrize(("words", "one"), PARAMETERS, ids=IDS)
def test_an_odd_value_is_refused_or_means_something(parsed, words, one):
    """By the parser alone, for every command and every value."""
    for what, text in ODD.items():
        try:
            value = parsed(words, line(words, one, text))[one.name]
        except typer.BadParameter:
            continue
        first = value[0] if isinstance(value, list | tuple) and value else value
        if is_number(one):
            assert what in ("zero", "fraction", "negative"), what
            assert math.isfinite(first)
            assert abs(first) < 2**63
        elif not (one.param_type_name == "argument" and one.nargs == -1):
            assert what not in ("empty", "blank", "two lines", "no UTF-8"), what


def test_a_home_that_no_shell_has_put_in_is_the_home(parsed, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert parsed(("work",), ["work", "--records=~/r.parquet"])["records"] == Path("/home/ada/r.parquet")
    sources = parsed(("grade", "collect"), ["grade", "collect", "a1", "~/moodle.zip"])["sources"]
    assert sources == [Path("/home/ada/moodle.zip")]
    Path("~old.parquet").touch()
    assert parsed(("work",), ["work", "--records=~old.parquet"])["records"] == Path("~old.parquet")


TEXTS = [(words, one) for words, one in PARAMETERS if not is_number(one) and words[0] not in STARTS_SOMETHING]


@pytest.mark.parametrize(("words", "one"), TEXTS, ids=[f"{' '.join(words)} {one.name}" for words, one in TEXTS])
def test_a_command_tells_in_a_paragraph_what_is_wrong(labkit, words, one):
    """As far as the lab that is not there: with a word, and with numbers in a text that are none."""
    tried = [ODD["word"], *(IN_TEXT[one.name].format(ODD[odd]) for odd in NUMBERS if one.name in IN_TEXT)]
    for text in tried:
        status, said = labkit(*line(words, one, text))
        if status == 2:
            assert "Error: Invalid value" in said
        elif any(words in said for words in TAKEN):
            assert text == tried[0], f"{text!r} was taken"
        else:
            assert (status, said.count("\n")) == (1, 1), said
            assert said.startswith("labkit: ")


#: Who reads a setting that is a text, and says what is wrong with it before anything is started.
READERS: dict[str, Callable[[Settings], object]] = {
    "classes": lambda settings: parse_classes(settings.classes),
    "api_topics": queue_names,
    "jobs_url": lambda settings: open_database(settings.jobs_url or "sqlite:///x").engine.dispose(),
    "celery_broker_url": lambda settings: celery_url(settings.celery_broker_url or "redis://"),
    "celery_imports": import_handlers,
    "beat_heartbeat": periods,
    "beat_lag": periods,
}
#: Checked by the settings themselves, or known or not to whoever is asked.
OTHER_TEXTS = {"bootstrap_servers", "redis_url", "sasl_username", "jar_repository"}


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_an_odd_setting_is_refused_or_means_something(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    field = Settings.model_fields[name]
    has_pattern = any(getattr(one, "pattern", None) for one in field.metadata)
    assert field.annotation not in (str, str | None) or has_pattern or name in READERS.keys() | OTHER_TEXTS
    for what, text in ODD.items():
        monkeypatch.setenv(PREFIX + name.upper(), text)
        said, settings = refusal_of(load_settings)
        if settings is None:
            assert PREFIX + name.upper() in said
        elif what in ("empty", "blank"):
            assert getattr(settings, name) == field.default
        elif field.annotation in (int, float):
            assert what in ("zero", "fraction", "negative")
            assert math.isfinite(getattr(settings, name))
        elif name in READERS:
            said, _ = refusal_of(READERS[name], settings)
        assert "\n" not in said
        assert said or what != "two lines"


def refusal_of(call: Callable[..., Any], *arguments: object) -> tuple[str, Any]:
    """What is said instead of an answer; and the answer."""
    try:
        return "", call(*arguments)
    except LabkitError as error:
        return str(error), None
