"""Names: a module is named by a noun, and no two modules or classes have one; no two modules import each other."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[3]
MODULES = sorted((ROOT / "labkit").rglob("*.py"))

#: Terms of the field that end like an act.
TERMS = {"aging"}

#: Each transport has a producer, a consumer and so on; its package tells them apart.
TRANSPORTS = "labkit/taskqueue/transport/"

#: What Python itself demands a name of.
GIVEN = {"__init__", "__main__"}


def several(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_module_is_named_by_an_act() -> None:
    assert {module.stem for module in MODULES if module.stem.endswith("ing")} <= TERMS


def test_no_two_modules_have_one_name() -> None:
    places = defaultdict(list)
    for module in MODULES:
        path = module.relative_to(ROOT).as_posix()
        if module.stem not in GIVEN and not path.startswith(TRANSPORTS):
            places[module.stem].append(path)
    assert several(places) == {}


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for module in MODULES:
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module.relative_to(ROOT).as_posix())
    assert several(places) == {}


def test_no_modules_import_each_other() -> None:
    """Also through others, and also where the import waits inside a function."""
    graph = grimp.build_graph("labkit", cache_dir=None, exclude_type_checking_imports=True)
    circles = [
        f"{module} -> {' -> '.join(chain)}"
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if (chain := graph.find_shortest_chain(importer=imported, imported=module)) is not None
    ]
    assert circles == []
