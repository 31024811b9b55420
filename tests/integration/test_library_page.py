"""Each program of docs/library.md runs as it stands there, by itself, and prints what the page says."""

import re
from pathlib import Path

import pytest

from tests.page_program import printed_by

PAGE = (Path(__file__).parents[2] / "docs" / "library.md").read_text(encoding="utf-8")
#: name, code, and what it prints, where it is a program and not a module of one.
EXAMPLES = re.findall(r"```python\n(# (\S+)\n.*?)```\n(?:```text\n(.*?)```\n)?", PAGE, re.DOTALL)
PROGRAMS = [(name, printed) for _, name, printed in EXAMPLES if printed]


@pytest.mark.parametrize(("name", "printed"), PROGRAMS, ids=[name for name, _ in PROGRAMS])
def test_a_program_prints_what_the_page_says(lab, tmp_path, name, printed):
    for code, file, _ in EXAMPLES:
        (tmp_path / file).write_text(code, encoding="utf-8")
    assert printed_by(name, lab=lab, folder=tmp_path) == printed


def test_each_example_is_run_is_short_and_has_a_name_of_its_own():
    blocks = PAGE.count("```python\n")
    assert len(EXAMPLES) == len({name for _, name, _ in EXAMPLES}) == blocks
    assert all(len(code.splitlines()) <= 26 for code, _, _ in EXAMPLES)
    modules = [name.removesuffix(".py") for _, name, printed in EXAMPLES if not printed]
    assert all(re.search(rf"^from {module} import |policy=\"{module}:", PAGE, re.MULTILINE) for module in modules)
