"""Write `jars.lock.json` anew. Only the maintainers need this, when Kafka's version changes.

Let Maven copy the jars in the layout of a repository (Kafka, and the logging binding for the log4j that Kafka brings):

    mvn dependency:copy-dependencies -Dmdep.useRepositoryLayout=true -DincludeScope=runtime -DoutputDirectory=FOLDER

with a pom.xml that depends on `org.apache.kafka:kafka_2.13` and `org.apache.logging.log4j:log4j-slf4j-impl`; then

    python -m labkit.lab.relock FOLDER
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from labkit.lab.jars import LOCK_FILE


def lock_entries(folder: Path) -> list[dict[str, object]]:
    """One entry per jar under a folder in the layout of a Maven repository, ordered by its path."""
    return [_entry(jar, jar.relative_to(folder)) for jar in sorted(folder.rglob("*.jar"))]


def _entry(jar: Path, path: Path) -> dict[str, object]:
    *group, artifact, version, name = path.parts
    if name != f"{artifact}-{version}.jar":
        raise ValueError(f"{path} is not group/artifact/version/artifact-version.jar")
    content = jar.read_bytes()
    return {
        "coordinates": f"{'.'.join(group)}:{artifact}:{version}",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


if __name__ == "__main__":
    entries = lock_entries(Path(sys.argv[1]))
    LOCK_FILE.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    print(f"{len(entries)} jars, {sum(int(str(entry['size'])) for entry in entries):,} bytes")  # noqa: T201
