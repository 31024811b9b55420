"""CI forbids skips, so that a missing browser cannot hide a broken notebook."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[2]
CONFTEST = TESTS / "conftest.py"


@pytest.mark.parametrize(
    ("forbidden", "mark", "status", "said"),
    [
        ("1", "", 1, "1 failed"),
        ("", "", 0, "1 skipped"),
        ("1", "@pytest.mark.optional", 0, "1 skipped"),
    ],
)
def test_a_skip_fails_where_skips_are_forbidden(
    tmp_path: Path, forbidden: str, mark: str, status: int, said: str
) -> None:
    shutil.copy(CONFTEST, tmp_path)
    code = f"import pytest\n\n{mark}\ndef test_it():\n    pytest.skip('no browser')\n"
    (tmp_path / "test_it.py").write_text(code)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  optional\n")
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "LABKIT_TEST_FORBID_SKIPS": forbidden, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == status, answer.stdout
    assert said in answer.stdout
    assert ("no browser" in answer.stdout) == bool(status)


def test_no_test_skips_a_case_of_its_own() -> None:
    """A case that runs nowhere is no case: fixtures and marks ask what the machine has, and nothing else skips."""
    functions = [
        (path, node)
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert functions
    assert [f"{path.name}: {node.name}" for path, node in functions if _calls_skip(node)] == []


def _calls_skip(function: ast.FunctionDef) -> bool:
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(ast.unparse(call.func) == "pytest.skip" for call in calls)
