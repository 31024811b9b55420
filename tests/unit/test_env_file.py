"""What may stand in a `.env`, and which sentence is said of what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.env_file import read_env_file
from labkit.errors import SettingsError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(".env")


def values(file: Path) -> dict[str, str]:
    return {name: line.value for name, line in read_env_file(file, "LABKIT", {"HERE": "there"}).items()}


@pytest.mark.parametrize(
    "content",
    [
        b"LABKIT_LAB=\xc3\xa4",
        b"\xef\xbb\xbfLABKIT_LAB=\xc3\xa4\n",
        "LABKIT_LAB=ä\r\n".encode("utf-16"),
        "\ufeffLABKIT_LAB=ä\n".encode("utf-16-be"),
        "# a comment\r\n\r\nexport LABKIT_LAB = 'ä' # mine\r\n".encode(),
        'labkit_lab="ä"\rOTHER\rOTHER=1\rOTHER=2'.encode(),
        "LABKIT_LAB=${NAME:-ä}".encode(),
        "NAME=ä\nLABKIT_LAB=${NAME}".encode(),
    ],
)
def test_it_is_read_as_it_is_meant(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert values(file)["LABKIT_LAB"] == "ä"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n\n  LABKIT_LAB='mine\nLABKIT_PORT=1", r"Line 3 of \.env cannot be read\. A line is NAME=value"),
        (b"OTHER=1\nset LABKIT_LAB=mine", r"Line 2 of \.env cannot be read"),
        (b"LABKIT_LAB: mine", r"Line 1 of \.env cannot be read"),
        (b"LABKIT_LAB=mine\nLABKIT_LAB", r"Line 2 of \.env names LABKIT_LAB without a value"),
        (b"LABKIT_LAB=a\n\nlabkit_lab=b", r"LABKIT_LAB is given twice in \.env: in line 1 and in line 3"),
        (
            b"LABKIT_LAB=${HERE}${NOWHERE}",
            r"LABKIT_LAB in line 1 of \.env refers by \${…} to a variable",
        ),
        (b"A=1\nLABKIT_LAB=\xe4", r"The file \.env is no text in UTF-8, in line 2\. Save it as UTF-8"),
        (b"\xff\xfeL", r"The file \.env is no text in UTF-16"),
        ("LABKIT_LAB=a".encode("utf-16-le"), r"The file \.env holds a NUL"),
    ],
)
def test_what_cannot_be_read_is_named(file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=says):
        values(file)


def test_no_value_is_shown(file: Path) -> None:
    file.write_text("LABKIT_API_TOKEN='secret\n")
    with pytest.raises(SettingsError) as raised:
        values(file)
    assert "secret" not in str(raised.value)


def test_what_is_no_file_is_named(file: Path) -> None:
    assert values(file) == {}
    file.symlink_to("nowhere")
    with pytest.raises(SettingsError, match="link to a file that is not there"):
        values(file)
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        values(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(SettingsError, match="is a folder"):
        values(file)
    (file / "pyvenv.cfg").touch()  # python -m venv .env
    assert values(file) == {}
