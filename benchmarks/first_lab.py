"""The first `make lab` on an empty machine, apart from downloads."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.figure import Figure, measured
from benchmarks.shell import ROOT
from labkit.lab.jars import jar_folder
from labkit.settings import load_settings

REPEATS = 3
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S*token=[0-9a-f]+")
#: How long a first start may take before it counts as failed, in seconds.
LONGEST = 300.0


def measure() -> list[Figure]:
    """The figure. The first of the runs fills the download caches and is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        downloads = Path(folder) / "downloads"
        _first_lab(Path(folder), downloads)
        times = [_first_lab(Path(folder), downloads) for _ in range(REPEATS)]
    return [
        measured(
            "first_make_lab",
            "first `make lab` on an empty machine, apart from downloads",
            times,
            unit="s",
            better="lower",
            at_least=60,
            aim=30,
            how="A fresh clone and an empty HOME, in which only what is downloaded is there already: the packages in "
            "uv's and pip's download caches (uv unpacks while it downloads), and Kafka's jars. From `make lab` until "
            "JupyterLab answers; nothing subtracted.",
        )
    ]


def _first_lab(folder: Path, downloads: Path) -> float:
    clone, home = folder / "clone", folder / "home"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    home.mkdir()
    downloads.mkdir(exist_ok=True)
    cache = home / "labkit-cache"
    jars = jar_folder(load_settings())
    shutil.copytree(jars, cache / jars.name)
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("LABKIT_", "XDG_", "VIRTUAL_ENV"))},
        "HOME": str(home),
        "UV_CACHE_DIR": str(downloads / "uv"),
        "PIP_CACHE_DIR": str(downloads / "pip"),
        "LABKIT_CACHE_DIR": str(cache),
    }
    try:
        return _until_jupyter_answers(clone, env)
    finally:
        shutil.rmtree(clone)
        shutil.rmtree(home)


def _until_jupyter_answers(clone: Path, env: dict[str, str]) -> float:
    began = time.perf_counter()
    process = subprocess.Popen(
        ["make", "lab"],
        cwd=clone,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        for line in process.stdout or ():
            if address := ADDRESS.search(line):
                _wait_for(address[0], began + LONGEST)
                return time.perf_counter() - began
        raise RuntimeError(f"make lab ended with status {process.wait()} before JupyterLab answered")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()


def _wait_for(address: str, deadline: float) -> None:
    while time.perf_counter() < deadline:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{address} did not answer")
