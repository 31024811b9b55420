"""What linters do not check: modules stay short, and one module alone reads the environment."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODULES = sorted((ROOT / "labkit").rglob("*.py"))
READS_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}


def names_used(module: Path) -> set[str]:
    text = module.read_text()
    if not any(name in text for name in READS_ENVIRONMENT):
        return set()  # to parse all modules takes seconds
    tree = ast.parse(text)
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return attributes | imported


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_under_300_lines(module: Path) -> None:
    assert len(module.read_text().splitlines()) < 300


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        module.relative_to(ROOT / "labkit").as_posix() for module in MODULES if READS_ENVIRONMENT & names_used(module)
    }
    assert readers == {"settings.py"}


def test_there_is_one_context_manager_for_all() -> None:
    managers = {
        module.relative_to(ROOT / "labkit").as_posix()
        for module in MODULES
        if "__exit__" in module.read_text()
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "__exit__"
    }
    assert managers == {"resource.py"}


#: What catches errors of redis-py, here or in what is raised by a library around it.
_OF_REDIS = re.compile(r"\bexcept\b[^\n]*\b(RedisError|ResponseError|redis\.\w*Error|exceptions\.\w+Error)\b")
_JUDGES = re.compile(r"\b(is_away|is_replica|labkit_error|state_of)\b")
#: They ask only whether there is a Redis, for the user, and tell whatever it answers.
_PINGS = {"celery_app/celery_status.py", "lab/doctor.py"}


def test_whether_redis_is_away_is_judged_in_one_place() -> None:
    catching = {
        module.relative_to(ROOT / "labkit").as_posix(): text
        for module in MODULES
        if _OF_REDIS.search(text := module.read_text()) and "redis" in text
    }
    assert catching.keys() >= {"redis_state.py", *_PINGS}
    assert [name for name, text in catching.items() if name not in _PINGS and not _JUDGES.search(text)] == []


#: What of msgspec works out how a type is read, which only `typed_values` does safely in threads.
_READS_A_TYPE = re.compile(
    r"\b(msgspec|json|msgpack|toml)\.(convert|Decoder)\b|from msgspec\b.*\b(convert|Decoder)\b|, type=\w"
)


def test_types_are_read_in_one_place() -> None:
    reading = {
        module.relative_to(ROOT / "labkit").as_posix()
        for module in MODULES
        if "msgspec" in (text := module.read_text()) and _READS_A_TYPE.search(text)
    }
    assert reading == {"typed_values.py"}
