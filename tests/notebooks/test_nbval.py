"""nbval runs every notebook and compares what comes out with what is committed.

Pictures are not compared, nor cells tagged `nbval-ignore-output`, whose output holds times.
`test_structure.py` sees to it that enough is left.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.notebooks.structure import code_cells

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

#: Seconds for one cell, on a busy machine too.
CELL_TIMEOUT = 300


def nbval(notebook: Path, report: Path) -> subprocess.CompletedProcess[str]:
    """Run nbval in a process of its own; each cell becomes a test case in the report (JUnit XML).

    Without the other plugins and the project's settings: to import them takes seconds of a processor's time.
    """
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "nbval",
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-current-env",
    ]
    options = [f"--nbval-cell-timeout={CELL_TIMEOUT}", f"--junitxml={report}", "--color=no"]
    return subprocess.run(
        [*command, *options, "-c", os.devnull, f"--rootdir={ROOT}", str(notebook)],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def cells_run(report: Path) -> int:
    return sum(int(suite.get("tests", 0)) for suite in ET.parse(report).getroot().iter("testsuite"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("kernels_in_lab")
def test_the_committed_outputs_come_out_again(path: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    answer = nbval(path, report)
    assert answer.returncode == 0, answer.stdout[-6000:]
    assert cells_run(report) == len(code_cells(nbformat.read(path, as_version=4)))


def test_another_output_is_noticed(tmp_path: Path) -> None:
    right = new_output("execute_result", {"text/plain": "2"}, execution_count=1)
    wrong = new_output("execute_result", {"text/plain": "3"}, execution_count=2)
    cells = [
        new_code_cell("1 + 1", outputs=[right], execution_count=1),
        new_code_cell("1 + 1", outputs=[wrong], execution_count=2),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "wrong.ipynb")
    answer = nbval(tmp_path / "wrong.ipynb", tmp_path / "report.xml")
    assert answer.returncode == 1
    assert "1 failed, 1 passed" in answer.stdout
