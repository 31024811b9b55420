"""Formulas as pictures within the page, drawn by matplotlib: so nothing of a student's is run or loaded to show them.

MathJax would be loaded from the network; and latex2mathml writes what stands in `\\text{…}` into the page as it is.
"""

from __future__ import annotations

import html
from base64 import b64encode
from functools import lru_cache
from io import BytesIO

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser

#: The size of the text beside it in nbgrader's pages, in CSS's pixels, which are its units too.
FONT_SIZE = 14
#: A longer one is shown as text: the time to draw it grows with its length.
MAX_LENGTH = 500

_UNITS_PER_INCH = 72


@lru_cache(maxsize=256)
def formula_picture(tex: str) -> str | None:
    """The formula as an `<img>` of SVG, on the baseline of its line; None if it is too long, or no formula of
    matplotlib's (https://matplotlib.org/stable/users/explain/text/mathtext.html).
    """
    if len(tex) > MAX_LENGTH or "$" in tex:
        return None
    text, font = f"${' '.join(tex.split())}$", FontProperties(size=FONT_SIZE)
    try:
        width, height, depth, *_ = MathTextParser("path").parse(text, _UNITS_PER_INCH, font)
        figure = Figure(figsize=(max(width, 1) / _UNITS_PER_INCH, max(height, 1) / _UNITS_PER_INCH))
        figure.text(0, depth / max(height, 1), text, fontproperties=font)
        picture = BytesIO()
        figure.savefig(picture, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    except (ValueError, RecursionError):  # what it cannot read
        return None
    source = b64encode(picture.getvalue()).decode()
    return (
        f'<img alt="{html.escape(tex)}" style="display: inline; vertical-align: {-depth:.1f}px; '
        f'height: {max(height, 1):.1f}px" src="data:image/svg+xml;base64,{source}">'
    )
