"""The user's browser, if there is one that has a window."""

from __future__ import annotations

import webbrowser


def open_in_browser(address: str) -> bool:
    """Show this page in it; False if there is none. One that would take over the terminal does not count."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    has_window = type(browser) is not webbrowser.GenericBrowser and getattr(browser, "background", True)
    return bool(has_window and browser.open(address))
