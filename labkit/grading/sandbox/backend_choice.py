"""Which sandbox student code runs in: the one that is named, or else the first that works here."""

from __future__ import annotations

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox.bubblewrap import Bubblewrap
from labkit.grading.sandbox.container_engine import INSTALL, ContainerEngine
from labkit.grading.sandbox.contract import Backend
from labkit.settings import SandboxName

#: In the order in which they are tried.
NAMES: tuple[SandboxName, ...] = ("bubblewrap", "podman", "docker")


def make_backend(name: SandboxName) -> Backend:
    """The one of this name, which need not work here."""
    return Bubblewrap() if name == "bubblewrap" else ContainerEngine(name)


def working_backend(name: SandboxName | None) -> Backend:
    """The sandbox of this name, or the first that works here; it was checked.

    Raises `SandboxUnavailable`, which says of the one that is named what is missing, or of all what to install.
    """
    if name is not None:
        backend = make_backend(name)
        backend.check()
        return backend
    why: list[str] = []
    for one in NAMES:
        backend = make_backend(one)
        try:
            backend.check()
        except SandboxUnavailable as error:
            why.append(str(error))
        else:
            return backend
    if len(set(why)) == 1:  # as on a system on which there is none
        raise SandboxUnavailable(why[0])
    raise SandboxUnavailable(
        f"{why[0]} A container would do as well: {INSTALL['podman']}; Docker Engine on this machine would do, too. "
        "What is missing for those is said with LABKIT_SANDBOX=podman or LABKIT_SANDBOX=docker."
    )
