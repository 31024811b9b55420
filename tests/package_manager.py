"""What only the tests need of the system, installed by the system's package manager."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence


def install(commands: Mapping[str, Sequence[str]], *, otherwise: str, failed: str) -> None:
    """Run the commands for the first of these package managers that is on this machine, as root.

    Ends the program where there is none, and says what to do `otherwise`; and where a command has `failed`, with that.
    """
    manager = next(filter(shutil.which, commands), None)
    if manager is None:
        raise SystemExit(f"labkit: none of {', '.join(commands)} is on this machine, so {otherwise}")
    needs_root = manager != "brew" and os.geteuid() != 0
    for command in commands[manager]:
        words = [*(["sudo"] if needs_root else []), *command.split()]
        if subprocess.run(words, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, check=False).returncode:
            raise SystemExit(f"labkit: this did not work, so {failed}: {' '.join(words)}")
