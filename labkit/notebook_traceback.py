"""What a notebook shows of an error that a user can mend: the user's own line, and what the error says."""

from __future__ import annotations

import linecache
import sys
import traceback
from pathlib import Path
from sysconfig import get_paths
from types import TracebackType

from labkit.plain_text import lines

#: Where labkit's own code is.
_OWN = Path(__file__).parent


class ShortInNotebook(Exception):
    """An error of which IPython shows no more than whoever wrote the cell can use; programs see it as any other."""

    _is_shown = False

    def _render_traceback_(self) -> list[str]:
        """What IPython is to show, by its own protocol; the second time, when `%tb` asks for it, all there is."""
        place = None if self._is_shown else _users_place(self.__traceback__)
        self._is_shown = True
        if place is None:
            return lines("".join(traceback.format_exception(self)).rstrip("\n")).split("\n")
        name, line = place
        source = linecache.getline(name, line).strip()
        return [
            f"{_cell_name(name)}, line {line}",
            f"----> {line} {lines(source)}",
            "",
            f"{type(self).__name__}: {lines(str(self))}",
            *(lines(note) for note in getattr(self, "__notes__", ())),
            "",
            "`%tb` in a cell of its own shows the whole traceback.",
        ]


def _users_place(trace: TracebackType | None) -> tuple[str, int] | None:
    """The file and the line of the user's code from which labkit was called first, if there is one."""
    found, libraries = None, tuple(get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    for frame, line in traceback.walk_tb(trace):
        name = frame.f_code.co_filename
        if Path(name).is_relative_to(_OWN):
            break
        if not name.startswith(libraries):
            found = name, line
    return found


def _cell_name(name: str) -> str:
    """As IPython calls a cell, `Cell In[3]`, or the name of a file."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    named = None if shell is None else shell.compile.format_code_name(name)
    return " ".join(named) if named is not None else name
