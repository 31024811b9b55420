"""Podman, in whose containers student code can run too: whether it can on this machine, and how it gets there.

`make podman` runs this module; it does nothing where Podman is already, and nothing but on Linux.
"""

from __future__ import annotations

import sys

from labkit.grading.sandbox import ContainerEngine
from tests.package_manager import provide_sandbox

#: What installs it, for each package manager; runc knows control groups of either version, and both at one time.
PACKAGES = {
    "apt-get": ("apt-get update", "apt-get install -y --no-install-recommends podman runc uidmap"),
    "dnf": ("dnf install -y podman",),
    "zypper": ("zypper --non-interactive install podman",),
    "pacman": ("pacman -Sy --noconfirm podman",),
    "apk": ("apk add podman",),
}


def main() -> None:
    provide_sandbox("Podman", "podman", PACKAGES, ContainerEngine("podman"))
    print("Student code can run here, in containers of Podman")


if __name__ == "__main__":
    sys.exit(main())
