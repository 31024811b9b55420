"""The public names of the package: what its rooms list, and what notebooks, assignments and docs import."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import labkit

REPOSITORY = Path(labkit.__file__).parents[1]
#: Rooms whose modules are public with all that they define.
WHOLE = ("labkit.theory", "labkit.simulate", "labkit.measure.metrics", "labkit.measure.fates", "labkit.api.client")
#: Packages that list their names for other rooms of labkit alone, with those in them, and why nobody else calls them.
ROOMS_OF_LABKIT = {
    "labkit.api.messages": "the server behind the HTTP API; callers use `ApiClient` or HTTP",
    "labkit.grading.questions": "read from a course's TOML files, with its own messages (`BadAssignment`)",
    "labkit.grading.sandbox": "between the grader and a process that it does not trust; docs name some of its classes",
    "labkit.taskqueue.transport": "between labkit and a client library, called for each record",
}
#: What tells facts: labkit makes each, many for every task, and users read them.
FACTS = {
    "Action", "AdmissionDecision", "AdmissionState", "Anomaly", "Arrivals", "Backlog", "ClassStatus", "ClassView",
    "Connection", "DeadLetter", "Decision", "Evenness", "Event", "History", "Job", "JobEvent", "JobStatus", "Ledger",
    "PartitionLag", "Policy", "PressureRun", "ProcessedJob", "QueueView", "Receipt", "Strategy", "Task", "TaskRecord",
    "Verdict", "View",
}  # fmt: skip
#: What else has no checks of its own, and why.
UNCHECKED = {
    "BehaviourRun": "labkit makes it; what a scenario of a course does wrong with it is told when it is played",
    "ConsumerConfig": "of a transport: labkit's own clients make it",
    "Position": "of a transport: a place that Kafka has told",
    "RecordStream.append": "for each task in Celery, by labkit",
    "RecordStream.note": "for each task in Celery, by labkit",
    **{
        f"MemoryTransport.{method}": "of a transport: labkit's own clients are made by it"
        for method in ("admin", "consumer", "producer", "share_groups", "transactions")
    },
    "TopicPartition": "of a transport: a place that Kafka has told",
    "hold": "for each decision of a policy; what a policy answers is checked where it is carried out",
    "start": "for each decision of a policy; what a policy answers is checked where it is carried out",
    "load_settings": "pydantic checks each setting, in `SettingsError`: see tests/unit/test_settings.py",
    "new_job": "of each job; `BadJobId` where the id is none",
    "check": "in a student's notebook, whose mistakes `NotChecked` tells",
}


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public constructors, functions and methods, each once, with their names."""
    seen: set[int] = set()
    for name, found in _names():
        is_error = inspect.isclass(found) and issubclass(found, BaseException)
        is_code = inspect.isclass(found) or inspect.isroutine(found)
        if not is_code or is_error or id(found) in seen or name in FACTS or name in UNCHECKED:
            continue
        seen.add(id(found))
        yield name, found
        if inspect.isclass(found):
            for method, function in vars(found).items():
                whole = f"{name}.{method}"
                if inspect.isfunction(function) and not method.startswith("_") and whole not in UNCHECKED:
                    yield whole, function


def _names() -> Iterator[tuple[str, Any]]:
    for name in _modules():
        if name.startswith(WHOLE):
            yield from _own_names(importlib.import_module(name))
    for name, module in _listing_packages():
        if not name.startswith(tuple(ROOMS_OF_LABKIT)):
            for one in module.__all__:
                yield one, getattr(module, one)
    for name, one in sorted(imported_names()):
        module = importlib.import_module(name)
        found = getattr(module, one, None)
        if found is None or inspect.ismodule(found):
            yield from _own_names(importlib.import_module(f"{name}.{one}"))
        else:
            yield one, found


def public_modules() -> Iterator[ModuleType]:
    """The modules in which public names are."""
    yield from (module for _, module in _listing_packages())
    for name in sorted({name for name, _ in imported_names()} | {one for one in _modules() if one.startswith(WHOLE)}):
        yield importlib.import_module(name)


def _own_names(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What this module defines itself, or lists."""
    listed = getattr(module, "__all__", None)
    for name, found in list(vars(module).items()):
        is_own = getattr(found, "__module__", "") == module.__name__ and not name.startswith("_")
        is_code = inspect.isclass(found) or inspect.isfunction(found)
        if name in listed if listed is not None else is_own and is_code:
            yield name, found


def _modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(labkit.__path__, "labkit."):
        if not found.name.endswith("__main__"):
            yield found.name


def _listing_packages() -> Iterator[tuple[str, ModuleType]]:
    yield "labkit", labkit
    for found in pkgutil.walk_packages(labkit.__path__, "labkit."):
        if found.ispkg and hasattr(importlib.import_module(found.name), "__all__"):
            yield found.name, importlib.import_module(found.name)


def imported_names() -> set[tuple[str, str]]:
    """What those who use labkit import from it: module and name."""
    found = set()
    for text in _texts_of_users():
        for line in re.finditer(r"^\s*from (labkit[\w.]*) import (\([^)]*\)|[^\n#(]+)", text, re.MULTILINE):
            for name in line[2].strip("() \n").split(","):
                if name.strip():
                    found.add((line[1], name.split(" as ")[0].split("#")[0].strip()))
    return found


def _texts_of_users() -> Iterator[str]:
    for folder in ("notebooks", "assignments/source"):
        for path in (REPOSITORY / folder).rglob("*.ipynb"):
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            yield "\n".join("".join(cell["source"]) for cell in cells)
    for path in (REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")):
        yield path.read_text(encoding="utf-8")
