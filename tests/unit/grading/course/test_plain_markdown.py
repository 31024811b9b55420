"""Students' Markdown as HTML: shown, and nothing in it is run or loaded."""

import re

import pytest

from labkit.grading.course import plain_markdown
from labkit.grading.course.formula_picture import MAX_LENGTH, formula_picture
from labkit.grading.course.plain_markdown import MAX_FORMULAS, markdown_as_html

#: Forms in which Markdown for Jupyter has formulas.
FORMS = [
    "The load is $\\rho = \\lambda / c\\mu$.",
    "$$\n\\rho = \\lambda / c\\mu\n$$",
    "\\\\(\\rho\\\\)",
    "\\\\[\\rho\\\\]",
    "\\begin{equation}\n\\rho < 1\n\\end{equation}",
    "\\begin{equation*}\\rho\\end{equation*}",
]


@pytest.mark.parametrize("source", FORMS)
def test_a_formula_is_a_picture_within_the_page(source):
    page = markdown_as_html(source)
    assert page.count('src="data:image/svg+xml;base64,') == 1
    assert 'alt="' in page
    assert "$" not in page


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("$\\unknown{x}$", "<code>\\unknown{x}</code>"),
        ("$\\href{javascript:alert(1)}{x}$", "<code>\\href{javascript:alert(1)}{x}</code>"),
        ("$\\frac{<script>}{$", "<code>\\frac{&lt;script&gt;}{</code>"),
        ("\\begin{cases}a & b\\end{cases}", "<code>a &amp; b</code>"),
        ("$" + "{" * (MAX_LENGTH // 2) + "}" * (MAX_LENGTH // 2) + "$", "<code>{{{"),
        ("$" + "x" * (MAX_LENGTH + 1) + "$", "<code>xxx"),
    ],
)
def test_what_cannot_be_drawn_is_shown_as_it_was_written(source, shown):
    page = markdown_as_html(source)
    assert shown in page
    assert "<img" not in page


def test_what_is_within_a_formula_is_no_html():
    page = markdown_as_html('$\\mathrm{a"><script>b</script>}$ and $\\text{<b onclick=alert(1)>}$')
    assert "<script" not in page
    assert "<b " not in page
    assert re.findall(r"<(\w+)", page).count("img") + page.count("<code>") == 2


def test_a_cell_full_of_formulas_takes_bounded_time(monkeypatch):
    drawn = []
    monkeypatch.setattr(plain_markdown, "formula_picture", lambda tex: drawn.append(tex) or formula_picture("a"))
    page = markdown_as_html(" ".join(f"$x_{number}$" for number in range(MAX_FORMULAS + 3)))
    assert len(drawn) == page.count("<img") == MAX_FORMULAS
    assert page.count("<code>") == 3


def test_the_same_formula_is_the_same_picture():
    formula_picture.cache_clear()
    first = formula_picture("\\frac{a}{b}")
    formula_picture.cache_clear()
    assert formula_picture("\\frac{a}{b}") == first
