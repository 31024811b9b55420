"""Kafka's jars: which ones (the lock file), where from (a Maven repository) and where they are kept (the cache)."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    missing = [jar for jar in jars if not _is_whole(folder / jar.file_name, jar)]
    if missing:
        from labkit.lab.download import fetch_jars  # requests and rich are slow to import and seldom needed

        fetch_jars(missing, folder, settings.jar_repository)
    return [folder / jar.file_name for jar in jars]


def _is_whole(path: Path, jar: Jar) -> bool:
    try:
        return path.stat().st_size == jar.size
    except FileNotFoundError:
        return False


def _jars_of_home(home: Path) -> list[Path]:
    jars = sorted((home / "libs").glob("*.jar"))
    if not any(jar.name.startswith("kafka_2.13-4.") for jar in jars):
        raise LabError(
            f"LABKIT_KAFKA_HOME is {home}, but there is no Apache Kafka 4 in its folder libs. "
            "Name the folder that the archive kafka_2.13-4.x.y.tgz was unpacked to, or unset the variable."
        )
    return jars
