"""`tools/install` on a machine with a mirror of its own, where uv fails and pip has to do.

The mirror is a folder served on this machine with two hand-made wheels: a `uv` that notes which index it
was told and then fails, and the one package of the lock.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
FAILING_UV = '#!/bin/sh\nprintf "%s" "$UV_DEFAULT_INDEX" >told-to-uv\nexit 2\n'
BACKEND = """
from pathlib import Path
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "here-1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        wheel.writestr("here.pth", str(Path.cwd()))
        wheel.writestr("here-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: here\\nVersion: 1.0\\n")
        wheel.writestr("here-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("here-1.0.dist-info/RECORD", "")
    return name
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def make_wheel(index: Path, name: str, files: dict[str, str]) -> str:
    """Put a wheel into the index; returns its line for the lock."""
    information = f"{name}-1.0.dist-info"
    wheel = index / name / f"{name}-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16  # a file that can be run
            archive.writestr(entry, content)
        archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}==1.0 ; python_version >= '3.11' \\\n    --hash=sha256:{digest}\n"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The mirror's folder and address."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def make_project(folder: Path, lock: str) -> Path:
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "install").write_text((ROOT / "tools" / "install").read_text())
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "some.lock").write_text(lock)
    return folder


def install(project: Path, mirror: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    environment = {
        **ours,
        "HOME": str(project),
        "PIP_INDEX_URL": mirror,
        "PIP_CONFIG_FILE": os.devnull,
        "PYTHON": sys.executable,
    }
    command = ["sh", "tools/install", "some.lock"]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_mirror_is_handed_to_uv_and_pip_does_it_when_uv_cannot(tmp_path: Path, mirror: tuple[Path, str]) -> None:
    folder, address = mirror
    lock = make_wheel(folder, "uv", {"uv-1.0.data/scripts/uv": FAILING_UV})
    lock += make_wheel(folder, "tiny", {"tiny.py": "answer = 42\n"})
    tampered = re.sub(r"sha256:[0-9a-f]{64}\n$", f"sha256:{'0' * 64}\n", lock)
    project = make_project(tmp_path / "my project", tampered)

    refused = install(project, address)
    assert refused.returncode != 0
    assert "HASHES" in refused.stderr

    (project / "some.lock").write_text(lock)
    answer = install(project, address)
    assert answer.returncode == 0, answer.stderr
    assert "trying pip" in answer.stderr
    assert (project / "told-to-uv").read_text() == address
    python = project / ".venv" / "bin" / "python"
    proof = [python, "-c", "import tiny, backend; print(tiny.answer)"]
    assert subprocess.check_output(proof, cwd=tmp_path, text=True) == "42\n"

    again = install(project, address)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
