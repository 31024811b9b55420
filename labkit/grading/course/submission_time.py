"""When a submission was handed in: nbgrader writes it into a file beside the notebook."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from labkit.grading.notebook_file import read_content
from labkit.grading.question_verdict import Feedback
from labkit.whole_file import whole_file

#: The file's name.
TIMESTAMP = "timestamp.txt"

_TEXT = re.compile(
    r"(?P<moment>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?) ?"
    r"(?:(?P<offset>Z|[+-]\d\d:?\d\d)|(?P<zone>[A-Z][\w/]*))?"
)


def read_timestamp(folder: Path) -> datetime | None:
    """When what lies in the folder was handed in; nothing if that is not known."""
    content = read_content(folder / TIMESTAMP)
    try:
        return None if isinstance(content, Feedback) else timestamp_of(content[:100].decode())
    except UnicodeDecodeError:
        return None


def timestamp_of(text: str) -> datetime | None:
    """The time that a text tells, as nbgrader writes it, in UTC unless it names a zone; nothing if it tells none."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(found["moment"] + (found["offset"] or ""))
        zone = ZoneInfo(found["zone"] or "UTC")
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError, ZoneInfoNotFoundError):
        return None


def write_timestamp(folder: Path, moment: datetime) -> None:
    """Note it for nbgrader. Raises `OSError`."""
    with whole_file(folder / TIMESTAMP) as part:
        part.write_text(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC", encoding="utf-8")
