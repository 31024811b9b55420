"""The lock file, and which jars are missing, damaged or somebody's own."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

from labkit.errors import LabError
from labkit.lab import jar_lock, jars
from labkit.lab.jar_lock import KAFKA_VERSION, Jar, lock_entries, locked_jars, locked_tool_jars, write_locks
from labkit.lab.jars import damaged_jars, kafka_jars, kafka_version, tool_jars
from labkit.settings import Settings


def test_the_lock_file_holds_kafka_and_one_logging_of_one_version() -> None:
    versions = {jar.coordinates.rsplit(":", 1)[0]: jar.coordinates.rsplit(":", 1)[1] for jar in locked_jars()}
    assert versions["org.apache.kafka:kafka_2.13"] == KAFKA_VERSION
    logging = {version for name, version in versions.items() if name.startswith("org.apache.logging.log4j:")}
    assert len(logging) == 1
    assert "org.apache.logging.log4j:log4j-slf4j-impl" in versions


def test_the_tools_are_of_the_same_version_and_have_what_they_need_from_the_lab() -> None:
    assert f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}" in [jar.coordinates for jar in locked_tool_jars()]
    artifacts = [jar.coordinates.rpartition(":")[0] for jar in (*locked_jars(), *locked_tool_jars())]
    assert len(set(artifacts)) == len(artifacts)


def test_every_entry_of_the_lock_files_is_complete() -> None:
    for jar in (*locked_jars(), *locked_tool_jars()):
        assert re.fullmatch(r"[\w.-]+:[\w.-]+:[\w.-]+", jar.coordinates)
        assert re.fullmatch(r"[0-9a-f]{64}", jar.sha256)
        assert jar.size > 1000
    assert len({jar.file_name for jar in locked_jars()}) == len(locked_jars())


def test_the_path_in_a_repository() -> None:
    jar = Jar("org.apache.kafka:kafka_2.13:4.4.0", "", 0)
    assert jar.repository_path == "org/apache/kafka/kafka_2.13/4.4.0/kafka_2.13-4.4.0.jar"


def test_relocking_reads_a_folder_in_the_layout_of_a_repository(tmp_path: Path) -> None:
    jar = tmp_path / "org/example/thing/1.2/thing-1.2.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"content")
    assert lock_entries(tmp_path) == [
        {"coordinates": "org.example:thing:1.2", "sha256": sha256(b"content").hexdigest(), "size": 7}
    ]
    (jar.parent / "thing-1.2-sources.jar").write_bytes(b"")
    with pytest.raises(ValueError, match="sources"):
        lock_entries(tmp_path)


def test_what_the_tools_need_beside_the_lab_is_locked_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_lab, of_tools = tmp_path / "lab", tmp_path / "tools"
    for folder, names in ((of_lab, ["thing/1"]), (of_tools, ["thing/1", "tool/1"])):
        for name in names:
            (folder / "org" / name).mkdir(parents=True)
            (folder / "org" / name / f"{name.replace('/', '-')}.jar").write_bytes(b"content")
    for name in ("LOCK_FILE", "TOOLS_LOCK_FILE"):
        monkeypatch.setattr(jar_lock, name, tmp_path / name)
    write_locks(of_lab, of_tools)
    assert [jar.coordinates for jar in locked_jars()] == ["org:thing:1"]
    assert [jar.coordinates for jar in locked_tool_jars()] == ["org:tool:1"]
    (of_tools / "org" / "thing" / "2").mkdir()
    (of_tools / "org" / "thing" / "2" / "thing-2.jar").write_bytes(b"content")
    with pytest.raises(ValueError, match=r"another version for the tools: org:thing$"):
        write_locks(of_lab, of_tools)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A cache with two jars, as a lock file of two jars has them, and none of the tools' one."""
    one, two, tool = (
        Jar(f"org.example:{name}:1", sha256(name.encode()).hexdigest(), len(name)) for name in ("one", "two", "tool")
    )
    monkeypatch.setattr(jars, "locked_jars", lambda: [one, two])
    monkeypatch.setattr(jars, "locked_tool_jars", lambda: [tool])
    settings = Settings(cache_dir=tmp_path)
    jars.jar_folder(settings).mkdir()
    for name in ("one", "two"):
        (jars.jar_folder(settings) / f"{name}-1.jar").write_text(name)
    return settings


def test_what_is_in_the_cache_is_not_fetched(cache: Settings) -> None:
    assert [jar.name for jar in kafka_jars(cache)] == ["one-1.jar", "two-1.jar"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the jars that were to be fetched."""
    names: list[str] = []
    monkeypatch.setattr(
        "labkit.lab.download.fetch_jars", lambda missing, *_: names.extend(jar.file_name for jar in missing)
    )
    return names


def test_a_jar_of_another_size_is_fetched_again_and_what_the_tools_lack_with_it(
    cache: Settings, asked: list[str]
) -> None:
    (jars.jar_folder(cache) / "two-1.jar").write_text("cut o")
    kafka_jars(cache)
    assert asked == ["two-1.jar", "tool-1.jar"]


def test_what_only_the_tools_need_is_fetched_with_the_first_of_them(cache: Settings, asked: list[str]) -> None:
    kafka_jars(cache)
    assert asked == []
    assert [jar.name for jar in tool_jars(cache)] == ["one-1.jar", "two-1.jar", "tool-1.jar"]
    assert asked == ["tool-1.jar"]


def test_a_damaged_jar_of_the_same_size_is_found(cache: Settings) -> None:
    locked = jars.locked_jars()
    assert damaged_jars(cache, locked) == []
    (jars.jar_folder(cache) / "two-1.jar").write_text("TWO")
    assert [jar.name for jar in damaged_jars(cache, locked)] == ["two-1.jar"]


def test_the_users_own_kafka(tmp_path: Path) -> None:
    (tmp_path / "libs").mkdir()
    for name in ("kafka_2.13-4.4.0.jar", "kafka-clients-4.4.0.jar"):
        (tmp_path / "libs" / name).touch()
    own = kafka_jars(Settings(kafka_home=tmp_path))
    assert kafka_version(own) == "4.4.0"
    assert len(own) == 2
    with pytest.raises(LabError, match=r"LABKIT_KAFKA_HOME names, has no kafka-tools"):
        tool_jars(Settings(kafka_home=tmp_path))
    (tmp_path / "libs" / "kafka-tools-4.4.0.jar").touch()
    assert len(tool_jars(Settings(kafka_home=tmp_path))) == 3


def test_the_users_own_kafka_is_found_also_from_the_folder_in_which_the_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kafka" / "libs").mkdir(parents=True)
    (tmp_path / "kafka" / "libs" / "kafka_2.13-4.4.0.jar").touch()
    monkeypatch.chdir(tmp_path)
    for own in (Settings(kafka_home=Path("kafka")), Settings().model_copy(update={"kafka_home": Path("kafka")})):
        assert kafka_jars(own) == [tmp_path / "kafka" / "libs" / "kafka_2.13-4.4.0.jar"]


@pytest.mark.parametrize("name", ["kafka_2.13-3.9.1.jar", "kafka-clients-4.4.0.jar", "kafka_2.13-4.4.0-sources.jar"])
def test_a_folder_without_kafka_4(tmp_path: Path, name: str) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / name).touch()
    with pytest.raises(LabError, match=r"LABKIT_KAFKA_HOME .* no Apache Kafka 4"):
        kafka_jars(Settings(kafka_home=tmp_path))
