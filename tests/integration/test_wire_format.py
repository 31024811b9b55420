"""The Python of docs/wire_format.md runs as it stands there, and prints what the page says."""

import re
from pathlib import Path

from labkit.taskqueue import connect
from tests.page_program import printed_by

PAGE = (Path(__file__).parents[2] / "docs" / "wire_format.md").read_text(encoding="utf-8")


def test_the_examples_put_tasks_on_a_topic_and_a_worker_gets_them(lab, unique_name, tmp_path):
    *examples, in_its_own_format = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    worker = examples[-1]
    code = "".join([*examples, in_its_own_format, worker])
    code = code.replace("127.0.0.1:9092", lab.bootstrap_servers).replace("demo-topic", unique_name)
    with connect(lab) as topics:
        topics.create(unique_name, partitions=1)
    assert (
        printed_by("-c", code, lab=lab, folder=tmp_path)
        == f"{printed}invoice {{'number': 10}} customer-3 {{}}\n1 tasks done\n"
    )
