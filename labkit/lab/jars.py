"""Kafka's jars: where they are kept (the cache, or the user's own Kafka), and which of them are missing or damaged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from labkit.errors import DownloadError, LabError
from labkit.lab.folders import cache_folder
from labkit.lab.jar_lock import KAFKA_VERSION, Jar, file_sha256, is_whole, locked_jars, locked_tool_jars
from labkit.settings import Settings


def jar_folder(settings: Settings) -> Path:
    """Where fetched jars are kept."""
    return cache_folder(settings) / f"kafka-{KAFKA_VERSION}"


def kafka_jars(settings: Settings) -> list[Path]:
    """The jars of the class path in a fixed order; those that are missing or of another size are fetched.

    With them come those of Kafka's tools, which are small: they may be wanted where there is no network.
    Raises `DownloadError`, `DiskFull`, and `LabError` if `LABKIT_KAFKA_HOME` holds no Kafka.
    """
    if settings.kafka_home is not None:
        return _jars_of_home(settings.kafka_home.absolute())
    jars = locked_jars()
    if missing_jars(settings, jars):
        _fetch(settings, jars)
        with suppress(DownloadError):  # a lab does without; `labkit kafka` fetches them, and says why it cannot
            _fetch(settings, locked_tool_jars())
    return _paths(settings, jars)


def tool_jars(settings: Settings) -> list[Path]:
    """The jars of the class path for Kafka's tools: first those of Kafka, so that its AOT cache fits them too.

    Those that are missing are fetched. Raises as `kafka_jars` does.
    """
    jars = kafka_jars(settings)
    if settings.kafka_home is not None:
        if not any(jar.name == f"kafka-tools-{kafka_version(jars)}.jar" for jar in jars):
            raise LabError(
                f"The Kafka in {settings.kafka_home}, which LABKIT_KAFKA_HOME names, has no kafka-tools among its "
                "jars. Name an unpacked archive as Apache Kafka publishes it, or unset the variable."
            )
        return jars
    of_tools = locked_tool_jars()
    if missing_jars(settings, of_tools):
        _fetch(settings, of_tools)
    return [*jars, *_paths(settings, of_tools)]


def missing_jars(settings: Settings, jars: Sequence[Jar]) -> list[Jar]:
    """Those that were not fetched yet, or are of another size."""
    folder = jar_folder(settings)
    return [jar for jar in jars if not is_whole(folder / jar.file_name, jar)]


def damaged_jars(settings: Settings, jars: Sequence[Jar]) -> list[Path]:
    """The fetched ones whose content is not what the lock file says. Reads all of them (about 0.1 s)."""
    if settings.kafka_home is not None:
        return []
    folder = jar_folder(settings)
    return [
        folder / jar.file_name
        for jar in jars
        if (folder / jar.file_name).exists() and file_sha256(folder / jar.file_name) != jar.sha256
    ]


def kafka_version(jars: Sequence[Path]) -> str:
    """The version of Kafka among the jars, such as 4.4.0; empty if there is no Kafka among them."""
    names = (jar.stem for jar in jars if jar.name.startswith("kafka_2.13-"))
    return next((name.removeprefix("kafka_2.13-") for name in names if "-" not in name.removeprefix("kafka_2.13-")), "")


def _fetch(settings: Settings, jars: Sequence[Jar]) -> None:
    from labkit.lab.download import fetch_jars  # requests and rich are slow to import and seldom needed

    fetch_jars(missing_jars(settings, jars), jar_folder(settings), settings.jar_repository)


def _paths(settings: Settings, jars: Sequence[Jar]) -> list[Path]:
    return [jar_folder(settings) / jar.file_name for jar in jars]


def _jars_of_home(home: Path) -> list[Path]:
    jars = sorted((home / "libs").glob("*.jar"))
    if not kafka_version(jars).startswith("4."):
        raise LabError(
            f"LABKIT_KAFKA_HOME is {home}, but there is no Apache Kafka 4 in its folder libs. "
            "Name the folder that the archive kafka_2.13-4.x.y.tgz was unpacked to, or unset the variable."
        )
    return jars
