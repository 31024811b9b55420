"""Markdown as HTML for nbgrader's pages, where it is a student's: text and formulas, and nothing that a browser runs.

nbconvert 7 hands on HTML, links of any kind and Mermaid's code as they are (filters/markdown_mistune.py).
"""

from __future__ import annotations

import html
from typing import Any

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath


class PlainRenderer(IPythonRenderer):
    """Shows HTML as text, pictures by their names, and Mermaid's code as code."""

    def __init__(self) -> None:
        super().__init__(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True)

    def block_mermaidjs(self, code: str) -> str:
        """The code."""
        return f"<pre><code>{html.escape(code)}</code></pre>"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """Its name: it may be attached to a file that is not at hand, or lie on a server that notes who looks."""
        return f"[{html.escape(text or url)}]"


def markdown_as_html(source: str) -> str:
    """The filter that nbgrader's templates use under the name of `markdown2html`. MathJax would make a link of any kind
    of `\\href`.
    """
    rendered: Any = MarkdownWithMath(renderer=PlainRenderer()).render(source.replace("\\href", "\\text"))
    return str(rendered)
