"""Every notebook follows the rules, and the rules catch a notebook that does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.notebooks.structure import MOST_LINES, RHYTHM, code_cells, faults, tags

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_the_sequence_is_complete_and_numbered() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "00_start_here",
        "01_topics_and_partitions",
        "02_partition_distribution",
        "03_worker_group",
        "04_delivery_and_crashes",
        "05_more_workers_than_partitions",
        "06_share_groups",
        "07_priority_starvation",
        "08_celery_bridge",
        "09_backpressure",
        "10_priority_dispatcher",
        "11_job_status",
        "12_message_api",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_follows_the_rules(path: Path) -> None:
    assert faults(path) == []


def test_the_pictures_of_the_project_come_from_the_notebooks() -> None:
    drawn = {
        tag.removeprefix("image:")
        for path in NOTEBOOKS
        for cell in code_cells(nbformat.read(path, as_version=4))
        for tag in tags(cell)
        if tag.startswith("image:")
    }
    assert {"producer_output", "worker_output"} <= drawn
    assert {path.stem for path in (ROOT / "images").glob("*.png")} == drawn


# --- a tiny notebook that follows the rules, and one way after the other to break them

TEXT = new_output("execute_result", {"text/plain": "42"}, execution_count=1)
PNG = new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})


def good_notebook() -> Any:
    cells = [new_markdown_cell("# One title\n\n**The question: is it so?**")]
    for heading in RHYTHM:
        cells.append(new_markdown_cell(f"## {heading}\nIt is so."))
        if heading == "Your prediction":
            cells.append(new_code_cell("SEED = 7\nWORKERS = 3", metadata={"tags": ["parameters"]}))
            cells.append(new_code_cell("prediction = 42\nprediction", outputs=[TEXT]))
        elif heading == "Run":
            cells.append(new_code_cell("number = 42\nnumber", outputs=[TEXT]))
        elif heading == "The figure and the number":
            cells.append(new_code_cell("assert prediction == number\nnumber", outputs=[PNG, TEXT]))
        elif heading == "Change one thing":
            cells.append(new_code_cell("number + 1", outputs=[TEXT]))
            cells.append(new_markdown_cell("One more."))
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = count
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def faults_of(notebook: Any, folder: Path) -> list[str]:
    path = folder / "00_only.ipynb"
    nbformat.write(notebook, path)
    return faults(path)


def test_a_good_notebook_has_no_fault(tmp_path: Path) -> None:
    assert faults_of(good_notebook(), tmp_path) == []


def in_code(number: int, **changes: Any) -> Callable[[Any], None]:
    return lambda notebook: code_cells(notebook)[number].update(changes)


def with_text(number: int, source: str) -> Callable[[Any], None]:
    return lambda notebook: notebook.cells[number].update(source=source)


def with_output(text: str, name: str = "stdout") -> Callable[[Any], None]:
    return in_code(4, outputs=[new_output("stream", name=name, text=text)])


def without_outputs(notebook: Any) -> None:
    for cell in code_cells(notebook):
        cell.outputs = []


def with_swapped_sections(notebook: Any) -> None:
    cells = notebook.cells
    run = next(index for index, cell in enumerate(cells) if cell.source.startswith("## Run"))
    cells[1].source, cells[run].source = cells[run].source, cells[1].source


BROKEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "too few cells": (lambda notebook: notebook.cells.pop(), "14 cells"),
    "too many cells": (lambda notebook: notebook.cells.extend(new_markdown_cell("x") for _ in range(20)), "35 cells"),
    "too large": (with_text(0, "# Title\n" + "x" * 700_000), "more than 600000"),
    "no title": (with_text(0, "A title"), "not a title"),
    "headings out of order": (with_swapped_sections, "the headings are"),
    "no question": (with_text(0, "# Title"), "asks no question"),
    "another kernel": (lambda notebook: notebook.metadata.kernelspec.update(name="mine"), "not python3"),
    "an executed copy": (lambda notebook: notebook.metadata.update(papermill={}), "executed copy"),
    "a magic": (in_code(4, source="%time 1"), "not plain Python"),
    "a long cell": (in_code(4, source="x = 1\n" * (MOST_LINES + 1)), "lines, not 1 to"),
    "an expected error": (in_code(4, metadata={"tags": ["raises-exception"]}), "the tag raises-exception"),
    "no parameters": (in_code(0, metadata={}), "0 cells are tagged"),
    "no seed": (in_code(0, source="WORKERS = 3"), "no SEED"),
    "two seeds": (in_code(4, source="SEED = 8"), "more than once"),
    "work among the parameters": (in_code(0, source="SEED = 7\nimport labkit"), "more than values"),
    "no prediction": (in_code(1, source="guess = 42"), "no variable for the prediction"),
    "prediction not used": (in_code(3, source="assert number"), "not compared with the number"),
    "nothing run": (lambda notebook: notebook.cells.remove(code_cells(notebook)[2]), "nothing is run"),
    "no figure": (in_code(3, outputs=[TEXT]), "there is no figure"),
    "no assertion": (in_code(3, source="prediction == number"), "nothing is asserted"),
    "not run": (in_code(4, execution_count=None), "from top to bottom"),
    "run twice": (in_code(4, execution_count=9), "from top to bottom"),
    "stripped": (without_outputs, "that nbval compares"),
    "all ignored": (
        lambda notebook: [cell.metadata.update(tags=["nbval-ignore-output"]) for cell in code_cells(notebook)],
        "that nbval compares",
    ),
    "an error": (in_code(4, outputs=[new_output("error", ename="E", evalue="", traceback=[])]), "is an error"),
    "stderr": (with_output("hm", name="stderr"), "is on stderr"),
    "a warning": (with_output("x.py:1: UserWarning: hm"), "holds a warning"),
    "a traceback": (with_output("Traceback (most recent call last)"), "holds a traceback"),
    "a path in the output": (with_output("written to /home/ada/results"), "holds an absolute path"),
    "a path in the code": (in_code(4, source="open('/tmp/x')"), "names an absolute path"),
    "made on a busy computer": (with_output("The computer was busy with something else."), "computer was busy"),
    "busy or not, compared": (in_code(4, source="print('The computer was busy with something else.')"), "compares it"),
    "svg": (in_code(4, outputs=[new_output("display_data", {"image/svg+xml": "<svg/>"})]), "is SVG"),
    "a dead link": (with_text(2, "## Your prediction\n[see](nowhere.md)"), "leads nowhere"),
    "an unknown notebook": (with_text(1, "## What to know\nSee notebook 77."), "notebook 77"),
    "a wrong neighbour": (with_text(1, "## What to know\nNext: [x](00_only.ipynb)"), "Next leads to"),
    "workers soon held for dead": (in_code(4, source="group(session_timeout=1.5)"), "loses workers that live"),
    "a server of everybody killed": (in_code(4, source="lab.kill_redis()"), "other notebooks may use"),
    "a printing thread": (in_code(4, source="def handle(task):\n    print(task)"), "prints inside a function"),
}


@pytest.mark.parametrize(("break_it", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_found(tmp_path: Path, break_it: Callable[[Any], Any], said: str) -> None:
    notebook = good_notebook()
    break_it(notebook)
    found = faults_of(notebook, tmp_path)
    assert any(said in fault for fault in found), found


def test_the_neighbours_must_be_linked(tmp_path: Path) -> None:
    nbformat.write(good_notebook(), tmp_path / "01_other.ipynb")
    assert faults_of(good_notebook(), tmp_path) == ["Next leads to [], not to ['01_other.ipynb']"]
    assert faults(tmp_path / "01_other.ipynb") == ["Before leads to [], not to ['00_only.ipynb']"]
