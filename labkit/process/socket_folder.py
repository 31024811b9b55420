"""A folder for Unix sockets: nobody else may look into it, and its path is short enough for what stands there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from labkit.temporary_folder import SUFFIX, temporary_folder

#: What a Unix socket's path may be long at most, in bytes (unix(7)).
LONGEST_PATH = 107
#: What the folders are for.
WHAT = "sockets"
#: What the name of a socket there may be long at most.
LONGEST_NAME = 3


def make_socket_folder() -> Path:
    """A new folder in the one for temporary files, or in `/tmp` if that has too long a path; the caller ends it
    by `remove_folder`."""
    usual = Path(tempfile.gettempdir())
    fits = len(os.fsencode(usual)) + len(f"/{WHAT}-12345678{SUFFIX}/") + LONGEST_NAME <= LONGEST_PATH
    return temporary_folder(WHAT, usual if fits else Path("/tmp"))  # noqa: S108
