"""The browser in which pages are tested: where one is on this machine, and how one gets there.

`make browser` runs this module; it does nothing where there is a browser already.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.package_manager import install

#: Names under which a Chromium is a command.
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
#: Where macOS keeps one.
APPLICATIONS = ("Google Chrome", "Chromium", "Microsoft Edge")
#: What installs one, for each package manager.
PACKAGES = {
    "apt-get": ("apt-get update", "apt-get install -y --no-install-recommends chromium"),
    "dnf": ("dnf install -y chromium",),
    "zypper": ("zypper --non-interactive install chromium",),
    "pacman": ("pacman -Sy --noconfirm chromium",),
    "apk": ("apk add chromium",),
    "brew": ("brew install --cask chromium",),
}
#: What a skipped test says.
ABSENT = "no Chromium on this machine; `make browser` installs one"


def find_browser() -> str | None:
    """Where a Chromium is that starts: the system's, else the one that Playwright has fetched."""
    return next((path for path in _candidates() if _starts(path)), None)


def install_browser() -> None:
    """Install Chromium by the system's package manager."""
    by_hand = (
        "install Chromium or Chrome by hand, or let Playwright fetch its own: .venv/bin/playwright install chromium"
    )
    install(PACKAGES, otherwise=by_hand, failed="no browser is installed")


def main() -> None:
    if find_browser() is None:
        install_browser()
    found = find_browser()
    if found is None:
        raise SystemExit("labkit: Chromium was installed, but none of its commands starts: " + ", ".join(COMMANDS))
    print(f"The tests use {found}")


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, COMMANDS))
    for name in APPLICATIONS:
        yield f"/Applications/{name}.app/Contents/MacOS/{name}"
    yield fetched_by_playwright()


def fetched_by_playwright() -> str:
    """Where Playwright's own Chromium is, if somebody has let it fetch one."""
    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def _starts(path: str) -> bool:
    """Whether it is a browser: the command of this name may only say how to install one."""
    if not Path(path).exists():
        return False
    asked = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60)
    return asked.returncode == 0 and any(name in asked.stdout for name in ("Chrom", "Edge"))


if __name__ == "__main__":
    sys.exit(main())
