"""`make` knows its targets, and the install script says what it needs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TARGETS = ("lab", "test", "notebooks", "images", "bench", "check", "clean", "help")


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )


def test_make_alone_lists_the_targets() -> None:
    answer = run("make")
    listed = re.findall(r"^  make (\w+) +(\S.*)$", answer.stdout, re.M)
    assert set(TARGETS) <= {name for name, _ in listed}


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned(target: str) -> None:
    answer = run("make", "--dry-run", target)
    assert answer.returncode == 0, answer.stderr


def test_make_test_runs_the_checks_first() -> None:
    plan = run("make", "--dry-run", "test").stdout
    order = [plan.index(step) for step in ("ruff check", "ruff format", "mypy", "lint-imports", "pytest")]
    assert order == sorted(order)


@pytest.mark.parametrize("script", ["tools/install", ".ci/run"])
def test_the_scripts_are_sound_and_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    shell = (ROOT / script).read_text().partition("\n")[0].split("/")[-1].split()[-1]
    assert run(shell, "-n", ROOT / script).returncode == 0


def test_a_python_that_does_not_fit_is_named_with_the_way_to_mend_it(tmp_path: Path) -> None:
    old = tmp_path / "python3.8"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.8.18\nexit 1\n')
    old.chmod(0o755)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "install").write_text((ROOT / "tools" / "install").read_text())
    answer = run("sh", "tools/install", "requirements.lock", cwd=tmp_path, PYTHON=str(old))
    assert answer.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is needed" in answer.stderr
    assert "3.8.18" in answer.stderr
    assert "make PYTHON=" in answer.stderr
    assert not (tmp_path / ".venv").exists()
