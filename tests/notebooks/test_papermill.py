"""papermill runs notebooks: in sequence as `make notebooks` does, and with other parameters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from labkit.errors import NotebookFailed, UnknownParameter
from labkit.experiments.notebooks import run_notebook
from labkit.measure.records import read_records
from tests.notebooks.structure import code_cells, tags

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

#: Two that have pictures for the project: nbval runs every notebook with its own values anyway.
SEQUENCE = [path for path in NOTEBOOKS if path.stem[:2] in ("00", "05")]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("kernels_in_lab")
def test_a_sequence_leaves_copies_records_figures_and_pictures(tmp_path: Path) -> None:
    results, images = tmp_path / "results", tmp_path / "images"
    command = [sys.executable, "-m", "labkit", "notebooks", *SEQUENCE, "--out", results, "--images", images]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    assert str(results) in answer.stdout.replace("\n", "")
    for path in SEQUENCE:
        executed = nbformat.read(results / path.name, as_version=4)
        assert all(cell.execution_count for cell in code_cells(executed))
        assert list((results / "figures").glob(f"{path.stem}-*.png"))
    records = read_records(*(results / "records").glob("*/*.parquet"))
    assert (records["outcome"] == "done").sum() > 40
    wanted = {tag.removeprefix("image:") for path in SEQUENCE for tag in pictures_of(path)}
    assert {path.stem for path in images.iterdir()} == wanted


def pictures_of(path: Path) -> list[str]:
    cells = code_cells(nbformat.read(path, as_version=4))
    return [tag for cell in cells for tag in tags(cell) if tag.startswith("image:")]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("kernels_in_lab")
def test_other_parameters_are_put_in(tmp_path: Path) -> None:
    others = {"SEED": 2718, "WORKERS": 5}
    path = ROOT / "notebooks" / "00_start_here.ipynb"
    run = run_notebook(path, tmp_path, parameters=others)
    executed = nbformat.read(run.executed, as_version=4)
    cells = code_cells(executed)
    (injected,) = [cell for cell in cells if "injected-parameters" in tags(cell)]
    assert all(f"{name} = {value}" in injected.source for name, value in others.items())
    assert all(cell.execution_count for cell in cells)
    assert run.figures


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A notebook that fails when DIVISOR is 0."""
    cells = [new_code_cell("DIVISOR = 1", metadata={"tags": ["parameters"]}), new_code_cell("1 / DIVISOR")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "tiny.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def test_an_unknown_parameter_is_refused_before_anything_runs(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownParameter, match=r"tiny.ipynb has no parameter DIVISR; it has DIVISOR\."):
        run_notebook(tiny, tmp_path / "results", parameters={"DIVISR": 2})
    assert not (tmp_path / "results").exists()


def test_a_failing_cell_is_named_and_the_copy_shows_it(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(NotebookFailed, match=r"tiny.ipynb, cell \[3\]: ZeroDivisionError: division by zero\."):
        run_notebook(tiny, tmp_path / "results", parameters={"DIVISOR": 0})
    executed = nbformat.read(tmp_path / "results" / "tiny.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].ename == "ZeroDivisionError"
