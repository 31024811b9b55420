"""Where a line's name fits: beside the line, over no other line and no other name.

Heights and widths are parts of the axes' height and width, so the limits of both axes must stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

#: About the size of a label's letters, and the gap between a label and its line.
LETTER_WIDTH, LETTER_HEIGHT, GAP = 0.0105, 0.07, 0.012
#: The heights at which a name may stand, as values of the cumulative share.
LEVELS = np.linspace(0.08, 0.95, 30)
#: How much worse it is to cross another line than one's own, and to leave the axes or cover another name.
OTHERS, FORBIDDEN = 3.0, 100_000.0

Points = npt.NDArray[np.float64]


class Spot(NamedTuple):
    """A label's anchor on its line, in the data's units, and the side of the line on which it stands."""

    x: float
    y: float
    side: str


class _Box(NamedTuple):
    left: float
    right: float
    bottom: float
    top: float


def spots_beside(axes: Axes, samples: Mapping[str, Points], texts: Mapping[str, str]) -> dict[str, Spot]:
    """For each name, where its text stands best beside the cumulative distribution of its samples."""
    curves = {name: _in_axes(axes, _points(values)) for name, values in samples.items()}
    taken: list[_Box] = []
    spots = {}
    for name, values in samples.items():
        others = np.concatenate([np.empty((0, 2)), *(curve for other, curve in curves.items() if other != name)])
        candidates = [
            (_cost(box, curves[name], others, taken) + abs(level - 0.5), Spot(x, level, side), box)
            for level in LEVELS.tolist()
            for x in [float(np.quantile(values, level, method="inverted_cdf"))]
            for side, box in _boxes(axes, x, level, len(texts[name])).items()
        ]
        _, spots[name], box = min(candidates)
        taken.append(box)
    return spots


def _points(values: Points) -> Points:
    """Points along the steps of the distribution, close enough that no label slips between them."""
    shares = np.linspace(0, 1, 200)
    rises = np.column_stack([np.quantile(values, shares, method="inverted_cdf"), shares])
    places = np.geomspace(values.min(), values.max(), 400)
    flats = np.column_stack([places, np.searchsorted(np.sort(values), places, side="right") / values.size])
    return np.concatenate([rises, flats])


def _in_axes(axes: Axes, points: Points) -> Points:
    return np.asarray((axes.transScale + axes.transLimits).transform(points), dtype=np.float64)


def _boxes(axes: Axes, x: float, y: float, letters: int) -> dict[str, _Box]:
    (across, up) = _in_axes(axes, np.array([[x, y]]))[0].tolist()
    width, bottom, top = letters * LETTER_WIDTH, up - LETTER_HEIGHT / 2, up + LETTER_HEIGHT / 2
    return {
        "left": _Box(across - GAP - width, across - GAP, bottom, top),
        "right": _Box(across + GAP, across + GAP + width, bottom, top),
    }


def _cost(box: _Box, own: Points, others: Points, taken: list[_Box]) -> float:
    # nor may another line run between the name and its own
    reach = box._replace(left=box.left - GAP, right=box.right + GAP)
    covers = any(
        box.left < other.right and other.left < box.right and box.bottom < other.top and other.bottom < box.top
        for other in taken
    )
    outside = box.left < 0 or box.right > 1
    return _inside(box, own) + OTHERS * _inside(reach, others) + FORBIDDEN * (covers + outside)


def _inside(box: _Box, points: Points) -> int:
    x, y = points.T
    return int(((box.left < x) & (x < box.right) & (box.bottom < y) & (y < box.top)).sum())
