"""nbval runs every notebook and compares what comes out with what is committed; in a long run again with other values.

Pictures are not compared, nor cells tagged `nbval-ignore-output`, whose output holds times.
`test_structure.py` sees to it that enough is left. The second time is in the same kernel, as students do it who change
values at the top and run all cells again; none may fail, and no output is compared.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from tests.notebooks.structure import code_cells, tags

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

#: Other values for all parameters of each notebook.
OTHER_VALUES = {
    "00_start_here": {"SEED": 2718, "TASKS": 40, "PARTITIONS": 6, "WORKERS": 5},
    "01_topics_and_partitions": {"SEED": 2718, "KEYS": 400, "PARTITIONS": 6},
    "02_partition_distribution": {"SEED": 2718, "TASKS": 600, "PARTITIONS": 5},
    "03_worker_group": {"SEED": 2718, "TASKS": 40, "PARTITIONS": 6, "WORKERS": 5},
    "04_delivery_and_crashes": {"SEED": 2718, "TASKS": 36, "BATCH": 9, "DIES_AT": 6},
    "05_more_workers_than_partitions": {"SEED": 2718, "TASKS": 120, "KEYS": 50, "MOST": 8},
    "06_share_groups": {"SEED": 2718, "TASKS": 24, "MOST": 2, "LOCK": 1.5},
    "07_priority_starvation": {"SEED": 2718, "TASKS": 80, "SERVICE": 0.02, "URGENT": 0.6},
    "08_celery_bridge": {"SEED": 2718, "URGENT": 7, "ORDINARY": 30, "SERVICE_MS": 40},
    "09_backpressure": {"SEED": 2718, "THREADS": 3, "LIMIT": 15, "OVERLOAD": 1.4},
    "10_priority_dispatcher": {"SEED": 2718, "HIGH": 15, "LOW": 45, "SERVICE_MS": 40, "LIMIT": 1},
    "11_job_status": {"SEED": 2718, "JOBS": 80, "LATER": 15, "SERVICE_MS": 50, "PARTITIONS": 3},
    "12_message_api": {"SEED": 2718, "MESSAGES": 30, "DEATH": 0.3, "LEASE": 4.0},
}

#: Seconds for one cell, and for the start of its kernel, on a busy machine too.
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
        "tests.notebooks.nbval_plugin",
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-current-env",
    ]
    patience = [f"--nbval-cell-timeout={CELL_TIMEOUT}", f"--nbval-kernel-startup-timeout={CELL_TIMEOUT}"]
    options = [*patience, f"--junitxml={report}", "--color=no"]
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


def run_all(notebook: Path, report: Path, cells: int) -> None:
    """Run nbval; every cell has to come out as it should."""
    answer = nbval(notebook, report)
    assert answer.returncode == 0, answer.stdout[-6000:]
    assert cells_run(report) == cells


def with_other_values(path: Path) -> NotebookNode:
    """The notebook, and after its last cell all code cells once more, with other values."""
    others = OTHER_VALUES[path.stem]
    defaults = {name: ast.literal_eval(known["default"]) for name, known in papermill.inspect_notebook(path).items()}
    assert set(others) == set(defaults)
    assert not set(others.items()) & set(defaults.items())
    once = nbformat.read(path, as_version=4)
    again = code_cells(parameterize_notebook(load_notebook_node(str(path)), others))
    for number, cell in enumerate(again):
        cell.update(id=f"again-{number}", outputs=[], execution_count=None)
        cell.metadata.tags = [*tags(cell), "nbval-ignore-output"]
    once.cells += again
    return once


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("kernels_in_lab")
def test_the_committed_outputs_come_out_again(path: Path, tmp_path: Path) -> None:
    run_all(path, tmp_path / "report.xml", len(code_cells(nbformat.read(path, as_version=4))))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("kernels_in_lab")
def test_other_values_work_in_the_same_kernel(path: Path, tmp_path: Path) -> None:
    twice = tmp_path / path.name
    nbformat.write(with_other_values(path), twice)
    run_all(twice, tmp_path / "report.xml", 2 * len(code_cells(nbformat.read(path, as_version=4))) + 1)


def test_another_output_is_noticed(tmp_path: Path) -> None:
    right = new_output("execute_result", {"text/plain": "2"}, execution_count=1)
    wrong = new_output("execute_result", {"text/plain": "3"}, execution_count=2)
    cells = [
        new_code_cell("1 + 1", outputs=[right], execution_count=1),
        new_code_cell("1 + 1", outputs=[wrong], execution_count=2),
        new_code_cell("import sys; print('what was ' + 'said', file=sys.stderr)", execution_count=3),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "wrong.ipynb")
    answer = nbval(tmp_path / "wrong.ipynb", tmp_path / "report.xml")
    assert answer.returncode == 1
    assert "2 failed, 1 passed" in answer.stdout
    assert "what was said" in answer.stdout
