"""What a process prints: in a file of bounded size, whatever it is."""

from __future__ import annotations

import shutil

import pytest

from labkit.process.output_log import OutputLog


def test_the_newest_is_kept_in_two_files_of_bounded_size(tmp_path):
    path = tmp_path / "deep" / "output.log"
    output = OutputLog("talker", path, max_bytes=1000)
    for number in range(1000):
        output.write(f"line {number}\n".encode())
    assert sum(file.stat().st_size for file in path.parent.iterdir()) <= 1000
    assert len(list(path.parent.iterdir())) == 2
    assert output.text().endswith("line 998\nline 999\n")
    assert len(output.text()) >= 500
    assert output.written == sum(len(f"line {number}\n") for number in range(1000))
    assert output.last_line() == "line 999"
    output.close()


def test_much_at_once_leaves_its_end(tmp_path):
    output = OutputLog("shouter", tmp_path / "output.log", max_bytes=1000)
    output.write(b"x" * 100_000 + b"\nthe end\n\n")
    output.close()
    assert output.text().endswith("the end\n\n")
    assert output.last_line() == "the end"
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1000


def test_what_is_no_text_can_be_read(tmp_path):
    output = OutputLog("babbler", tmp_path / "output.log")
    output.write(b"caf\xc3")
    output.write(b"\xa9 \xff\n")
    output.close()
    assert output.text() == "café \N{REPLACEMENT CHARACTER}\n"


def test_it_goes_on_after_a_close_and_after_another_that_wrote_there_before(tmp_path):
    for text in (b"one\n", b"two\n"):
        output = OutputLog("again", tmp_path / "output.log")
        output.write(text)
        output.close()
        output.write(text)
        output.close()
    assert output.text() == "one\none\ntwo\ntwo\n"


def test_nothing_leaves_no_file(tmp_path):
    output = OutputLog("silent", tmp_path / "output.log")
    output.close()
    assert output.text() == output.last_line() == ""
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_it_is_in_a_file_all_the_same():
    output = OutputLog("a/b")
    output.write(b"somewhere\n")
    output.close()
    assert output.path.read_text() == "somewhere\n"


def test_a_disk_that_cannot_be_written_to_costs_the_text_and_is_said_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    output = OutputLog("unlucky", tmp_path / "file" / "output.log")
    output.write(b"first\n")
    output.write(b"second\n")
    assert output.last_line() == "second"
    assert output.text() == "first\nsecond\n"
    assert len([record for record in caplog.records if "unlucky" in record.getMessage()]) == 1
    (tmp_path / "file").unlink()
    output.write(b"third\n")
    output.close()
    assert output.path.read_text() == "third\n"


@pytest.mark.parametrize("size", [1, 499, 500, 501, 1000, 1001, 5000])
def test_whatever_comes_at_once_the_bound_holds(tmp_path, size):
    output = OutputLog("any", tmp_path / "output.log", max_bytes=1000)
    for _ in range(20):
        output.write(b"y" * size)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1000
    output.close()


@pytest.mark.parametrize("gone", ["file", "folder"])
def test_a_file_that_is_taken_away_is_begun_anew_with_the_last_words(tmp_path, caplog, gone):
    output = OutputLog("cleared", tmp_path / "logs" / "output.log")
    output.write(b"before\n")
    if gone == "file":
        output.path.unlink()
    else:
        shutil.rmtree(output.path.parent)
    assert output.text() == "before\n"
    output.write(b"after\n")
    output.write(b"later\n")
    assert output.text() == output.path.read_text() == "before\nafter\nlater\n"
    output.close()
    output.path.unlink()
    assert output.text() == "before\nafter\nlater\n"
    assert len([record for record in caplog.records if "cleared" in record.getMessage()]) == 1


def test_a_file_that_is_taken_away_and_cannot_be_begun_anew_costs_no_process(tmp_path):
    output = OutputLog("blocked", tmp_path / "logs" / "output.log")
    output.write(b"before\n")
    shutil.rmtree(tmp_path / "logs")
    (tmp_path / "logs").write_text("in the way")
    output.write(b"after\n")
    assert output.text() == "before\nafter\n"
    (tmp_path / "logs").unlink()
    output.write(b"later\n")
    output.close()
    assert output.path.read_text().endswith("later\n")
