"""Where the programs of other frameworks run: a virtual environment per lock file, and Java with the locked jars."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from labkit.lab.download import fetch_jars
from labkit.lab.folders import cache_folder
from labkit.lab.jar_lock import Jar
from labkit.lab.kafka_server import find_java
from labkit.settings import load_settings

HERE = Path(__file__).parent
#: The environments are kept from one run to the next.
KEPT = HERE.parents[1] / ".make" / "frameworks"
#: Compiles a file of Java where the lab's runtime, which has no compiler, is the only one.
COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"


class NotHere(Exception):
    """A framework cannot run on this machine; the message says why."""


def python_of(lock: str, *, oldest: tuple[int, int] = (3, 11)) -> Path:
    """The Python of an environment that holds what the lock file names; made if it is not there. Raises `NotHere`."""
    folder = KEPT / Path(lock).stem
    python = folder / "bin" / "python"
    wanted = (HERE / lock).read_text(encoding="utf-8")
    stamp = folder / "installed"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", _base(oldest), str(folder)], check=True)
    install = ["pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "--python", str(python)]
    subprocess.run([*uv, *install, "-r", str(HERE / lock)], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _base(oldest: tuple[int, int]) -> str:
    for name in (sys.executable, "python3.13", "python3.12"):
        found = shutil.which(name)
        asked = f"import sys; sys.exit(sys.version_info[:2] < {oldest!r})"
        if found and subprocess.run([found, "-c", asked], capture_output=True, check=False).returncode == 0:
            return found
    raise NotHere(f"it needs Python {'.'.join(map(str, oldest))}, and there is none here")


def java_command(program: str, lock: str) -> list[str]:
    """The command that runs `program`.java, compiled, by the lab's Java with the jars of the lock file."""
    settings = load_settings()
    java = str(find_java(settings).program)
    jars = [Jar(**entry) for entry in json.loads((HERE / lock).read_text(encoding="utf-8"))]
    folder = cache_folder(settings) / Path(lock).name.partition(".")[0]
    fetch_jars(jars, folder, settings.jar_repository)
    path = ":".join(str(folder / jar.file_name) for jar in jars)
    KEPT.mkdir(parents=True, exist_ok=True)
    compile_it = [java, "-cp", path, COMPILER, "-17", "-cp", path, "-d", str(KEPT), str(HERE / f"{program}.java")]
    subprocess.run(compile_it, check=True)
    return [java, "-cp", f"{path}:{KEPT}", program]
