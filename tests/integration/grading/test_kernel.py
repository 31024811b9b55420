"""Cells run in a sandbox, and values come back: plain ones, errors with their line, and never more than that."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from labkit.errors import KernelEnded
from labkit.grading.sandbox import Limits
from labkit.grading.sandbox.kernel import CodeError, Kernel, Returned, Unfit
from tests.conditions import PATIENCE
from tests.integration.grading.conftest import Sandbox

VALUES = """
class Text(str):
    def __str__(self): return "forged"
class Number(int):
    def __pos__(self): return 13
class Liar:
    __class__ = int
def of(name): return eval(name)
"""


@pytest.fixture
def kernel(sandbox: Sandbox) -> Iterator[Kernel]:
    with Kernel(sandbox) as started:
        yield started


@pytest.fixture(scope="module")
def values(sandbox: Sandbox) -> Iterator[Kernel]:
    with Kernel(sandbox) as started:
        assert started.run(VALUES, PATIENCE) == Returned(None)
        yield started


def test_cells_share_one_namespace(kernel: Kernel) -> None:
    assert kernel.run("import os\nbase = 40", PATIENCE) == Returned(None)
    assert kernel.run("def add(x): return base + x", PATIENCE) == Returned(None)
    assert kernel.call("add", [2], timeout=PATIENCE) == Returned(42)
    assert kernel.run("print('said')", PATIENCE) == Returned(None)
    assert kernel.run("if __name__ != '__main__': raise SystemExit", PATIENCE) == Returned(None)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("None", None),
        ("True", True),
        ("2**70", 2**70),
        ("-0.5", -0.5),
        ("float('inf')", math.inf),
        ("'ä\\n'", "ä\n"),
        ("(1, [2, (3,)])", [1, [2, [3]]]),
        ("{'a': {'b': ()}}", {"a": {"b": []}}),
        ("Text('own')", "own"),
        ("Number(3)", 3),
        ("__import__('numpy').float64(0.5)", 0.5),
    ],
)
def test_plain_values_come_back(values: Kernel, expression: str, value: object) -> None:
    answer = values.call("of", [expression], timeout=PATIENCE)
    assert answer == Returned(value)
    assert isinstance(answer, Returned)
    assert type(answer.value) is type(value)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("{1, 2}", "a set, and only"),
        ("b'x'", "a bytes"),
        ("1j", "a complex"),
        ("{1: 2}", "a dict with a int for a key"),
        ("of", "a function"),
        ("iter([])", "a list_iterator"),
        ("(x := []).append(x) or x", "nested deeper than 32"),
        ("[0] * 100_001", "more than 100000 parts"),
        ("'x' * 2_000_000", "larger than"),
        ("'\\ud800'", "no Unicode"),
        ("__import__('numpy').int64(1)", "a int64"),
    ],
)
def test_other_values_are_unfit_and_it_is_said_why(values: Kernel, expression: str, why: str) -> None:
    answer = values.call("of", [expression], timeout=PATIENCE)
    assert isinstance(answer, Unfit)
    assert why in answer.why


def test_what_is_no_function_is_unfit(values: Kernel) -> None:
    answer = values.call("missing", timeout=PATIENCE)
    assert isinstance(answer, Unfit)
    assert "define nothing by the name of missing" in answer.why


def test_a_value_that_lies_about_its_class_is_an_error(values: Kernel) -> None:
    answer = values.call("of", ["Liar()"], timeout=PATIENCE)
    assert isinstance(answer, CodeError)


@pytest.mark.parametrize(
    ("code", "line", "said"),
    [
        ("a = 1\nb = 1 / 0", 2, "ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError('here')\n\nf()", 2, "raise ValueError('here')"),
        ("x = (", 1, "SyntaxError"),
        ("import sys\nsys.exit(3)", 2, "SystemExit: 3"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        ("import json\njson.loads('{')", 2, "JSONDecodeError"),
        ("class E(Exception):\n    def __str__(self): raise E\nraise E", 3, "E"),
        ("def f(): f()\nf()", 1, "RecursionError"),
        ("raise ValueError('x' * 1_000_000)", 1, "xxx"),
    ],
)
def test_an_error_is_told_with_its_line(values: Kernel, code: str, line: int, said: str) -> None:
    answer = values.run(code, PATIENCE)
    assert isinstance(answer, CodeError)
    assert answer.line == line
    assert said in answer.text
    assert len(answer.text) <= 10_000
    assert "kernel_program" not in answer.text


def test_the_output_is_kept_apart_from_the_answers(kernel: Kernel) -> None:
    kernel.run("import os\nprint('said')\nos.system('echo by a program')", PATIENCE)
    assert kernel.output().split("\n") == ["said", "by a program", ""]


def test_a_copy_of_the_process_answers_nothing(kernel: Kernel) -> None:
    assert kernel.run("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)", PATIENCE) == Returned(None)
    assert kernel.run("1", PATIENCE) == Returned(None)


ENDS = {
    "hangs": ("import time\ntime.sleep(3600)", "has not ended within 1 s"),
    "leaves": ("import os\nos._exit(7)", "status 7"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    "closes-all": ("import os\nos.closerange(0, 256)", "status|closed"),
    "floods": ("import os\nwhile True: os.write(71, b'x' * 60000)", "more than"),
    "no-json": ("import os\nos.write(71, b'{\\n')", "no JSON"),
    "another-answer": ('import os\nos.write(71, b\'{"id": 99, "returned": 1}\\n\')', "not asked"),
    "no-answer": ("import os\nos.write(71, b'{\"id\": 1}\\n')", "no answer"),
    "wrong-types": ('import os\nos.write(71, b\'{"id": 1, "error": 1, "line": "x"}\\n\')', "no answer"),
}


@pytest.mark.parametrize(("code", "why"), ENDS.values(), ids=ENDS)
def test_a_kernel_that_ends_says_why_and_another_one_starts(sandbox: Sandbox, code: str, why: str) -> None:
    with Kernel(sandbox) as kernel:
        with pytest.raises(KernelEnded, match=why) as raised:
            kernel.run(code, 1.0 if code.endswith("3600)") else PATIENCE)
        with pytest.raises(KernelEnded) as again:
            kernel.run("1", PATIENCE)
        assert str(again.value) == str(raised.value)
    with Kernel(sandbox) as another:
        assert another.run("1", PATIENCE) == Returned(None)


def test_a_forged_answer_is_a_wrong_value_and_no_more(kernel: Kernel) -> None:
    """It is the answer to what is being asked, and the true one behind it is not taken for the next."""
    forge = 'import os\ndef f(): os.write(71, b\'{"id": 2, "returned": "forged"}\\n\'); return 1'
    assert kernel.run(forge, PATIENCE) == Returned(None)
    assert kernel.call("f", timeout=PATIENCE) == Returned("forged")
    with pytest.raises(KernelEnded, match="not asked"):
        kernel.call("f", timeout=PATIENCE)


def test_no_memory_left_is_told_as_such(sandbox: Sandbox) -> None:
    """By the kernel's end where control groups hold, else by an error of the cell."""
    with Kernel(sandbox, limits=Limits(memory=128 * 1024 * 1024)) as kernel:
        try:
            said = str(kernel.run("x = [b'x' * 16_000_000 for _ in range(64)]", PATIENCE))
        except KernelEnded as ended:
            said = str(ended)
    assert "memory" in said.lower()
