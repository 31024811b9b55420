"""What a package has without having loaded it."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import labkit

ROOT = Path(__file__).parents[2]
LAZY = [
    ".".join(found.relative_to(ROOT).parent.parts)
    for found in sorted((ROOT / "labkit").rglob("__init__.py"))
    if "lazy_names(" in found.read_text()
]


@pytest.mark.parametrize("name", LAZY)
def test_dir_names_all_that_a_package_has_and_all_of_it_is_there(name):
    package = import_module(name)
    names = dir(package)
    assert {*package.__all__, "__all__", "__doc__", "__file__", "__name__"} <= set(names)
    assert names == sorted(set(names))
    assert [one for one in names if not hasattr(package, one)] == []


def test_the_version_is_that_of_the_project():
    assert labkit.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert "__version__" in dir(labkit)
