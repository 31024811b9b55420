"""conda's and Binder's files say the same as pyproject.toml and the lock."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_lists_what_pyproject_lists() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "labkit"
    *conda, last = environment["dependencies"]
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]
    *listed, itself = last["pip"]
    assert itself == "--editable ."
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["notebooks"] + extras["grading"]
    assert [str(Requirement(line)) for line in listed] == [str(Requirement(line)) for line in wanted]


def test_binder_installs_the_lock_on_a_python_that_fits() -> None:
    binder = ROOT / "binder"
    lines = (binder / "requirements.txt").read_text().splitlines()
    (requirement,) = [line for line in lines if not line.startswith("#")]
    option, _, lock = requirement.partition(" ")
    assert option == "-r"
    assert (binder / lock).resolve() == ROOT / "requirements.lock"
    name, _, version = (binder / "runtime.txt").read_text().strip().partition("-")
    assert name == "python"
    assert version in SpecifierSet(PROJECT["requires-python"])


def test_binder_s_script_is_sound_and_can_be_run() -> None:
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
