"""`make bubblewrap` and `make podman` install what they need where it is missing, and say what else is."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from labkit.errors import SandboxUnavailable
from tests import bubblewrap, podman


class Kind(NamedTuple):
    """A kind of sandbox: the module that installs it, its name, its program, and the class that tries it."""

    module: ModuleType
    name: str
    program: str
    backend: str


KINDS = [Kind(bubblewrap, "bubblewrap", "bwrap", "Bubblewrap"), Kind(podman, "Podman", "podman", "ContainerEngine")]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.program)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def machine(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds all programs of the machine; the sandbox works where its program is there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 0)

    def check(_backend: object) -> None:
        if not (tmp_path / kind.program).exists():
            raise SandboxUnavailable

    monkeypatch.setattr(getattr(kind.module, kind.backend), "check", check)
    return tmp_path


def put(folder: Path, name: str, does: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("manager", bubblewrap.PACKAGES)
def test_the_package_manager_of_the_system_installs_it(kind: Kind, machine: Path, manager: str) -> None:
    put(machine, manager, f'echo "{manager} $*" >>"{machine}/asked"; /bin/cp "$0" "{machine}/{kind.program}"')
    kind.module.main()
    assert (machine / "asked").read_text().splitlines() == list(kind.module.PACKAGES[manager])


def test_every_kind_is_known_to_the_same_managers() -> None:
    assert podman.PACKAGES.keys() == bubblewrap.PACKAGES.keys()


def test_where_it_is_nothing_is_installed(kind: Kind, machine: Path) -> None:
    put(machine, "apt-get", f'echo asked >"{machine}/asked"')
    put(machine, kind.program, "exit 0")
    kind.module.main()
    assert not (machine / "asked").exists()


@pytest.mark.usefixtures("machine")
def test_without_a_package_manager_it_says_so(kind: Kind) -> None:
    with pytest.raises(SystemExit, match=f"install {kind.name} by hand"):
        kind.module.main()


@pytest.mark.usefixtures("machine")
def test_a_sandbox_that_cannot_be_made_is_said(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SystemExit, match="labkit: Student code runs only in a sandbox"):
        kind.module.main()
