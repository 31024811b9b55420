"""The cells of a release, by which a notebook is known to be of its assignment."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.grading.notebook_file import NotebookCell, cells_of
from labkit.grading.question_verdict import Feedback


class ReleasedCells:
    """The cells of a release. Where nbgrader knows none of them, every notebook may be of the assignment."""

    def __init__(self, cells: Iterable[NotebookCell]) -> None:
        noted = list(cells)
        self._ids = {cell.nbgrader.grade_id for cell in noted if cell.nbgrader}
        self._texts = _texts(noted)

    def stand_in(self, content: bytes) -> bool:
        """Whether these bytes look like the assignment: they are a notebook with some of its grade_ids, and with half
        of its texts at least. The ids tell little: most assignments have a cell q1 and a check of it.
        """
        if not self._ids:
            return True
        cells = cells_of(content)
        if isinstance(cells, Feedback) or not any(
            cell.nbgrader and cell.nbgrader.grade_id in self._ids for cell in cells
        ):
            return False
        return 2 * len(self._texts & _texts(cells)) >= len(self._texts)


def _texts(cells: Iterable[NotebookCell]) -> set[str]:
    """What stands in the cells that are not for answers; blanks and ends of lines differ between programs."""
    given = (cell for cell in cells if cell.nbgrader is None or not cell.nbgrader.solution)
    return {" ".join(cell.source.split()) for cell in given}
