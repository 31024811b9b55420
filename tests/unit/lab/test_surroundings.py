"""What a user's environment and paths must not do to the lab; and `labkit doctor` finds each of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from labkit.api.client import ApiClient
from labkit.celery_app.application import make_app
from labkit.errors import ApiUnreachable, LabError, SettingsError
from labkit.lab import startup
from labkit.lab.doctor import Assessment, examine
from labkit.lab.folders import LabFolders, make_folder
from labkit.lab.kafka_server import Java, class_path, format_command, kafka_command, server_properties
from labkit.lab.loopback import is_loopback, open_session
from labkit.lab.startup import LONGEST_SOCKET, SOCKET, socket_folder
from labkit.settings import Settings, environment_for_java, environment_past_proxies, variables_of_java

FOR_ANOTHER_JAVA = [
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "IBM_JAVA_OPTIONS",
    "OPENJ9_JAVA_OPTIONS",
    "JDK_AOT_VM_OPTIONS",
    "JAVA_OPTS",
    "CLASSPATH",
    "KAFKA_OPTS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_JMX_OPTS",
    "LOG4J_CONFIGURATION_FILE",
    "LOG_DIR",
    "JMX_PORT",
]
#: What it gets of labkit.
FOR_JAVA = {"LC_ALL": "C.UTF-8"} if sys.platform == "linux" else {}
PROXIES = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*PROXIES, "NO_PROXY", "no_proxy", *variables_of_java()]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxied(plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request that is sent to a proxy fails."""
    for name in PROXIES:
        monkeypatch.setenv(name, NOBODY)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def finding(what: str, settings: Settings) -> tuple[Assessment, str]:
    (found,) = [found for found in examine(settings) if found.what == what]
    return found.verdict, found.says


@pytest.mark.parametrize("name", FOR_ANOTHER_JAVA)
def test_a_server_of_the_lab_gets_nothing_that_was_meant_for_another_java(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, "-Xmx1k")
    assert name not in environment_for_java()
    assert environment_for_java().keys() == (os.environ.keys() - {name}) | FOR_JAVA.keys()
    verdict, says = finding("variables for Java", Settings(data_dir=tmp_path))
    assert (verdict, name in says) == (Assessment.NOTE, True)


@pytest.mark.parametrize("name", ["PATH", "JAVA_HOME", "LABKIT_JAVA_HOME", "LD_LIBRARY_PATH", "LOGNAME", "TZ"])
def test_what_is_everybodys_it_gets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/somewhere")
    assert environment_for_java()[name] == "/somewhere"


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_RESULT_BACKEND"])
def test_celery_is_refused_where_it_would_obey_the_environment_instead(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, "redis://elsewhere")
    with pytest.raises(SettingsError, match=rf"{name}.*Unset it"):
        make_app("redis://127.0.0.1", Settings())
    verdict, says = finding("variables for Celery", Settings(data_dir=tmp_path))
    assert (verdict, name in says) == (Assessment.BAD, True)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8888/", True),
        ("http://127.9.9.9/", True),
        ("https://localhost/", True),
        ("http://lab.localhost:1/", True),
        ("http://[::1]:8000/", True),
        ("http://[::ffff:127.0.0.1]/", True),
        ("http://10.0.0.1/", False),
        ("http://localhost.example.edu/", False),
        ("https://repo.maven.apache.org/maven2", False),
        ("http://[2001:db8::1]/", False),
    ],
)
def test_what_this_machine_is_called(url: str, here: bool) -> None:
    assert is_loopback(url) is here
    with open_session(url) as session:
        assert session.trust_env is not here


@pytest.mark.usefixtures("proxied")
def test_requests_to_this_machine_go_past_the_proxy(url: str) -> None:
    with open_session(url) as session:
        assert session.get(url, timeout=60).ok
    with ApiClient(url, patience=0) as client:
        assert client._clients[0].get("/").status_code == 200


@pytest.mark.usefixtures("proxied")
def test_requests_to_others_go_by_the_proxy() -> None:
    with ApiClient("http://api.example.edu", patience=0) as client, pytest.raises(ApiUnreachable):
        client.overview()
    with httpx.Client() as asked, pytest.raises(httpx.ConnectError):
        asked.get("http://api.example.edu")


@pytest.mark.usefixtures("proxied")
def test_what_runs_in_jupyterlab_goes_past_the_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "example.edu")
    environment = environment_past_proxies()
    assert environment["no_proxy"] == environment["NO_PROXY"] == "example.edu,127.0.0.1,localhost,::1"
    assert environment["HTTP_PROXY"] == NOBODY


@pytest.mark.usefixtures("proxied")
def test_the_doctor_names_the_proxies_until_this_machine_is_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict, says = finding("proxies", Settings(data_dir=tmp_path))
    assert (verdict, "HTTP_PROXY" in says, "NO_PROXY=127.0.0.1,localhost" in says) == (Assessment.NOTE, True, True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1, localhost")
    assert finding("proxies", Settings(data_dir=tmp_path))[0] is Assessment.GOOD


def test_a_colon_in_the_class_path_is_refused_with_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    with pytest.raises(LabError, match=r"a:b.*colon.*LABKIT_CACHE_DIR"):
        class_path([tmp_path / "good.jar", folder / "kafka.jar"])
    assert class_path([tmp_path / "a, b é.jar"]) == str(tmp_path / "a, b é.jar")
    verdict, says = finding("paths", Settings(data_dir=tmp_path, cache_dir=folder))
    assert (verdict, "LABKIT_CACHE_DIR" in says) == (Assessment.BAD, True)


def test_what_kafka_stores_is_named_from_the_folder_that_it_runs_in() -> None:
    assert "log.dirs=kafka\n" in server_properties(data=Path("kafka"), port=1, controller_port=2)


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no UTF-8"):
        make_folder(tmp_path / os.fsdecode(b"\xff"))


def test_a_socket_goes_where_its_path_is_short_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    short = LabFolders(Path("/short"))
    assert socket_folder(short) is None
    monkeypatch.setattr("tempfile.tempdir", str(long))
    found = socket_folder(LabFolders(long))
    assert found is not None
    assert len(os.fsencode(found / "labkit-12345678" / SOCKET)) <= LONGEST_SOCKET
    assert finding("paths", Settings(data_dir=long))[0] is Assessment.NOTE
    monkeypatch.setattr(startup, "SHORT_FOLDERS", (str(tmp_path / "absent"),))
    with pytest.raises(LabError, match=r"has more.*TMPDIR"):
        socket_folder(LabFolders(long))
    verdict, says = finding("paths", Settings(data_dir=long))
    assert (verdict, "TMPDIR" in says) == (Assessment.BAD, True)


@pytest.mark.parametrize("folder", ["a=b", "a b", "-a", "é, $HOME"])
def test_a_java_in_any_folder_is_run_with_file_names_in_utf8(tmp_path: Path, folder: str) -> None:
    java = Java(home=tmp_path / folder, major=25, release="")
    java.program.parent.mkdir(parents=True)
    java.program.write_text('#!/bin/sh\nprintf %s "$LC_ALL"\n')
    java.program.chmod(0o755)
    jars, properties = [tmp_path / "kafka.jar"], tmp_path / "server.properties"
    for command in (
        kafka_command(java, jars, properties=properties, logs=tmp_path, temporary=tmp_path),
        format_command(java, jars, properties=properties, cluster_id="c", logs=tmp_path),
    ):
        said = subprocess.run(command, env=environment_for_java(), check=True, capture_output=True, text=True).stdout
        assert said == FOR_JAVA.get("LC_ALL", os.environ.get("LC_ALL", ""))
