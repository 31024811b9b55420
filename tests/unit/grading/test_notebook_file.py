"""Whatever is handed in as a notebook is read in bounded time and memory, or is none for a reason that has a name."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn
from unittest.mock import MagicMock

import pytest

from labkit.errors import GradingFailed
from labkit.grading import notebook_file
from labkit.grading.notebook_file import MAX_CELLS, MAX_NOTEBOOK, Nbgrader, NotebookCell, read_notebook
from labkit.grading.question_verdict import Feedback
from tests.conditions import in_time
from tests.unit.grading.notebooks import cell, noted, write

HEAD = b'{"nbformat": 4, "metadata": {}, "cells": ['

ONE = b'{"cell_type": "code", "source": ""}'


def reason(file: Path) -> str:
    found = in_time(lambda: read_notebook(file))
    assert isinstance(found, Feedback), found
    assert found.hint
    return found.mistake


def test_the_cells_are_read(tmp_path: Path) -> None:
    cells = [cell("# Title", "markdown", ("a", "b")), noted("x = 1", "q1", solution=True), noted("1", "q1_c", points=2)]
    assert read_notebook(write(tmp_path / "a.ipynb", cells)) == (
        NotebookCell("markdown", "# Title", ("a", "b")),
        NotebookCell("code", "x = 1", nbgrader=Nbgrader("q1", solution=True)),
        NotebookCell("code", "1", nbgrader=Nbgrader("q1_c", grade=True, locked=True, points=2)),
    )


def test_lines_may_be_a_list_and_a_mark_of_the_byte_order_may_go_before(tmp_path: Path) -> None:
    file = write(tmp_path / "a.ipynb", [cell("")])
    content = json.loads(file.read_text())
    content["cells"][0]["source"] = ["a = 'ä'\n", "b"]
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(content, ensure_ascii=False).encode())
    assert read_notebook(file) == (NotebookCell("code", "a = 'ä'\nb"),)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (HEAD, "broken JSON"),
        (HEAD + b"]} and more", "broken JSON"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8"),
        (HEAD + b'{"cell_type": "code", "source": "\xff", "metadata": {}}]}', "not UTF-8"),
        ('{"nbformat": 4, "cells": []}'.encode("utf-16"), "not UTF-8"),
        (HEAD + b'{"cell_type": "code", "source": "\\ud800", "metadata": {}}]}', "broken JSON"),
        (b"[]", "no notebook"),
        (b"4", "no notebook"),
        (b'{"cells": []}', "no notebook"),
        (b'{"nbformat": 4}', "no notebook"),
        (b'{"nbformat": 4, "cells": {}}', "no notebook"),
        (b'{"nbformat": "4", "cells": []}', "no notebook"),
        (HEAD + b"5]}", "no notebook"),
        (HEAD + b'{"cell_type": "code"}]}', "no notebook"),
        (HEAD + b'{"cell_type": "code", "source": 5}]}', "no notebook"),
        (HEAD + b'{"cell_type": ["code"], "source": ""}]}', "no notebook"),
        (b'{"nbformat": 3, "worksheets": [{"cells": []}]}', "another format"),
        (b'{"nbformat": 5, "cells": []}', "another format"),
        (b'{"nbformat": 4, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "cells": []}', "too deep"),
        (b'{"a":' * 100_000, "too deep"),
        (
            HEAD + b'{"cell_type": "code", "source": ""},' * MAX_CELLS + b'{"cell_type": "", "source": ""}]}',
            "too many cells",
        ),
        (HEAD + b"]}" + b" " * MAX_NOTEBOOK, "too large"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value[:30]),
)
def test_what_is_no_notebook_has_a_name(tmp_path: Path, content: bytes, name: str) -> None:
    file = tmp_path / "a.ipynb"
    file.write_bytes(content)
    assert reason(file) == name


def test_outputs_are_not_taken_in(tmp_path: Path) -> None:
    cells = [cell("1") | {"outputs": [{"data": {"a": [[]] * 10_000, "text": "x" * 10**6, "n": 10**300}}]}]
    assert read_notebook(write(tmp_path / "a.ipynb", cells)) == (NotebookCell("code", "1"),)


@pytest.mark.parametrize(
    "metadata",
    ['{"nbgrader": 5}', '{"nbgrader": {"grade_id": 5}}', '{"nbgrader": {}}', '{"tags": {"a": 1}}', "{}"],
)
def test_metadata_that_nbgrader_did_not_write_counts_as_none(tmp_path: Path, metadata: str) -> None:
    file = tmp_path / "a.ipynb"
    file.write_bytes(HEAD + f'{{"cell_type": "code", "source": "x", "metadata": {metadata}}}]}}'.encode())
    assert read_notebook(file) == (NotebookCell("code", "x"),)


def test_a_link_is_no_notebook(tmp_path: Path) -> None:
    real = write(tmp_path / "real.ipynb", [])
    (tmp_path / "a.ipynb").symlink_to(real)
    (tmp_path / "b.ipynb").symlink_to("b.ipynb")
    assert reason(tmp_path / "a.ipynb") == reason(tmp_path / "b.ipynb") == "no file"


def test_what_is_no_file_is_no_notebook_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    names = ("fifo", "folder", "missing")
    assert {reason(tmp_path / f"{name}.ipynb") for name in names} == {"no file"}
    assert reason(Path("/dev/zero")) == "no file"


@pytest.mark.parametrize("what", ["open", "read"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE])
def test_what_the_machine_cannot_read_is_no_fault_of_the_notebook(tmp_path: Path, monkeypatch, what, number) -> None:
    file = write(tmp_path / "a.ipynb", [])

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    if what == "open":
        monkeypatch.setattr(os, "open", fail)
    else:
        opened = MagicMock()
        opened.return_value.__enter__.return_value.read = fail
        monkeypatch.setattr(notebook_file, "open", opened, raising=False)
    with pytest.raises(GradingFailed, match="This computer cannot read"):
        read_notebook(file)


#: Memory, in KiB, that reading may take beyond what was needed before.
SPARE = 160 * 1024
LOOK = """
import resource, sys
from pathlib import Path
from labkit.grading.notebook_file import read_notebook
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_notebook(Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "repeated",
    [b"{},", b'{"cell_type":"","source":""},', b'{"cell_type":"","source":["' + b'","' * 100_000 + b'"]},'],
    ids=["objects", "cells", "lines"],
)
def test_what_unfolds_in_memory_takes_ten_times_its_size_at_most(tmp_path: Path, repeated: bytes) -> None:
    file = tmp_path / "a.ipynb"
    last = b'{"cell_type": "code", "source": ""}]}'
    count = (MAX_NOTEBOOK - len(HEAD) - len(last)) // len(repeated)
    file.write_bytes(HEAD + repeated * count + last)
    used = subprocess.run([sys.executable, "-c", LOOK, file], capture_output=True, text=True, check=True).stdout
    assert int(used) < SPARE
