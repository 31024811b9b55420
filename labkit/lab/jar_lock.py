"""The lock file of Kafka's jars: which files a lab needs, and the check that they are those.

Only the maintainers write it anew, when Kafka's version changes. Let Maven copy the jars in the layout of a repository
(Kafka, and the logging binding for the log4j that Kafka brings):

    mvn dependency:copy-dependencies -Dmdep.useRepositoryLayout=true -DincludeScope=runtime -DoutputDirectory=FOLDER

with a pom.xml that depends on `org.apache.kafka:kafka_2.13` and `org.apache.logging.log4j:log4j-slf4j-impl`; then

    python -m labkit.lab.jar_lock FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

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


if __name__ == "__main__":
    entries = lock_entries(Path(sys.argv[1]))
    LOCK_FILE.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    print(f"{len(entries)} jars, {sum(int(str(entry['size'])) for entry in entries):,} bytes")  # noqa: T201
