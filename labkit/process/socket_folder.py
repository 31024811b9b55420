"""A folder for Unix sockets: nobody else may look into it, and its path is short enough for what stands there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

#: What a Unix socket's path may be long at most, in bytes (unix(7)).
LONGEST_PATH = 107
#: What the names of the folders begin with.
PREFIX = "labkit-sockets-"
#: What the name of a socket there may be long at most.
LONGEST_NAME = 3


def make_socket_folder() -> Path:
    """A new folder in the one for temporary files, or in `/tmp` if that has too long a path; the caller deletes it."""
    usual = Path(tempfile.gettempdir())
    fits = len(os.fsencode(usual)) + len(f"/{PREFIX}12345678/") + LONGEST_NAME <= LONGEST_PATH
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=usual if fits else "/tmp"))  # noqa: S108
