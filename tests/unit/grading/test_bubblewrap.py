"""Where no sandbox can be made, it is said what to install or do; and what one is made of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import labkit
from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import Bubblewrap, Limits, bubblewrap, launch_program, mounts

COMMAND = [sys.executable, "-c", "pass"]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with programs."""
    monkeypatch.setattr(bubblewrap, "SEARCHED", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path


def test_where_nobody_would_know_how_code_has_ended_none_is_run() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(SandboxUnavailable, match="this process ignores SIGCHLD"):
            Bubblewrap().check()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_code_has_the_usual_signals_whatever_the_grader_has() -> None:
    words = ["-I", "-S", launch_program.__file__, "--", "/bin/sh", "-c", "kill -TERM $$"]
    block = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [15]); os.execv(sys.argv[1], sys.argv[1:])"
    )
    ignore = 'trap \'\' TERM CHLD; exec "$0" "$@"'
    ended = subprocess.run(
        ["/bin/sh", "-c", ignore, sys.executable, "-c", block, sys.executable, *words], timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGTERM


def put(folder: Path, script: str) -> None:
    (folder / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bwrap").chmod(0o755)


def test_without_bubblewrap_it_says_how_to_install_it(path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match=r"make bubblewrap.*apt-get install bubblewrap"):
        Bubblewrap().start(COMMAND)


def test_one_that_is_too_old_is_named(path: Path) -> None:
    put(path, "echo bubblewrap 0.6.1")
    with pytest.raises(SandboxUnavailable, match=r"0\.7 or newer.*bubblewrap 0\.6\.1"):
        Bubblewrap().check()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files without a name")
@pytest.mark.parametrize(("user", "advice"), [(0, "CAP_SYS_ADMIN"), (1000, "user.max_user_namespaces")])
def test_one_that_is_not_allowed_to_says_what_bubblewrap_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, user: int, advice: str
) -> None:
    put(path, 'test "$1" = --version && echo bubblewrap 0.8.0 || { echo "No permissions" >&2; exit 1; }')
    monkeypatch.setattr("os.geteuid", lambda: user)
    with pytest.raises(SandboxUnavailable, match=f"No permissions.*{advice}"):
        Bubblewrap().start(COMMAND)


def test_it_is_tried_again_until_it_works(path: Path) -> None:
    backend = Bubblewrap()
    for version in ("0.5.0", "0.6.0"):
        put(path, f"echo bubblewrap {version}")
        with pytest.raises(SandboxUnavailable, match=version):
            backend.check()


@pytest.mark.parametrize(("system", "machine"), [("darwin", "x86_64"), ("linux", "riscv64")])
def test_another_machine_is_named(path: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(SandboxUnavailable, match="Linux has on x86-64 and AArch64"):
        Bubblewrap().check()


@pytest.mark.parametrize("prefix", ["/", "/home", str(Path.home())])
def test_a_python_that_cannot_be_shown_alone_is_refused(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setattr(sys, "prefix", prefix)
    with pytest.raises(SandboxUnavailable, match="show all of"):
        mounts.mount_words(Limits(), {})


def test_nothing_is_shown_but_the_system_this_python_and_labkit() -> None:
    words = mounts.mount_words(Limits(), {9092: Path("/tmp/x/s")})
    shown = [Path(words[at + 1]) for at, word in enumerate(words) if word == "--ro-bind"]
    package = Path(labkit.__file__).parent
    allowed = {Path("/usr"), Path(sys.prefix), Path(sys.base_prefix), package, Path("/tmp/x/s")}
    assert package in shown or any(folder in package.parents for folder in shown)
    assert {path for path in shown if path.parent != Path("/")} <= allowed | set(mounts.python_folders())
    assert words[words.index(str(package / "grading")) - 1] == "--tmpfs"
    assert "--bind" not in words


def test_the_environment_is_the_sandbox_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = mounts.environment()
    monkeypatch.setenv("LABKIT_API_TOKEN", "secret")
    monkeypatch.setenv("HOME", "/elsewhere")
    assert mounts.environment() == before
