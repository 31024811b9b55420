"""`make podman` installs Podman where there is none, and says what else is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import SandboxUnavailable
from tests import podman


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds all programs of the machine; Podman works where it is there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 0)

    def check(_backend: object) -> None:
        if not (tmp_path / "podman").exists():
            raise SandboxUnavailable

    monkeypatch.setattr(podman.ContainerEngine, "check", check)
    return tmp_path


def put(folder: Path, name: str, does: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("manager", podman.PACKAGES)
def test_the_package_manager_of_the_system_installs_it(machine: Path, manager: str) -> None:
    put(machine, manager, f'echo "{manager} $*" >>"{machine}/asked"; /bin/cp "$0" "{machine}/podman"')
    podman.main()
    assert (machine / "asked").read_text().splitlines() == list(podman.PACKAGES[manager])


def test_where_it_is_nothing_is_installed(machine: Path) -> None:
    put(machine, "apt-get", f'echo asked >"{machine}/asked"')
    put(machine, "podman", "exit 0")
    podman.main()
    assert not (machine / "asked").exists()


def test_containers_that_cannot_be_made_are_said(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SystemExit, match="labkit: Student code runs only in a sandbox"):
        podman.main()
