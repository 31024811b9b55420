"""What others have sent stands in a log as plain text, in a line of its own making alone."""

from __future__ import annotations

import io
import json
import logging
from typing import get_args

import pytest

from labkit.logs import Component, configure
from labkit.logs.plain_format import write_plain
from labkit.plain_text import InLines
from labkit.settings import Settings
from tests.evil_texts import EVIL, is_plain


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("component", get_args(Component))
def test_nothing_in_a_line_is_obeyed(component, evil, tmp_path, capsys):
    configure(component, Settings(), tmp_path)
    logger = logging.getLogger("labkit.some.room")
    logger.warning("task %s of %r failed: %s in %s", evil, evil, ValueError(evil), tmp_path / "a")
    logger.warning("%(kind)s", {"kind": evil})
    told = (tmp_path / f"{component}.log").read_text(encoding="utf-8"), capsys.readouterr().err
    for text in told:
        assert is_plain(text)
        assert len(text.splitlines()) == 2


@pytest.mark.parametrize("evil", EVIL)
def test_a_traceback_is_readable_and_plain(evil, tmp_path, capsys):
    configure("worker", Settings(), tmp_path)
    try:
        raise ValueError(evil)
    except ValueError:
        logging.getLogger("labkit.some.room").exception("it failed")
    told = (tmp_path / "worker.log").read_text(encoding="utf-8")
    assert is_plain(told)
    assert "\nTraceback (most recent call last):\n" in told


@pytest.mark.parametrize("evil", EVIL)
def test_whoever_forges_a_line_is_seen_by_its_indent(evil, tmp_path, capsys):
    configure("worker", Settings(), tmp_path)
    logging.getLogger("labkit.some.room").warning(f"said: {evil}\n2026-11-30 ERROR 1 labkit: forged")
    first, *others = (tmp_path / "worker.log").read_text(encoding="utf-8").splitlines()
    assert "said:" in first
    assert others
    assert all(line.startswith("    ") for line in others)


@pytest.mark.parametrize("evil", EVIL)
def test_a_line_of_json_stays_one(evil, tmp_path, capsys):
    configure("worker", Settings(), tmp_path)
    logging.getLogger("labkit.task").info("done", extra={"kind": evil})
    told = (tmp_path / "tasks.jsonl").read_text(encoding="utf-8")
    assert is_plain(told)
    (line,) = told.splitlines()
    assert json.loads(line)["kind"] == evil


def test_a_failure_that_is_told_in_lines_keeps_them_and_nobody_can_make_up_a_line():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    write_plain(handler)
    whole = InLines("ValueError: \x1b[31mred\nlabkit: all is well\n  File x, line 3")
    handler.handle(logging.makeLogRecord({"msg": "it failed: %s", "args": (whole,)}))
    assert stream.getvalue() == ("it failed: ValueError: \\x1b[31mred\n    labkit: all is well\n      File x, line 3\n")


def test_commands_about_the_lab_that_a_line_names_say_which_one(tmp_path, capsys):
    configure("worker", Settings(lab="b"), tmp_path)
    logging.getLogger("labkit.some.room").warning("%s", "see `labkit status` and `labkit work`")
    told = (tmp_path / "worker.log").read_text(encoding="utf-8"), capsys.readouterr().err
    assert all("see `labkit status --name b` and `labkit work`" in text for text in told)
