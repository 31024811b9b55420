"""The README's Python runs as it stands there."""

import re
from pathlib import Path

from tests.page_program import printed_by

README = Path(__file__).parents[2] / "README.md"


def test_the_example_draws_its_figure(lab, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    printed_by("-c", code, lab=lab, folder=tmp_path, timeout=120)
    assert (tmp_path / "tasks.png").read_bytes().startswith(b"\x89PNG")
