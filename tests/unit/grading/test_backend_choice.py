"""Which sandbox is taken: the one that is named, or the first that works; and what is said where none does."""

from __future__ import annotations

import pytest

from labkit.errors import SandboxUnavailable, SettingsError
from labkit.grading.sandbox import Bubblewrap, ContainerEngine
from labkit.grading.sandbox.backend_choice import NAMES, make_backend, working_backend
from labkit.settings import load_settings


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of those that work."""
    working: set[str] = set()

    def check(backend: Bubblewrap | ContainerEngine) -> None:
        name = backend.name if isinstance(backend, ContainerEngine) else "bubblewrap"
        if name not in working:
            raise SandboxUnavailable(f"There is no {name}.")

    for kind in (Bubblewrap, ContainerEngine):
        monkeypatch.setattr(kind, "check", check)
    return working


@pytest.mark.parametrize(
    ("working", "taken"), [(NAMES, "bubblewrap"), (("docker", "podman"), "podman"), (("docker",), "docker")]
)
def test_the_first_that_works_is_taken(works: set[str], working: tuple[str, ...], taken: str) -> None:
    works |= set(working)
    found = working_backend(None)
    assert (found.name if isinstance(found, ContainerEngine) else "bubblewrap") == taken


def test_one_that_is_named_is_taken_or_missed(works: set[str]) -> None:
    works |= {"bubblewrap", "docker"}
    found = working_backend("docker")
    assert isinstance(found, ContainerEngine)
    assert found.name == "docker"
    with pytest.raises(SandboxUnavailable, match=r"^There is no podman\.$"):
        working_backend("podman")


@pytest.mark.usefixtures("works")
def test_where_none_works_both_ways_are_named() -> None:
    with pytest.raises(SandboxUnavailable, match=r"There is no bubblewrap\..*install podman.*LABKIT_SANDBOX=podman"):
        working_backend(None)


def test_what_is_missing_for_all_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SandboxUnavailable) as raised:
        working_backend(None)
    assert str(raised.value).count("made of what Linux has") == 1
    assert "Podman" not in str(raised.value)


def test_the_setting_names_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv("LABKIT_SANDBOX", name)
        named = load_settings().sandbox
        assert named == name
        assert isinstance(make_backend(named), Bubblewrap if name == "bubblewrap" else ContainerEngine)
    monkeypatch.setenv("LABKIT_SANDBOX", "chroot")
    with pytest.raises(SettingsError, match="bubblewrap"):
        load_settings()
