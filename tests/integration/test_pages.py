"""Each Python and shell example of README, CONTRIBUTING and docs runs, or is on a list that says why it does not.

A Python block that begins with the name of a file is that file. With its output below it is a program, and is run by
itself beside the other files of its page; else it is a module that they use.
"""

from __future__ import annotations

import re
import shlex

import pytest

from tests.command_lines import COMMANDS
from tests.page_blocks import BLOCKS, ROOT, Block, write_files
from tests.page_program import printed_by

LANGUAGES = {"python", "sh", "bash", "console"}

#: Blocks that need more than a lab, and the tests that run them as they stand. Of a page and a language it is all.
RUN_BY = {
    "docs/http_api.md: all bash": "tests/acceptance/test_api.py",
    "docs/http_api.md: all sh": "tests/acceptance/test_api.py",
    "docs/http_api.md: all python": "tests/acceptance/test_api.py",
    "docs/wire_format.md: all python": "tests/integration/test_wire_format.py",
    "docs/extensions.md: fair.py": "tests/acceptance/test_extensions.py",
    "docs/extensions.md: halves.py": "tests/acceptance/test_extensions.py",
    "docs/extensions.md: regions.py": "tests/acceptance/test_extensions.py",
    "docs/extensions.md: all sh": "tests/acceptance/test_extensions.py",
    "docs/extensions.md: calm.py": "tests/integration/grading/test_own_scenario.py",
    "docs/programs.md: feed.py": "tests/acceptance/test_programs.py",
    "docs/programs.md: kitchen.py": "tests/acceptance/test_programs.py",
    "docs/programs.md: export LABKIT_CELERY_IMPORTS=pictures": "tests/acceptance/test_programs.py",
    "docs/programs.md: LABKIT_API_TOKEN=secret LABKIT_API_LEASE=3 labkit api --port 8000": (
        "tests/acceptance/test_programs.py"
    ),
    "docs/questions.md: def numbers(rng):": "tests/unit/grading/questions/test_page.py",
    "README.md: import labkit": "tests/integration/test_readme.py",
}

#: Blocks that no test runs, each with its reason.
NOT_RUN = {
    "docs/assignments.md: from labkit.grading import check": "a cell of a student's notebook, in a course's folder",
    "docs/checker.md: history = from_records(records, receipts, written=log, dead=dead_letters, committed=commits)"
    "   # or read_history(path)": "the names of a verdict, for a run that the reader has",
    "docs/http_api.md: $ labkit up": "the servers that the tests of the page use run already",
    "docs/once.md: from labkit.taskqueue.once import once": "a handler without a body; docs/library.md has a whole one",
    "docs/once.md: import sqlite3": "a handler for the reader's own table; docs/programs.md has a whole one",
    "docs/questions.md: from pathlib import Path": "it grades what a student has handed in, which the reader has",
    "docs/sandbox.md: from labkit.grading.sandbox import Bubblewrap, Limits": "it needs a sandbox of the system's",
    'docs/wire_format.md: echo \'customer-3:{"kind": "invoice", "number": 9}\' | kcat -P -b 127.0.0.1:9092 '
    "-t demo-topic -K :": "kcat is no part of labkit",
}

EXAMPLES = [block for block in BLOCKS if block.language in LANGUAGES]
PROGRAMS = [one for one in EXAMPLES if one.language == "python" and one.file and one.printed and one.name not in RUN_BY]


def _names(block: Block) -> set[str]:
    """The names by which the lists may mean it."""
    return {block.name, f"{block.page}: all {block.language}"}


def _is_module(block: Block) -> bool:
    """Whether a program of its page imports it, starts it, or names something in it as `module:name`."""
    if not block.file:
        return False
    module = block.file.removesuffix(".py")
    used = re.compile(rf'^(import|from) {module}\b|"{module}:|"{module}\.py"', re.MULTILINE)
    return any(used.search(other.code) for other in EXAMPLES if other.page == block.page and other is not block)


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.name)
def test_a_program_prints_what_its_page_says(lab, tmp_path, block):
    write_files(block.page, tmp_path)
    assert printed_by(block.file, lab=lab, folder=tmp_path) == block.printed


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.name)
def test_each_example_is_run_or_it_is_said_why_not(block):
    assert block in PROGRAMS or _is_module(block) or _names(block) & (RUN_BY.keys() | NOT_RUN.keys())


def test_the_lists_name_what_is_there():
    names = set().union(*map(_names, EXAMPLES))
    assert (RUN_BY.keys() | NOT_RUN.keys()) <= names
    for block, test in RUN_BY.items():
        assert block.partition(":")[0].rpartition("/")[2].removesuffix(".md") in (ROOT / test).read_text()


def test_each_file_of_a_page_has_a_name_of_its_own():
    named = [(block.page, block.file) for block in BLOCKS if block.file]
    assert len(named) == len(set(named))


def _command_lines() -> list[str]:
    """The lines of all blocks that begin a command of labkit's, without what is said about them."""
    lines = [line.rstrip() for block in BLOCKS if block.language != "text" for line in block.code.splitlines()]
    typed = [re.sub(r"^(\$ |\.venv/bin/|([A-Z_]+=\S+ )+)+", "", line) for line in lines]
    return sorted({re.split(r" {3,}| +# ", line)[0] for line in typed if line.startswith("labkit ")})


@pytest.mark.parametrize("line", _command_lines())
def test_a_line_on_a_page_is_a_command_with_options_that_it_has(line):
    words = shlex.split(line)[1:]
    lengths = [length for length in range(1, len(words) + 1) if tuple(words[:length]) in COMMANDS]
    assert lengths
    command = COMMANDS[tuple(words[: lengths[-1]])]
    command.make_context(line, words[lengths[-1] :])


def test_the_examples_of_the_library_are_short():
    assert all(len(block.code.splitlines()) <= 26 for block in BLOCKS if block.page == "docs/library.md")
