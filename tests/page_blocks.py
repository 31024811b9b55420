"""The fenced blocks of the pages that a reader follows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """`printed` is what stands below a program as its output; `file` the name in its first line, where it has one."""

    page: str
    language: str
    code: str
    printed: str | None
    file: str | None

    @property
    def name(self) -> str:
        """Its page, and its file or else its first line."""
        return f"{self.page}: {self.file or self.code.splitlines()[0]}"


def _blocks(page: Path) -> list[Block]:
    found = []
    for language, code, printed in _BLOCK.findall(page.read_text(encoding="utf-8")):
        named = re.match(r"# (\w+\.py)\n", code)
        found.append(
            Block(page.relative_to(ROOT).as_posix(), language, code, printed or None, named.group(1) if named else None)
        )
    return found


BLOCKS = [block for page in PAGES for block in _blocks(page)]


def write_files(page: str, folder: Path) -> None:
    """Put the named files of this page into a folder, as its reader would."""
    for block in BLOCKS:
        if block.page == page and block.file:
            (folder / block.file).write_text(block.code, encoding="utf-8")
