"""The Python of docs/wire_format.md runs as it stands there, and prints what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from labkit.taskqueue import connect

PAGE = (Path(__file__).parents[2] / "docs" / "wire_format.md").read_text(encoding="utf-8")


def test_the_examples_put_tasks_on_a_topic_and_a_worker_gets_them(lab, unique_name, tmp_path):
    *examples, in_its_own_format = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    worker = examples[-1]
    code = "".join([*examples, in_its_own_format, worker])
    code = code.replace("127.0.0.1:9092", lab.bootstrap_servers).replace("demo-topic", unique_name)
    with connect(lab) as topics:
        topics.create(unique_name, partitions=1)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "LABKIT_BOOTSTRAP_SERVERS": lab.bootstrap_servers, "LABKIT_REDIS_URL": lab.redis_url},
        check=True,
        timeout=180,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout == f"{printed}invoice {{'number': 10}} customer-3 {{}}\n1 tasks done\n"
