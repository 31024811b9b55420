"""`make` knows its targets, and the install script says what it needs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import FROM_MAKE

ROOT = Path(__file__).parents[3]
TARGETS = (
    *(
        "lab",
        "test",
        "quick",
        "unit",
        "browser",
        "bubblewrap",
        "notebooks",
        "images",
        "bench",
        "soak",
        "check",
        "clean",
    ),
    "help",
)


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_what_make_was_told_for_the_tests_is_not_told_to_what_they_start() -> None:
    assert not os.environ.keys() & FROM_MAKE


def test_make_alone_lists_the_targets() -> None:
    answer = run("make")
    listed = re.findall(r"^  make (\w+) +(\S.*)$", answer.stdout, re.M)
    assert set(TARGETS) <= {name for name, _ in listed}


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned(target: str) -> None:
    answer = run("make", "--dry-run", target)
    assert answer.returncode == 0, answer.stderr


def test_make_test_runs_the_quick_checks_first() -> None:
    plan = run("make", "--dry-run", "test").stdout
    order = [plan.index(step) for step in ("ruff check", "ruff format", "lint-imports", "pytest")]
    assert order == sorted(order)


@pytest.mark.parametrize("fails", ["ruff", "lint-imports", "mypy", "python", None])
def test_make_test_fails_with_each_of_them(tmp_path: Path, fails: str | None) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("ruff", "lint-imports", "mypy", "python"):
        command = tmp_path / "bin" / name
        command.write_text(f"#!/bin/sh\nexit {int(name == fails)}\n")
        command.chmod(0o755)
    answer = run("make", "--assume-old=dev-env", "test", f"VENV={tmp_path}")
    assert (answer.returncode == 0) == (fails is None), answer.stderr


def test_an_environment_of_its_own_has_its_own_commands() -> None:
    plan = run("make", "--dry-run", "test", "quick", "VENV=.venv-3.12").stdout
    assert ".venv-3.12/bin/python -m pytest" in plan
    assert ".venv/bin" not in plan


def test_a_quick_run_leaves_out_what_takes_seconds_or_a_server() -> None:
    (line,) = [line for line in run("make", "--dry-run", "quick").stdout.splitlines() if "pytest" in line]
    assert "tests/unit" in line
    assert "not slow" in line


def test_each_test_is_run_by_make_test_or_by_make_soak() -> None:
    """And what is drawn at random by both: few of it by the one, all of it by the other."""
    plans = [run("make", "--dry-run", target).stdout for target in ("test", "soak")]
    assert [re.search(r'-m "([^"]*)" ', plan)[1] for plan in plans] == ["not long", "long or hypothesis"]
    assert ["--hypothesis-profile=quick" in plan for plan in plans] == [True, False]


def test_what_the_guide_for_contributors_names_is_there() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    assert {"quick", "unit", "test", "check", "bench", "soak", "browser", "bubblewrap", "podman"} <= set(
        re.findall(r"`make (\w+)", guide)
    )
    for target in set(re.findall(r"`make (\w+)", guide)):
        assert re.search(rf"^{target}:.*##", (ROOT / "Makefile").read_text(), re.M), target
    for path in re.findall(r"`((?:tests|labkit|docs)/[\w/.]+)`", guide):
        assert (ROOT / path).exists(), path


def test_ci_forbids_skips_installs_what_tests_need_and_tests_every_python() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert script.index("LABKIT_TEST_FORBID_SKIPS=1") < script.index("make browser") < script.index("make test")
    assert script.index("make bubblewrap") < script.index("make test")
    assert script.index("make test") < script.index("python3.11 python3.12 python3.13") < script.index("make unit")


@pytest.mark.parametrize("script", ["tools/install", ".ci/run"])
def test_the_scripts_are_sound_and_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    shell = (ROOT / script).read_text().partition("\n")[0].split("/")[-1].split()[-1]
    assert run(shell, "-n", ROOT / script).returncode == 0


def make_python(path: Path, version: str, *, fits: bool) -> Path:
    """Something that answers as this Python does when it is asked for its version and whether it fits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ncase $1 in -V*) echo {version};; *) exit {0 if fits else 1};; esac\n")
    path.chmod(0o755)
    return path


def copy_install(folder: Path) -> None:
    (folder / "tools").mkdir()
    (folder / "tools" / "install").write_text((ROOT / "tools" / "install").read_text())


def test_a_python_is_found_where_pyenv_keeps_it_too(tmp_path: Path) -> None:
    copy_install(tmp_path)
    kept = tmp_path / "my pyenv" / "versions" / "3.98.7" / "bin" / "python"
    make_python(kept, "Python 3.98.7", fits=True)
    find = ("sh", "tools/install", "--find")
    answer = run(*find, "python3.98", cwd=tmp_path, PYENV_ROOT=str(tmp_path / "my pyenv"), PATH="/usr/bin:/bin")
    assert answer.stdout == f"{kept}\n"
    missing = run(*find, "python3.99", cwd=tmp_path, PYENV_ROOT=str(tmp_path / "my pyenv"), PATH="/usr/bin:/bin")
    assert (missing.returncode, missing.stdout) == (1, "")


def test_an_environment_of_another_python_than_was_asked_for_is_made_anew(tmp_path: Path) -> None:
    copy_install(tmp_path)
    (tmp_path / "some.lock").touch()
    there = make_python(tmp_path / ".venv" / "bin" / "python", "Python 3.11.1", fits=True)
    asked = make_python(tmp_path / "python3.13", "Python 3.13.1", fits=True)
    answer = run("sh", "tools/install", "some.lock", cwd=tmp_path, PYTHON=str(asked))
    assert "making .venv with Python 3.13.1" in answer.stderr
    same = run("sh", "tools/install", "some.lock", cwd=tmp_path, PYTHON=str(there))
    assert "making .venv" not in same.stderr


def test_a_python_that_does_not_fit_is_named_with_the_way_to_mend_it(tmp_path: Path) -> None:
    old = make_python(tmp_path / "python3.8", "Python 3.8.18", fits=False)
    copy_install(tmp_path)
    answer = run("sh", "tools/install", "requirements.lock", cwd=tmp_path, PYTHON=str(old))
    assert answer.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is needed" in answer.stderr
    assert "3.8.18" in answer.stderr
    assert "make PYTHON=" in answer.stderr
    assert not (tmp_path / ".venv").exists()
