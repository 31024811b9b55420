"""A type that several threads read for the first time at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Fifty types, each read by four threads that may be switched anywhere. Without the lock the process ends by SIGSEGV.
RACE = """
import sys, threading, types
from labkit.typed_values import json_decoder, msgpack_decoder, typed, typed_json, typed_toml

CONTENT = {{"f19": {{"a": 1}}, "f3": {{"a": 2}}}}
READ = lambda kind: {read}
sys.setswitchinterval(1e-6)
for number in range(50):
    module = sys.modules[f"race{{number}}"] = types.ModuleType(f"race{{number}}")
    fields = "".join(f"    f{{i}}: Inner | None = None\\n" for i in range(20))
    exec(
        "from __future__ import annotations\\nfrom msgspec import Struct\\n"
        "class Inner(Struct):\\n    a: int = 0\\n    b: list[int] | None = None\\n"
        f"class Outer(Struct):\\n{{fields}}",
        module.__dict__,
    )
    barrier = threading.Barrier(4)
    found = []
    def read():
        barrier.wait()
        found.append(READ(module.Outer))
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(one.f3.a, one.f19.a) for one in found] == [(2, 1)] * 4
"""
JSON = """b'{"f19": {"a": 1}, "f3": {"a": 2}}'"""


@pytest.mark.parametrize(
    "read",
    [
        "typed(CONTENT, kind)",
        f"typed_json({JSON}, kind)",
        'typed_toml(b"[f19]\\na = 1\\n[f3]\\na = 2", kind)',
        f"json_decoder(kind).decode({JSON})",
        'msgpack_decoder(kind).decode(__import__("msgspec").msgpack.encode(CONTENT))',
    ],
    ids=["typed", "typed_json", "typed_toml", "json_decoder", "msgpack_decoder"],
)
def test_threads_may_be_the_first_to_read_a_type_together(read: str) -> None:
    subprocess.run([sys.executable, "-c", RACE.format(read=read)], check=True)
