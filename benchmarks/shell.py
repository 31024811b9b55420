"""Commands of labkit, run as a user types them, in an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LABKIT = Path(sys.executable).with_name("labkit")


def run(*words: str, env: dict[str, str], cwd: Path = ROOT) -> str:
    """Run `labkit …` to its end and return what it printed; raises CalledProcessError if it fails."""
    return subprocess.run(
        [LABKIT, *words], env={**os.environ, **env}, cwd=cwd, capture_output=True, text=True, check=True
    ).stdout
