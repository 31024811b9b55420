"""Kafka's own tools: which there are, and how this process becomes one, with the lab's Java and address."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from labkit.errors import LabkitError
from labkit.lab.aot_cache import made_folder, read_note
from labkit.lab.connection import Connection, java_config
from labkit.lab.jars import kafka_jars, tool_jars
from labkit.lab.kafka_server import Java, class_path, escaped, find_java, java_options
from labkit.lab.lab import attach_lab
from labkit.settings import Settings, environment_for_java

_LOGGING = Path(__file__).with_name("tools_log4j2.properties")
_PACKAGE = "org.apache.kafka.tools"

#: With one of these, the tool asks no broker.
_ASK_NOBODY = {"--help", "-h", "--version"}
#: By these, and by a property, a user names the address.
_ADDRESSES = {"--bootstrap-server", "-b", "--bootstrap-controller", "-C"}
_ADDRESS_AS_PROPERTY = re.compile(r"(.*=)?bootstrap\.servers=")
#: By these a user names a file of properties.
_CONFIGS = {
    "--command-config",
    "-c",
    "--producer.config",
    "--consumer.config",
    "--consumer-config",
    "--admin.config",
    "--config-file",
}


@dataclass(frozen=True, slots=True)
class KafkaTool:
    """One of them. `name` is that of Kafka's script without `kafka-` and `.sh`, `main` the class below Kafka's tools.

    `has_commands`: its options come after a word that says what to do. Without `asks_kafka` it reads files.
    """

    name: str
    main: str
    does: str
    has_commands: bool = False
    asks_kafka: bool = True


KAFKA_TOOLS = (
    KafkaTool("topics", "TopicCommand", "create, list, describe, alter and delete topics"),
    KafkaTool("console-producer", "ConsoleProducer", "send each line of the standard input as a record"),
    KafkaTool("console-consumer", "consumer.ConsoleConsumer", "print the records of a topic until Ctrl-C"),
    KafkaTool("console-share-consumer", "consumer.ConsoleShareConsumer", "the same as a member of a share group"),
    KafkaTool("groups", "GroupsCommand", "list the groups of every kind"),
    KafkaTool("consumer-groups", "consumer.group.ConsumerGroupCommand", "list, describe, reset and delete groups"),
    KafkaTool("share-groups", "consumer.group.ShareGroupCommand", "the same for share groups"),
    KafkaTool("streams-groups", "streams.StreamsGroupCommand", "the same for groups of Kafka Streams"),
    KafkaTool("configs", "ConfigCommand", "show and change the settings of topics, brokers, groups and users"),
    KafkaTool("get-offsets", "GetOffsetShell", "the first or last offset of each partition"),
    KafkaTool("delete-records", "DeleteRecordsCommand", "delete the records before given offsets"),
    KafkaTool("producer-perf-test", "ProducerPerformance", "measure how fast records are sent"),
    KafkaTool("consumer-perf-test", "ConsumerPerformance", "measure how fast records are read"),
    KafkaTool("share-consumer-perf-test", "ShareConsumerPerformance", "the same as a share group"),
    KafkaTool("transactions", "TransactionsCommand", "list, describe and abort transactions"),
    KafkaTool("reassign-partitions", "reassign.ReassignPartitionsCommand", "move partitions between brokers"),
    KafkaTool("leader-election", "LeaderElectionCommand", "have the leaders of partitions elected"),
    KafkaTool("log-dirs", "LogDirsCommand", "how much each partition stores"),
    KafkaTool("cluster", "ClusterTool", "the id and the brokers of the cluster", has_commands=True),
    KafkaTool("metadata-quorum", "MetadataQuorumCommand", "the controllers and how far they are"),
    KafkaTool("features", "FeatureCommand", "show and change the versions of the cluster's features"),
    KafkaTool("broker-api-versions", "BrokerApiVersionsCommand", "which requests each broker understands"),
    KafkaTool("acls", "AclCommand", "list, add and remove what users may do"),
    KafkaTool("delegation-tokens", "DelegationTokenCommand", "create, renew and expire tokens"),
    KafkaTool("client-metrics", "ClientMetricsCommand", "which metrics clients send to the brokers"),
    KafkaTool("streams-application-reset", "StreamsResetter", "set an application of Kafka Streams back"),
    KafkaTool("dump-log", "DumpLogSegments", "print the files in which a partition is stored", asks_kafka=False),
)


def find_tool(name: str) -> KafkaTool:
    """The tool of that name. Raises `LabkitError`, which lists them."""
    tools = {tool.name: tool for tool in KAFKA_TOOLS}
    if name not in tools:
        close = get_close_matches(name.removeprefix("kafka-").removesuffix(".sh"), tools, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise LabkitError(f"There is no tool {name!r} of Kafka here.{hint} There are {', '.join(tools)}.")
    return tools[name]


def become(tool: KafkaTool, words: Sequence[str], settings: Settings) -> NoReturn:
    """Run the tool in the place of this process: input, output, signals and the exit status are its own.

    Raises `LabNotRunning` if it needs the lab, `SettingsError` for certificates that Java cannot use, and what
    `tool_jars` and `find_java` raise.
    """
    connection = None
    if needs_address(tool, words):
        with attach_lab(settings=settings) as lab:
            connection = lab.connection
    java = find_java(settings)
    command = _java_command(java, tool, settings)
    arguments = list(words) if connection is None else with_address(tool, words, connection)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(java.program, [*command, *arguments], environment_for_java())  # noqa: S606 - it is to become the tool


def needs_address(tool: KafkaTool, words: Sequence[str]) -> bool:
    """Whether the tool is to be told where Kafka is: it asks for it, and the user has not said it."""
    if not tool.asks_kafka or _ASK_NOBODY.intersection(words) or (tool.has_commands and not words):
        return False
    return not any(_option(word) in _ADDRESSES or _ADDRESS_AS_PROPERTY.match(word) for word in words)


def with_address(tool: KafkaTool, words: Sequence[str], connection: Connection) -> list[str]:
    """The words with the address, and how to log in there, unless they name a file of properties themselves.

    The file with the password is readable by this user only, has no name any more, and is gone with the process.
    """
    told = ["--bootstrap-server", connection.bootstrap_servers]
    if connection.security_protocol != "PLAINTEXT" and not any(_option(word) in _CONFIGS for word in words):
        told += ["--command-config", _nameless_file(connection)]
    at = 1 if tool.has_commands else 0
    return [*words[:at], *told, *words[at:]]


def _option(word: str) -> str:
    return word.partition("=")[0]


def _nameless_file(connection: Connection) -> str:
    """A path at which this process, and what it becomes, reads the properties; no other process finds it."""
    lines = [f"{name}={escaped(value)}\n" for name, value in java_config(connection).items()]
    with tempfile.TemporaryFile() as file:
        file.write("".join(lines).encode())
        file.seek(0)
        number = os.dup(file.fileno())
    os.set_inheritable(number, True)
    return f"/dev/fd/{number}"


def _java_command(java: Java, tool: KafkaTool, settings: Settings) -> list[str]:
    jars = tool_jars(settings)
    note = read_note(made := made_folder(settings, java, kafka_jars(settings)))
    # where it does not fit, Java does without
    cache = [f"-XX:AOTCache={made / 'aot'}", "-Xlog:disable"] if note and note["aot"] else []
    return [
        str(java.program),
        *java_options(java),
        *cache,
        f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}",
        "-Dlog4j2.disableJmx=true",
        "-cp",
        class_path(jars),
        f"{_PACKAGE}.{tool.main}",
    ]
