"""JSON that a student's code has written."""

from __future__ import annotations

import json


def read_json(text: str) -> object:
    """The value; raises `ValueError` for what is no JSON, or is nested too deeply to be read."""
    try:
        value: object = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value
