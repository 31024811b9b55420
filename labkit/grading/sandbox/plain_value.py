"""Plain values: what student code may hand back, looked at in the process that trusts it not."""

from __future__ import annotations

from labkit.grading.sandbox.kernel_program import MAX_DEPTH, MAX_PARTS


def fault_of(value: object) -> str | None:
    """Why this value of JSON is no plain value, in a sentence; nothing if it is one.

    It may have so many parts, may be nested so deep, and its text can be written as UTF-8.
    """
    left, level = MAX_PARTS, [value]
    for _ in range(MAX_DEPTH + 1):
        left -= len(level)
        if left < 0:
            return f"The value has more than {MAX_PARTS} parts."
        if not all(_is_text(part) for part in level if isinstance(part, str)):
            return "The value holds text that is no Unicode."
        deeper: list[object] = []
        for part in level:
            if isinstance(part, dict):
                if not all(map(_is_text, part)):
                    return "The value holds text that is no Unicode."
                deeper += part.values()
            elif isinstance(part, list):
                deeper += part
        if not deeper:
            return None
        level = deeper
    return f"The value is nested deeper than {MAX_DEPTH} levels."


def _is_text(text: str) -> bool:
    """Whether no half of a surrogate pair is in it, which cannot be printed."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
