"""The cells of a release, by which a notebook is known to be of its assignment."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.grading.notebook_file import NotebookCell, cells_of
from labkit.grading.question_verdict import Feedback


class ReleasedCells:
    """Those cells of a release that nbgrader knows. Where there are none, every notebook may be of the assignment."""

    def __init__(self, cells: Iterable[NotebookCell]) -> None:
        noted = list(cells)
        self._ids = {cell.nbgrader.grade_id for cell in noted if cell.nbgrader}
        self._locked = _locked(noted)

    def stand_in(self, content: bytes) -> bool:
        """Whether these bytes look like the assignment: they are a notebook with some of its grade_ids, and with half
        of its locked cells at least. That takes the text, too: most assignments have a cell q1 and a check of it.
        """
        if not self._ids:
            return True
        cells = cells_of(content)
        if isinstance(cells, Feedback) or not any(
            cell.nbgrader and cell.nbgrader.grade_id in self._ids for cell in cells
        ):
            return False
        return 2 * len(self._locked & _locked(cells)) >= len(self._locked)


def _locked(cells: Iterable[NotebookCell]) -> set[tuple[str, str]]:
    """The locked cells by their ids and words; blanks and ends of lines differ between programs."""
    return {
        (cell.nbgrader.grade_id, " ".join(cell.source.split()))
        for cell in cells
        if cell.nbgrader and cell.nbgrader.locked
    }
