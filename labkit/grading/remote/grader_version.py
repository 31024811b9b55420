"""The version of a grader: the same on two computers only where both would grade in the same way."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import labkit


@cache  # nobody changes it under way
def grader_version() -> str:
    """Labkit's number, and a digest: of its modules, since a clone may be ahead of its number, and of what runs
    students' code with it, Python and the packages that labkit needs. Such as "0.1.0+1a2b3c4d".
    """
    root, found = Path(labkit.__file__).parent, sha256()
    for module in sorted(root.rglob("*.py")):
        content = module.read_bytes()
        found.update(f"{module.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    found.update("\0".join(_surroundings()).encode())
    return f"{version('labkit')}+{found.hexdigest()[:8]}"


def _surroundings() -> Iterator[str]:
    yield "python {}.{}".format(*sys.version_info)
    for need in sorted(requires("labkit") or ()):
        if "extra ==" in need and "notebooks" not in need:  # not for students' code
            continue
        name = re.split(r"[^\w.-]", need, maxsplit=1)[0]
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:  # it is for another system
            yield name
