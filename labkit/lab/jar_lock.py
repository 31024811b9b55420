"""The lock files of Kafka's jars: which a lab needs, which its tools need beside them, and are they whole.

Only the maintainers write them anew, when Kafka's version changes. Let Maven copy the jars in the layout of a
repository (Kafka, and the logging binding for the log4j that Kafka brings):

    mvn dependency:copy-dependencies -Dmdep.useRepositoryLayout=true -DincludeScope=runtime -DoutputDirectory=FOLDER

with a pom.xml that depends on `org.apache.kafka:kafka_2.13` and `org.apache.logging.log4j:log4j-slf4j-impl`; once more
into another folder, with `org.apache.kafka:kafka-tools` too, but without its `org.apache.kafka:connect-runtime`, which
only tools of Kafka Connect need; then

    python -m labkit.lab.jar_lock FOLDER FOLDER_WITH_TOOLS
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

LOCK_FILE = Path(__file__).with_name("jars.lock.json")
TOOLS_LOCK_FILE = Path(__file__).with_name("tool_jars.lock.json")

#: The version of Apache Kafka that the lock files hold.
KAFKA_VERSION = "4.4.0"


@dataclass(frozen=True, slots=True)
class Jar:
    """One entry of a lock file: `coordinates` are group:artifact:version, `size` is in bytes."""

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
    return _read(LOCK_FILE)


def locked_tool_jars() -> list[Jar]:
    """The jars that Kafka's tools need beside those of Kafka, from the other lock file."""
    return _read(TOOLS_LOCK_FILE)


def _read(lock_file: Path) -> list[Jar]:
    return [Jar(**entry) for entry in json.loads(lock_file.read_text(encoding="utf-8"))]


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


def lock_entries(folder: Path) -> list[dict[str, object]]:
    """One entry per jar under a folder in the layout of a Maven repository, ordered by its path."""
    return [_entry(jar, jar.relative_to(folder)) for jar in sorted(folder.rglob("*.jar"))]


def _entry(jar: Path, path: Path) -> dict[str, object]:
    *group, artifact, version, name = path.parts
    if name != f"{artifact}-{version}.jar":
        raise ValueError(f"{path} is not group/artifact/version/artifact-version.jar")
    return {
        "coordinates": f"{'.'.join(group)}:{artifact}:{version}",
        "sha256": file_sha256(jar),
        "size": jar.stat().st_size,
    }


def write_locks(folder: Path, folder_with_tools: Path) -> None:
    """Write both lock files. Raises `ValueError` if the tools need another version of what the lab has."""
    entries = lock_entries(folder)
    of_tools = [entry for entry in lock_entries(folder_with_tools) if entry not in entries]
    twice = {_artifact(entry) for entry in entries} & {_artifact(entry) for entry in of_tools}
    if twice:
        raise ValueError(f"in another version for the tools: {', '.join(sorted(twice))}")
    for lock_file, found in ((LOCK_FILE, entries), (TOOLS_LOCK_FILE, of_tools)):
        lock_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _artifact(entry: dict[str, object]) -> str:
    return str(entry["coordinates"]).rpartition(":")[0]


if __name__ == "__main__":
    write_locks(Path(sys.argv[1]), Path(sys.argv[2]))
    for jars in (locked_jars(), locked_tool_jars()):
        print(f"{len(jars)} jars, {sum(jar.size for jar in jars):,} bytes")  # noqa: T201
