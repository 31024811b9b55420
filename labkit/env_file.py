"""A `.env`: all of its lines, each with its place, or a sentence that says which line cannot be read."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from labkit.errors import SettingsError

#: By what a file begins in UTF-16, as some editors and shells of Windows write it.
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NEWLINE = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class EnvLine:
    """What one line says: `name` as it is written, `value` without quotes, `place` in words, `folder` of the file."""

    name: str
    value: str
    place: str
    folder: Path


def read_env_file(file: Path, prefix: str, environment: Mapping[str, str]) -> dict[str, EnvLine]:
    """The lines by their names, in capitals. There are none where there is no file, nor where a folder that bears the
    name is a Python environment. `${NAME}` in a value is a variable of the lines above or of `environment`.

    Raises `SettingsError` for a file that cannot be read, and, of lines and names with `prefix` (in capitals or not),
    for one that cannot be read, one that is given twice, one without a value, and one that refers to a variable that
    is not set. What other programs make of their lines is their affair.
    """
    known = dict(environment)
    lines: dict[str, EnvLine] = {}
    for binding in parse_stream(StringIO(_text(file))):
        place = f"line {_number(binding)} of {file}"
        if binding.error:
            if prefix not in binding.original.string.upper():
                continue
            raise SettingsError(
                f"L{place[1:]} cannot be read. A line is NAME=value, or a comment behind #; a quote before a value is "
                "closed behind it."
            )
        if binding.key is None:
            continue
        name = binding.key.upper()
        is_ours = name.startswith(prefix)
        if binding.value is None:
            if is_ours:
                raise SettingsError(f"L{place[1:]} names {binding.key} without a value. Write {binding.key}=value.")
            continue
        if is_ours and name in lines:
            raise SettingsError(
                f"{name} is given twice in {file}: in {lines[name].place.partition(' of ')[0]} and in "
                f"{place.partition(' of ')[0]}. Delete one of them."
            )
        value = _filled_in(binding.value, known, f"{binding.key} in {place}" if is_ours else None)
        known[binding.key] = value
        lines[name] = EnvLine(binding.key, value, place, file.parent)
    return lines


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        if file.is_symlink():
            raise SettingsError(f"{file} is a link to a file that is not there. Mend the link, or delete it.") from None
        return ""
    except IsADirectoryError:
        if (file / "pyvenv.cfg").exists() or (file / "conda-meta").exists():
            return ""
        raise SettingsError(
            f"{file} is a folder, and labkit reads its settings from a file of that name. Rename the folder."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"The file {file} cannot be read: {error.strerror}. labkit reads its settings there; make it readable for "
            "you, or rename it."
        ) from None
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        # what stands there in any other encoding is a guess
        number = content[: error.start].count(b"\n") + 1
        where = f", in line {number}" if encoding == "utf-8" else ""
        raise SettingsError(f"The file {file} is no text in {encoding.upper()}{where}. Save it as UTF-8.") from None
    if "\0" in text:
        raise SettingsError(f"The file {file} holds a NUL, so it is no text in UTF-8. Save it as UTF-8.")
    return text


def _number(binding: Binding) -> int:
    """Of the line on which it begins; the parser counts from the empty lines before it."""
    text: str = binding.original.string
    return int(binding.original.line) + len(_NEWLINE.findall(text[: len(text) - len(text.lstrip())]))


def _filled_in(value: str, known: Mapping[str, str], whose: str | None) -> str:
    """With the variables in it replaced; of one that is `whose`, all must be set."""
    atoms = list(parse_variables(value))
    for atom in atoms:
        if whose is not None and isinstance(atom, Variable) and atom.default is None and atom.name not in known:
            raise SettingsError(
                f"{whose} refers by ${{…}} to a variable that is not set. Set it in a line above or the environment, "
                "or write ${NAME:-value}. A value that has ${ in it can only stand in the environment."
            )
    return "".join(atom.resolve(known) for atom in atoms)
