"""The names of settings: which of those that are given are none, and which ones are meant."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from functools import cache

from labkit.errors import SettingsError

logger = logging.getLogger(__name__)

#: How every setting begins, in the environment and in `.env`.
PREFIX = "LABKIT_"
_HEAD = PREFIX.rstrip("_")
#: What stands in the environment for labkit's own tests.
_OF_TESTS = PREFIX + "TEST_"

#: How alike two names are of which one is taken for the other mistyped, two short ones (of so many letters), and two
#: words before the first `_`. Others set names of their own, as Kubernetes for a service: `LABKIT_API_SERVICE_PORT`.
_ALIKE, _SHORT_ALIKE, _SHORT, _HEADS_ALIKE = 0.8, 0.65, 5, 0.8
#: A name that is thought of for the setting on which most hangs.
_THOUGHT_OF = {"LAB_NAME": "LAB"}


def check_names(given: Iterable[tuple[str, str]], known: Collection[str]) -> None:
    """Say of these names, each with its place in words, which are none of the known ones (without the prefix).

    One that is nearly a setting's would have no effect, so that `labkit reset` would empty another lab than the one
    that is meant: it raises `SettingsError`, as does one that is given twice in one place. Others are a warning, once
    in a process.
    """
    seen: dict[tuple[str, str], str] = {}
    for name, place in given:
        full = name.upper()
        if full.removeprefix(PREFIX) in known and full.startswith(PREFIX):
            other = seen.setdefault((full, place), name)
            if other != name:
                raise SettingsError(f"{full} is given twice {place}, as {other} and as {name}. Delete one of them.")
        elif not full.startswith(_OF_TESTS):
            meant = _meant(full, known)
            if meant is not None:
                raise SettingsError(
                    f"{name} {place} is no setting of labkit. Did you mean {PREFIX}{meant}? Write that, or delete it."
                )
            if full.startswith(PREFIX):
                _warn(f"{name} {place} is no setting of labkit and has no effect. `.env.example` lists every setting.")


def _meant(full: str, known: Collection[str]) -> str | None:
    """The setting that this name, which is none, looks like."""
    if full.startswith(PREFIX):
        name = full.removeprefix(PREFIX)
        close = get_close_matches(name, known, n=1, cutoff=_SHORT_ALIKE if len(name) <= _SHORT else _ALIKE)
        fits = (one for one in close if _words(one) >= _words(name) or one.replace("_", "") == name.replace("_", ""))
        return next(fits, _THOUGHT_OF.get(name))
    head, _, name = full.partition("_")
    if full.startswith(_HEAD):
        name = full.removeprefix(_HEAD).lstrip("-.")  # LABKIT-LAB, LABKITLAB
    elif not get_close_matches(head, [_HEAD], cutoff=_HEADS_ALIKE):
        return None
    return name if name in known else None


def _words(name: str) -> int:
    return sum(1 for word in name.split("_") if word)


@cache  # once in a process
def _warn(sentence: str) -> None:
    logger.warning("%s", sentence)
