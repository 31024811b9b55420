"""A browser is found where it is, what only bears the name of one is none, and `make browser` installs one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import browser

STARTS = "#!/bin/sh\necho Chromium 156.0\n"
ADVICE = "#!/bin/sh\necho 'Command needs the chromium snap' >&2\nexit 1\n"


class Machine:
    """A machine with nothing on its path but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = folder.parent / "asked"

    def put(self, name: str, script: str) -> str:
        command = self.folder / name
        command.write_text(script)
        command.chmod(0o755)
        return str(command)

    def put_manager(self, name: str, does: str) -> None:
        self.put(name, f'#!/bin/sh\necho "{name} $*" >>"{self.asked}"\n{does}\n')


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(browser, "APPLICATIONS", ())
    monkeypatch.setattr(browser, "fetched_by_playwright", lambda: "/nowhere/chrome")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return Machine(folder)


@pytest.mark.parametrize("name", browser.COMMANDS)
def test_it_is_found_under_each_of_its_names(machine: Machine, name: str) -> None:
    assert machine.put(name, STARTS) == browser.find_browser()


def test_a_command_that_only_says_how_to_install_one_is_none(machine: Machine) -> None:
    machine.put("chromium-browser", ADVICE)
    assert browser.find_browser() is None
    chrome = machine.put("google-chrome", STARTS)
    assert browser.find_browser() == chrome


def test_the_one_that_playwright_fetched_will_do(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = machine.put("chrome-of-playwright", STARTS)
    monkeypatch.setattr(browser, "fetched_by_playwright", lambda: fetched)
    assert browser.find_browser() == fetched


@pytest.mark.parametrize("manager", browser.PACKAGES)
def test_the_package_manager_of_the_system_installs_one(machine: Machine, manager: str) -> None:
    new = machine.folder.with_name("chromium")
    new.write_text(STARTS)
    new.chmod(0o755)
    machine.put_manager(manager, f'/bin/cp "{new}" "{machine.folder}"')
    browser.main()
    assert machine.asked.read_text().splitlines() == list(browser.PACKAGES[manager])


def test_where_one_is_nothing_is_installed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.put_manager("apt-get", "exit 1")
    found = machine.put("chromium", STARTS)
    browser.main()
    assert not machine.asked.exists()
    assert found in capsys.readouterr().out


def test_who_is_not_root_asks_for_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    machine.put_manager("sudo", "exit 1")
    machine.put_manager("apt-get", "")
    with pytest.raises(SystemExit, match="sudo apt-get update"):
        browser.main()


def test_without_a_package_manager_it_says_what_else_there_is(machine: Machine) -> None:
    with pytest.raises(SystemExit, match="playwright install chromium"):
        browser.main()


def test_the_skip_names_the_command() -> None:
    assert "make browser" in browser.ABSENT
