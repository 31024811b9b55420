"""In a notebook an error of labkit is the user's own line and the message; a program has its whole traceback."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from labkit.errors import LabkitError

RAISES = """from labkit import make_policy

def chosen():
    return make_policy("strikt")

chosen()
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The tracebacks of cells in a real kernel."""
    cells = [
        RAISES,
        "%tb",
        "from labkit.errors import LabkitError\nraise LabkitError('a\\x1b[2J\\u202eb')",
        "1 / 0",
        "try:\n    chosen()\nexcept LabkitError as error:\n    error.add_note('and the end')\n    raise",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        book,
        timeout=120,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}},
    )
    client.execute()
    return [[out for out in cell.outputs if out.output_type == "error"] for cell in book.cells]


def test_it_is_the_users_line_and_the_message(outputs):
    (shown,) = outputs[0]
    said = "\n".join(shown.traceback)
    assert shown.ename == "SettingsError"
    assert said.startswith('Cell In[1], line 4\n----> 4 return make_policy("strikt")\n')
    assert f"SettingsError: {shown.evalue}" in said
    assert "registry.py" not in said


def test_the_rest_is_shown_on_request(outputs):
    said = "\n".join(outputs[1][0].traceback)
    assert "registry.py" in said
    assert "%tb" in "\n".join(outputs[0][0].traceback)


def test_nothing_in_a_message_is_obeyed(outputs):
    said = "\n".join(outputs[2][0].traceback)
    assert "a\\x1b[2J\\u202eb" in said
    assert "\x1b[2J" not in said


def test_other_errors_look_as_ever(outputs):
    assert "ZeroDivisionError" in "\n".join(outputs[3][0].traceback)
    assert "%tb" not in "\n".join(outputs[3][0].traceback)


def test_what_was_added_to_the_error_is_shown_too(outputs):
    assert "\nand the end\n" in "\n".join(outputs[4][0].traceback)


def test_a_program_has_its_traceback(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(RAISES)
    ended = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback (most recent call last):\n")
    assert "registry.py" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("labkit.errors.SettingsError: ")


def test_an_error_that_nobody_has_raised_is_shown_as_python_does():
    assert LabkitError("a")._render_traceback_() == ["labkit.errors.LabkitError: a"]
