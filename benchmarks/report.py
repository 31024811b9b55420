"""`docs/figures.md`, drawn from the JSON files and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.figure import RESULTS, Figure, load

REPORT = Path(__file__).parents[1] / "docs" / "figures.md"

HEAD = """# Figures

Measured by `make bench`, which writes one JSON file per figure into `benchmarks/results/`; this page is drawn from
these files. The value is the median of the repeats, with the smallest and the largest in brackets; where every single
run must hold, it is the worst of them, and the section says so. A ratio compares with a rival in the same run, in turn
with it, so that a noisy machine disturbs both alike. The runs under faults are measured by `make soak`.

| figure | value | at least | aim | reached |
| --- | --- | --- | --- | --- |
"""


def draw(figures: Iterable[Figure]) -> str:
    """The page as Markdown."""
    figures = sorted(figures, key=lambda figure: figure.name)
    return HEAD + "".join(map(_row, figures)) + "".join(map(_section, figures))


def write() -> None:
    """Draw the page anew from the files."""
    REPORT.write_text(draw(load(path) for path in RESULTS.glob("*.json")), encoding="utf-8")


def number(value: float, unit: str) -> str:
    """A value with its unit; shares as per cent."""
    return f"{value:.1%}".replace("%", " %") if unit == "share" else f"{value:.3g} {unit}"


def _row(figure: Figure) -> str:
    spread = f"{number(min(figure.values), figure.unit)} to {number(max(figure.values), figure.unit)}"
    bounds = ["" if bound is None else number(bound, figure.unit) for bound in (figure.at_least, figure.aim)]
    reached = {"aim": "the aim", "at least": "at least", "no": "**no**", "": ""}[figure.reached]
    return (
        f"| {figure.what} | {number(figure.value, figure.unit)} ({spread}) | {bounds[0]} | {bounds[1]} | {reached} |\n"
    )


def _section(figure: Figure) -> str:
    lines = [f"\n## {figure.what}\n", figure.how]
    if figure.rival:
        lines.append(f"\nHeld against {figure.rival}")
    if figure.rival_settings:
        settings = (f"{name} = {value}" for name, value in figure.rival_settings.items())
        lines.append(f"\nIts settings: `{', '.join(settings)}`.")
    if figure.beside:
        lines.append("\nBeside it: " + "; ".join(f"{name} {value:.4g}" for name, value in figure.beside.items()) + ".")
    versions = ", ".join(f"{name} {version}" for name, version in figure.versions.items())
    repeats = f"{len(figure.values)} {'repeat' if len(figure.values) == 1 else 'repeats'}"
    if figure.judged == "worst":
        repeats = f"The worst of {repeats}"
    lines.append(f"\n{repeats} on {figure.measured}; {figure.machine}; {versions}.\n")
    return "\n".join(lines)
