"""Markdown as HTML for nbgrader's pages, where it is a student's: text and formulas, and nothing that a browser runs or
loads.

nbconvert 7 hands on HTML, links of any kind and Mermaid's code as they are (filters/markdown_mistune.py), and formulas
to MathJax, which the page would load from the network.
"""

from __future__ import annotations

import html
from typing import Any

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from labkit.grading.course.formula_picture import formula_picture

#: So many formulas of one cell are drawn, which takes some 20 ms each; the others are shown as text.
MAX_FORMULAS = 50


class PlainRenderer(IPythonRenderer):
    """Shows HTML as text, pictures by their names, Mermaid's code as code, and formulas as pictures of our own."""

    def __init__(self) -> None:
        super().__init__(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True)
        self._formulas = 0

    def block_mermaidjs(self, code: str) -> str:
        """The code."""
        return f"<pre><code>{html.escape(code)}</code></pre>"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """Its name: it may be attached to a file that is not at hand, or lie on a server that notes who looks."""
        return f"[{html.escape(text or url)}]"

    def inline_math(self, body: str) -> str:
        """A formula within a line."""
        return self._formula(body)

    def block_math(self, body: str) -> str:
        """A formula of its own."""
        return f'<p style="text-align: center">{self._formula(body)}</p>'

    def latex_environment(self, name: str, body: str) -> str:
        """What stands in it, if that is one formula; else its source."""
        return self.block_math(body) if name.rstrip("*") == "equation" else self._source(body)

    def _formula(self, body: str) -> str:
        self._formulas += 1
        picture = formula_picture(body) if self._formulas <= MAX_FORMULAS else None
        return picture or self._source(body)

    @staticmethod
    def _source(body: str) -> str:
        return f"<code>{html.escape(body.strip())}</code>"


def markdown_as_html(source: str) -> str:
    """The filter that nbgrader's templates use under the name of `markdown2html`."""
    rendered: Any = MarkdownWithMath(renderer=PlainRenderer()).render(source)
    return str(rendered)
