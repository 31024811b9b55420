"""The page is one file without anything from elsewhere, and its policy fits it."""

from __future__ import annotations

import re

from labkit.api.system_routes import PAGE, POLICY


def test_nothing_comes_from_elsewhere():
    assert not re.findall(r"(?:src|href|url|import)\s*[=(]", PAGE)
    assert "http:" not in PAGE
    assert "https:" not in PAGE


def test_nothing_from_the_server_becomes_html():
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in PAGE


def test_the_policy_allows_its_script_and_its_style_and_nothing_inline():
    assert POLICY.count("'sha256-") == 2
    assert "unsafe" not in POLICY
    assert not re.findall(r"<[^>]+\s(?:style|on\w+)=", PAGE), "the policy would forbid it"
