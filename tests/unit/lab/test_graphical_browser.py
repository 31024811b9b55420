"""A browser is used if it has a window."""

from __future__ import annotations

import webbrowser

import pytest

from labkit.lab.graphical_browser import open_in_browser

PAGE = "file:///page.html"


class Window(webbrowser.BaseBrowser):
    """One that notes what it is to show."""

    def __init__(self, works: bool = True) -> None:
        super().__init__()
        self.works = works
        self.shown: list[str] = []

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.shown.append(url)
        return self.works


@pytest.mark.parametrize("works", [True, False])
def test_a_page_is_shown_in_a_window(monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    browser = Window(works)
    monkeypatch.setattr(webbrowser, "get", lambda: browser)
    assert open_in_browser(PAGE) is works
    assert browser.shown == [PAGE]


def test_without_a_browser_or_in_a_terminal_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> webbrowser.BaseBrowser:
        raise webbrowser.Error

    monkeypatch.setattr(webbrowser, "get", none)
    assert not open_in_browser(PAGE)
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("/nonexistent"))
    assert not open_in_browser(PAGE)
