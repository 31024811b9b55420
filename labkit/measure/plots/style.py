"""The looks that all figures share: style, colours, titles, labels at the things they name.

Figures are made without pyplot, so drawing one leaves no trace in the session; a `LabFigure` shows itself
when it is the value of a cell, once.
"""

from __future__ import annotations

import re
import textwrap
import zlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import cache, wraps
from importlib.resources import as_file, files
from io import BytesIO
from typing import Any, NamedTuple, ParamSpec

from matplotlib import RcParams, rc_context, rc_params_from_file
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter
from matplotlib.typing import ColorType

from labkit.parameters import checked

#: Figures are this wide, in inches: a notebook's column.
WIDTH = 9.0
#: The text, what is context, and a field behind the data.
INK, GREY, PALE = "#333333", "#8c8c8c", "#e0e0e0"
#: The main colour, and the one for what to look at.
BLUE, VERMILLION = "#0072B2", "#D55E00"
#: The size of labels inside a figure, in points.
LABEL_SIZE = 9
#: Text over lines stays readable.
HALO = (withStroke(linewidth=3, foreground="white"),)

_TITLE_CHARACTERS = 88
_WORKERS_FROM, _PARTITIONS_FROM, _PRIORITIES_FROM = 0, 3, 1

Parameters = ParamSpec("Parameters")


class LabFigure(Figure):
    """A matplotlib Figure that shows itself in a notebook, also when no backend for notebooks is active."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw in labkit's style: matplotlib makes ticks as late as this, from the style that then holds."""
        with style():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        image = BytesIO()
        self.savefig(image, format="png")
        return image.getvalue()


class EndLabel(NamedTuple):
    """A text at the right end of a line that is at height `y`, in the data's unit."""

    y: float
    text: str
    colour: str


def style() -> AbstractContextManager[None]:
    """labkit's style, for the time of a `with` block."""
    return rc_context(_style())


@cache
def _style() -> RcParams:
    with as_file(files("labkit.measure") / "labkit.mplstyle") as path:
        return rc_params_from_file(path, use_default_template=False)


def styled(plot: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Check what this figure is built from, and build it in labkit's style."""
    sound = checked(plot)

    @wraps(plot)
    def in_style(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with style():
            return sound(*args, **kwargs)

    return in_style


def new_figure(title: str, *, height: float) -> LabFigure:
    """An empty figure, `height` inches high, with its finding as a left-aligned sentence on top."""
    figure = LabFigure(figsize=(WIDTH, height))
    figure.suptitle(textwrap.fill(title, _TITLE_CHARACTERS), x=0.01, ha="left")
    return figure


def worker_colour(name: str) -> str:
    """The colour of a worker: by the number its name ends with, so that it is the same in every figure."""
    number = re.search(r"(\d+)$", name)
    return _cycle(_WORKERS_FROM + (int(number[1]) - 1 if number else zlib.crc32(name.encode())))


def partition_colour(partition: int) -> str:
    """The colour of a partition in every figure; the first ones are not those of the first workers."""
    return _cycle(_PARTITIONS_FROM + partition)


def priority_colour(priority: int) -> str:
    """The colour of a priority class in every figure."""
    return _cycle(_PRIORITIES_FROM + priority)


def _cycle(number: int) -> str:
    colours = _style()["axes.prop_cycle"].by_key()["color"]
    return f"#{colours[number % len(colours)].lstrip('#')}"


def ink_on(colour: ColorType) -> str:
    """White or ink, whichever is easier to read on this colour: the higher contrast ratio of WCAG 2."""
    light, on_it, dark = (_luminance(each) + 0.05 for each in ("white", colour, INK))
    return "white" if light / on_it > on_it / dark else INK


def _luminance(colour: ColorType) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def in_seconds() -> EngFormatter:
    """Tick labels such as 10 ms, 2 s."""
    return EngFormatter(unit="s")


def duration(seconds: float) -> str:
    """A time with three digits and a fitting unit: 3.10 ms, 1.20 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= size:
            value = seconds / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return "0 s"


def counted(number: int, noun: str) -> str:
    """1 task, 2 tasks, 1,000 tasks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say_empty(axes: Axes, text: str) -> None:
    """Say in the middle of the axes that there is nothing to draw."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set(xticks=[], yticks=[])


def label_ends(axes: Axes, labels: Iterable[EndLabel]) -> None:
    """Write each label right of the axes at its height, moved apart as far as they would overlap.

    Call it last: the limits of the y axis must stand.
    """
    ordered = sorted(labels)
    heights = [float((axes.transScale + axes.transLimits).transform((1, label.y))[1]) for label in ordered]
    inches = axes.get_position().height * axes.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    for label, at, y in zip(ordered, heights, spread(heights, 1.45 * LABEL_SIZE / 72 / inches), strict=True):
        axes.annotate(
            label.text,
            xy=(1.0, at),
            xytext=(14, y),
            xycoords="axes fraction",
            textcoords=("offset points", "axes fraction"),
            color=label.colour,
            fontsize=LABEL_SIZE,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": label.colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0},
        )


def spread(heights: list[float], gap: float) -> list[float]:
    """These ascending heights moved as little as possible so that neighbours are `gap` apart.

    Pool adjacent violators: neighbours too close become a block around their mean.
    """
    blocks: list[tuple[float, int]] = []
    for index, height in enumerate(heights):
        mean, size = height - index * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    flat = [mean for mean, size in blocks for _ in range(size)]
    return [mean + index * gap for index, mean in enumerate(flat)]


def coloured_words(axes: Axes, words: Iterable[tuple[str, str]]) -> None:
    """A line of words above the axes, each (text, colour) in its colour: names what the colours mean."""
    areas: list[Artist] = [
        TextArea(text, textprops={"color": colour, "fontsize": LABEL_SIZE, "fontweight": "bold"})
        for text, colour in words
    ]
    line = HPacker(children=areas, pad=0, sep=12)
    place: dict[str, Any] = {"bbox_to_anchor": (0.0, 1.0), "bbox_transform": axes.transAxes}
    axes.add_artist(AnchoredOffsetbox("lower left", child=line, frameon=False, pad=0.2, borderpad=0, **place))
