"""The lock files hold what pyproject.toml asks for, on every machine that the project supports."""

from __future__ import annotations

import re
import tomllib
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

WANTED = {
    "requirements.lock": PROJECT["dependencies"] + EXTRAS["notebooks"] + EXTRAS["build"],
    "requirements-dev.lock": PROJECT["dependencies"] + [line for extra in EXTRAS.values() for line in extra],
}
PYTHONS = ("3.11.0", "3.12.1", "3.13.0")
MACHINES = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64"), ("darwin", "arm64"))


def locked_lines(name: str) -> list[str]:
    """One line per requirement, with its hashes."""
    return (ROOT / name).read_text().replace("\\\n", " ").splitlines()


def locked(name: str) -> list[Requirement]:
    return [Requirement(line.split(" --hash=")[0]) for line in locked_lines(name)]


def markers_of(python: str, system: str, machine: str) -> dict[str, str]:
    return {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "platform_machine": machine,
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


def versions_for(name: str, environment: dict[str, str]) -> dict[str, Version]:
    """What the lock installs there; a package named twice is a fault."""
    versions: dict[str, Version] = {}
    for requirement in locked(name):
        if applies(requirement, environment):
            package = canonicalize_name(requirement.name)
            assert package not in versions, f"{name} names {package} twice for {environment}"
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            versions[package] = Version(pin.version)
    return versions


@pytest.mark.parametrize("name", WANTED)
def test_every_line_is_pinned_and_has_hashes_and_no_address(name: str) -> None:
    lines = locked_lines(name)
    assert len(lines) > 100
    for line in lines:
        assert re.search(r"^[a-z0-9-]+==\S+ .* --hash=sha256:[0-9a-f]{64}", line), line[:80]
        assert "://" not in line, line[:80]


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize(("python", "machine"), list(product(PYTHONS, MACHINES)))
def test_the_lock_fits_pyproject(name: str, python: str, machine: tuple[str, str]) -> None:
    environment = markers_of(python, *machine)
    versions = versions_for(name, environment)
    for wanted in map(Requirement, WANTED[name]):
        if applies(wanted, environment):
            version = versions.get(canonicalize_name(wanted.name))
            assert version is not None, f"{wanted.name} is not in {name}: run make lock"
            assert version in wanted.specifier, f"{name} has {wanted.name} {version}: run make lock"


def test_the_development_lock_contains_the_other_one() -> None:
    development = {line.strip() for line in locked_lines("requirements-dev.lock")}
    other = {line.strip() for line in locked_lines("requirements.lock")}
    assert {line.split(" ;")[0] for line in other} <= {line.split(" ;")[0] for line in development}


def test_the_build_backend_is_the_locked_one() -> None:
    """Because the editable install builds without isolation."""
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert set(backend) <= set(EXTRAS["build"])
