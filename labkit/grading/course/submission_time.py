"""When a submission was handed in: nbgrader writes it into a file beside the notebook."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from labkit.whole_file import whole_file

#: The file's name.
TIMESTAMP = "timestamp.txt"


def read_timestamp(folder: Path) -> datetime | None:
    """When what lies in the folder was handed in; nothing if that is not known."""
    try:
        with (folder / TIMESTAMP).open(encoding="utf-8") as file:
            return timestamp_of(file.read(100))
    except (OSError, UnicodeDecodeError):
        return None


def timestamp_of(text: str) -> datetime | None:
    """The time that a text in nbgrader's words tells, which is UTC unless it says so; nothing if it tells none."""
    from nbgrader.utils import parse_utc  # nbgrader takes seconds to import

    try:
        moment = parse_utc(text.strip()) if text.strip() else None
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) else None


def write_timestamp(folder: Path, moment: datetime) -> None:
    """Note it for nbgrader. Raises `OSError`."""
    with whole_file(folder / TIMESTAMP) as part:
        part.write_text(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC", encoding="utf-8")
