"""The notebook that is graded by hand, and from which nbgrader makes the feedback: the release with this student's
answers, and a picture of each run that went wrong.

So it is a sound notebook whatever was handed in, and no output of a student's gets into an instructor's browser.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from labkit.grading.assignment_folder import CHECK, NOT_GRADED, STUDENT
from labkit.grading.check_report import feedback_lines
from labkit.grading.course.submission_time import TIMESTAMP
from labkit.grading.grader import Report
from labkit.grading.notebook_file import MAX_SOURCE, NotebookCell
from labkit.grading.run_timeline import RunTimeline
from labkit.whole_file import whole_file

Cell = dict[str, Any]

#: The most cells of a student's own that are shown, and how much of each and of a written answer, in characters: what
#: is meant to be hard to read as Markdown takes a time that grows with its square.
MOST_ADDED, MOST_TEXT = 50, 20_000
_CUT = "\n\n[…] It is longer: see the file that was handed in."
#: How wide a picture is shown, in pixels: a page of nbgrader's has so much on a small screen.
PICTURE_WIDTH = 620
#: The minor version of nbformat 4 since which each cell has an id.
_WITH_IDS = 5


def write_graded(released: Path, submitted: Sequence[NotebookCell], report: Report, folder: Path) -> Path:
    """Write the notebook into this folder, with the time at which the submission came. `released` is the notebook of
    the release. Returns the file; raises `OSError`.
    """
    notebook = json.loads(released.read_text(encoding="utf-8"))
    given = {_text(cell).strip() for cell in notebook["cells"]}
    theirs: defaultdict[str, list[str]] = defaultdict(list)
    for cell in submitted:
        if cell.nbgrader is not None:
            theirs[cell.nbgrader.grade_id].append(cell.source)
    for cell in notebook["cells"]:
        note = cell["metadata"].get("nbgrader", {})
        if note.get("solution") and note["grade_id"] in theirs:
            cell["source"] = _answer(cell, theirs[note["grade_id"]])
        elif STUDENT in cell["metadata"].get("tags", ()):
            cell["source"] = f"STUDENT = {report.student!r}"
    _show_runs(notebook["cells"], report)
    notes = [line for note in report.notes for line in feedback_lines(note)]
    if notes:
        notebook["cells"].insert(0, _said("Of the whole notebook:", textwrap.dedent("\n".join(notes))))
    notebook["cells"] += _added(submitted, given)
    if notebook["nbformat_minor"] >= _WITH_IDS:
        for number, cell in enumerate(notebook["cells"]):
            cell.setdefault("id", f"labkit-{number}")
    file = folder / released.name
    with whole_file(file) as part:
        part.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def copy_timestamp(source: Path, folder: Path) -> None:
    """The time stands beside the notebook again, for nbgrader; nothing where it is not known."""
    (folder / TIMESTAMP).unlink(missing_ok=True)
    if (source / TIMESTAMP).is_file():
        shutil.copyfile(source / TIMESTAMP, folder / TIMESTAMP)


def _answer(cell: Cell, found: Sequence[str]) -> str:
    """What the student has written; of several cells that bear the name, all that differ."""
    released = _text(cell).strip()
    changed = list(dict.fromkeys(text for text in found if text.strip() != released))
    rule = "\n\n# ---- another cell of this name ----\n\n" if cell["cell_type"] == "code" else "\n\n---\n\n"
    longest = MAX_SOURCE if cell["cell_type"] == "code" else MOST_TEXT
    text = rule.join(changed) or _text(cell)
    return text if len(text) <= longest else text[:longest] + _CUT


def _added(submitted: Sequence[NotebookCell], given: set[str]) -> Iterator[Cell]:
    own = [
        cell
        for cell in submitted
        if cell.nbgrader is None
        and cell.source.strip()
        and cell.source.strip() not in given
        and not {STUDENT, NOT_GRADED} & set(cell.tags)
    ]
    if own:
        yield _said("Cells that were added, and are not graded:", "")
    for cell in own[:MOST_ADDED]:
        yield _said("", cell.source[:MOST_TEXT])


def _show_runs(cells: Sequence[Cell], report: Report) -> None:
    """Beneath the cell with the checks of a question: who had which task when, where that went wrong."""
    by_id = {cell["metadata"].get("nbgrader", {}).get("grade_id"): cell for cell in cells}
    for verdict in report.verdicts:
        cell = by_id.get(f"{verdict.question}{CHECK}")
        if verdict.timeline and verdict.state != "right" and cell and cell["cell_type"] == "code":
            cell["outputs"] = [_picture(verdict.timeline, verdict.question)]


def _picture(timeline: RunTimeline, question: str) -> dict[str, Any]:
    """A cell's output."""
    from labkit.grading.timeline_figure import draw_timeline

    png = BytesIO()
    draw_timeline(timeline, title=question).savefig(png, format="png")
    return {
        "output_type": "display_data",
        "metadata": {"image/png": {"alt": f"{question}: which worker had which task when", "width": PICTURE_WIDTH}},
        "data": {"image/png": b64encode(png.getvalue()).decode()},
    }


def _said(heading: str, block: str) -> Cell:
    """A cell that is shown and none that is run."""
    return {
        "cell_type": "markdown",
        "metadata": {},
        "source": f"{heading}\n\n{textwrap.indent(block, '    ')}".strip("\n"),
    }


def _text(cell: Cell) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)
