"""Kafka's jars: which ones (the lock file), where from (a Maven repository) and where they are kept (the cache)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from labkit.errors import LabError
from labkit.lab.folders import cache_folder
from labkit.settings import Settings

LOCK_FILE = Path(__file__).with_name("jars.lock.json")

#: The version of Apache Kafka that the lock file holds.
KAFKA_VERSION = "4.4.0"


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of the lock: `coordinates` are group:artifact:version, `size` is in bytes."""

    coordinates: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """artifact-version.jar"""
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"

    @property
    def repository_path(self) -> str:
        """Where the file stands in every Maven repository: group/artifact/version/file."""
        group, artifact, version = self.coordinates.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{self.file_name}"


def locked_jars() -> list[Jar]:
    """The jars that Kafka needs, from the lock file in this package."""
    return [Jar(**entry) for entry in json.loads(LOCK_FILE.read_text(encoding="utf-8"))]


def jar_folder(settings: Settings) -> Path:
    """Where fetched jars are kept."""
    return cache_folder(settings) / f"kafka-{KAFKA_VERSION}"


def kafka_jars(settings: Settings) -> list[Path]:
    """The jars of the class path in a fixed order; those that are missing or of another size are fetched.

    Raises `DownloadError`, `DiskFull`, and `LabError` if `LABKIT_KAFKA_HOME` holds no Kafka.
    """
    if settings.kafka_home is not None:
        return _jars_of_home(settings.kafka_home)
    folder = jar_folder(settings)
    jars = locked_jars()
    missing = [jar for jar in jars if not is_whole(folder / jar.file_name, jar)]
    if missing:
        from labkit.lab.download import fetch_jars  # requests and rich are slow to import and seldom needed

        fetch_jars(missing, folder, settings.jar_repository)
    return [folder / jar.file_name for jar in jars]


def damaged_jars(settings: Settings) -> list[Path]:
    """The fetched jars whose content is not what the lock file says. Reads all of them (about 0.1 s)."""
    if settings.kafka_home is not None:
        return []
    folder = jar_folder(settings)
    return [
        folder / jar.file_name
        for jar in locked_jars()
        if (folder / jar.file_name).exists() and file_sha256(folder / jar.file_name) != jar.sha256
    ]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def is_whole(path: Path, jar: Jar) -> bool:
    """Is the file there in its whole length?"""
    try:
        return path.stat().st_size == jar.size
    except FileNotFoundError:
        return False


def kafka_version(jars: Sequence[Path]) -> str:
    """The version of Kafka among the jars, such as 4.4.0; empty if there is no Kafka among them."""
    names = (jar.stem for jar in jars if jar.name.startswith("kafka_2.13-"))
    return next((name.removeprefix("kafka_2.13-") for name in names if "-" not in name.removeprefix("kafka_2.13-")), "")


def _jars_of_home(home: Path) -> list[Path]:
    jars = sorted((home / "libs").glob("*.jar"))
    if not kafka_version(jars).startswith("4."):
        raise LabError(
            f"LABKIT_KAFKA_HOME is {home}, but there is no Apache Kafka 4 in its folder libs. "
            "Name the folder that the archive kafka_2.13-4.x.y.tgz was unpacked to, or unset the variable."
        )
    return jars
