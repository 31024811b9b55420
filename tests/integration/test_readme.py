"""The README's Python runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_example_draws_its_figure(lab, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "LABKIT_BOOTSTRAP_SERVERS": lab.bootstrap_servers, "LABKIT_REDIS_URL": lab.redis_url},
        check=True,
        timeout=120,
    )
    assert (tmp_path / "tasks.png").read_bytes().startswith(b"\x89PNG")
