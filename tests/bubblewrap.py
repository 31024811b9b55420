"""The sandbox in which student code runs: whether one can be made on this machine, and how bubblewrap gets there.

`make bubblewrap` runs this module; it does nothing where there is one already, and nothing but on Linux.
"""

from __future__ import annotations

import sys

from labkit.grading.sandbox import Bubblewrap
from tests.package_manager import provide_sandbox

#: What installs it, for each package manager.
PACKAGES = {
    "apt-get": ("apt-get update", "apt-get install -y --no-install-recommends bubblewrap"),
    "dnf": ("dnf install -y bubblewrap",),
    "zypper": ("zypper --non-interactive install bubblewrap",),
    "pacman": ("pacman -Sy --noconfirm bubblewrap",),
    "apk": ("apk add bubblewrap",),
}


def main() -> None:
    provide_sandbox("bubblewrap", "bwrap", PACKAGES, Bubblewrap())
    print("Student code can run here, in a sandbox by bubblewrap")


if __name__ == "__main__":
    sys.exit(main())
