"""Whole lines, whoever prints."""

from __future__ import annotations

import threading
from io import StringIO

from labkit.cli.line_stream import LineStream
from labkit.cli.live import LINE_INTERVAL, LiveView
from labkit.process.output_lines import OutputLines


def test_a_line_of_one_thread_is_not_broken_by_another():
    out = StringIO()
    stream = LineStream(out)
    stream.write("the first")
    other = threading.Thread(target=lambda: stream.writelines(["the", " other\n"]))
    other.start()
    other.join()
    stream.write(" line\nand a rest")
    assert out.getvalue() == "the other\nthe first line\n"
    stream.flush()
    assert out.getvalue().endswith("and a rest")


def test_what_a_process_writes_comes_in_lines(capsys):
    lines = OutputLines()
    for part in (b"one \xc3", b"\xa4\ntw", b"o\nthree"):
        lines.take(part)
    assert capsys.readouterr().out == "one ä\ntwo\n"
    lines.take(b"")  # it has ended
    lines.take(b"")
    assert capsys.readouterr().out == "three\n"


def test_without_a_terminal_there_is_a_line_now_and_then(capsys):
    moments = iter([0.0, LINE_INTERVAL - 1, LINE_INTERVAL, LINE_INTERVAL, LINE_INTERVAL + 1, 2 * LINE_INTERVAL, 0.0])
    with LiveView(clock=lambda: next(moments)) as view:
        for words in ("early", "in time", "early again", "in time again"):
            view.show(words, words)
        view.end("the last frame")
    assert capsys.readouterr().out == "in time\nin time again\nthe last frame\n"
