"""The properties and the command line that Kafka is started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.lab.java import Java
from labkit.lab.kafka_server import java_options, server_properties


def properties(data: Path = Path("/data")) -> dict[str, str]:
    text = server_properties(data=data, port=9092, controller_port=9093)
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_every_listener_is_on_the_loopback_address() -> None:
    listeners = properties()["listeners"].split(",")
    assert listeners == ["PLAINTEXT://127.0.0.1:9092", "CONTROLLER://127.0.0.1:9093"]
    assert properties()["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"


def test_everything_that_kafka_replicates_is_content_with_one_node() -> None:
    factors = {name: value for name, value in properties().items() if "replication.factor" in name or "min.isr" in name}
    assert len(factors) >= 6
    assert set(factors.values()) == {"1"}


def test_three_nodes_know_each_other_and_hold_everything_three_times() -> None:
    text = server_properties(data=Path("/data"), port=9093, controller_port=22, node=2, voters=[11, 22, 33])
    second = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    assert second["node.id"] == "2"
    assert second["controller.quorum.voters"] == "1@127.0.0.1:11,2@127.0.0.1:22,3@127.0.0.1:33"
    assert second["listeners"] == "PLAINTEXT://127.0.0.1:9093,CONTROLLER://127.0.0.1:22"
    factors = {name: value for name, value in second.items() if "replication.factor" in name}
    in_sync = {name: value for name, value in second.items() if "min.isr" in name or "min.insync" in name}
    assert (len(factors), set(factors.values())) == (4, {"3"})
    assert (len(in_sync), set(in_sync.values())) == (3, {"2"})
    alone = properties()
    assert {name for name in second if second[name] != alone[name]} == {
        "node.id",
        "controller.quorum.voters",
        "listeners",
        "advertised.listeners",
        *factors,
        *in_sync,
    }


@pytest.mark.parametrize(
    ("folder", "written"),
    [
        ("/a b", "/a b"),
        ("/é", "/\\u00e9"),
        ("/😀", "/\\ud83d\\ude00"),
        ("/a\\b", "/a\\u005cb"),
        ("/a\tb", "/a\\u0009b"),
    ],
)
def test_a_folder_is_written_as_javas_properties_want_it(folder: str, written: str) -> None:
    assert properties(Path(folder))["log.dirs"] == written


@pytest.mark.parametrize("major", [17, 21, 24, 25])
def test_an_older_java_gets_no_option_that_it_does_not_know(major: int) -> None:
    options = java_options(Java(Path("/java"), major, ""))
    assert ("--sun-misc-unsafe-memory-access=allow" in options) == (major >= 24)
    assert ("-XX:+UseCompactObjectHeaders" in options) == (major >= 25)
