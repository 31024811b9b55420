"""What only the tests need of the system, installed by the system's package manager."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox.contract import Backend


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


def provide_sandbox(name: str, program: str, commands: Mapping[str, Sequence[str]], backend: Backend) -> None:
    """Install what this kind of sandbox needs by these commands, where its program is not there and this is Linux.

    Ends the program where none can be made then, and says why.
    """
    if sys.platform == "linux" and shutil.which(program) is None:
        install(commands, otherwise=f"install {name} by hand", failed=f"{name} is not installed")
    try:
        backend.check()
    except SandboxUnavailable as error:
        raise SystemExit(f"labkit: {error}") from None
