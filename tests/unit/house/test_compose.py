"""docker-compose.yml follows the Compose schema and the rules of the house. No container engine is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.settings import Settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_schema_accepts_the_file() -> None:
    answer = validate(ROOT / "docker-compose.yml")
    assert answer.returncode == 0, answer.stdout


def test_the_schema_refuses_a_misspelt_key(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text((ROOT / "docker-compose.yml").read_text().replace("pids_limit:", "pid_limit:"))
    assert validate(wrong).returncode != 0


def test_the_three_services_are_there() -> None:
    assert set(SERVICES) == {"kafka", "valkey", "jupyter"}
    assert SERVICES["kafka"]["image"] == "apache/kafka:4.4.0"


@each_service
def test_it_is_published_on_this_machine_only(service: dict[str, Any]) -> None:
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "network_mode" not in service


@each_service
def test_it_has_no_more_rights_than_it_needs(service: dict[str, Any]) -> None:
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert not {"cap_add", "privileged", "pid", "ipc", "devices"} & set(service)
    assert not any(volume.startswith(("/", ".", "~")) for volume in service["volumes"])


@each_service
def test_it_has_limits_and_a_health_check(service: dict[str, Any]) -> None:
    assert {"mem_limit", "cpus", "pids_limit"} <= set(service)
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@each_service
def test_its_image_is_pinned(service: dict[str, Any]) -> None:
    assert re.search(r":\d+\.\d+\.\d+(-[a-z]+)?$", service["image"])


def test_only_kafka_may_write_outside_its_volumes() -> None:
    assert {name for name, service in SERVICES.items() if not service.get("read_only")} == {"kafka"}


def test_every_volume_is_declared() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert used == set(COMPOSE["volumes"])


def test_kafka_s_listeners_are_where_its_clients_look() -> None:
    kafka = SERVICES["kafka"]["environment"]
    advertised = dict(listener.split("://") for listener in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert advertised["INTERNAL"] == SERVICES["jupyter"]["environment"]["LABKIT_BOOTSTRAP_SERVERS"]
    assert SERVICES["kafka"]["ports"] == [f"{advertised['HOST']}:9092"]
    listening = {listener.split("://")[0] for listener in kafka["KAFKA_LISTENERS"].split(",")}
    mapped = {pair.split(":")[0] for pair in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    assert listening == mapped == {"CONTROLLER", *advertised}


def test_jupyter_s_settings_are_settings_of_labkit() -> None:
    for name in SERVICES["jupyter"]["environment"]:
        assert name.removeprefix("LABKIT_").lower() in Settings.model_fields


def test_the_jupyter_image_is_pinned_and_needs_no_root_and_a_token() -> None:
    assert re.search(r"^FROM python:3\.1[123]\.\d+-slim$", DOCKERFILE, re.M)
    assert "--require-hashes -r requirements.lock" in DOCKERFILE
    assert DOCKERFILE.index("\nUSER student") < DOCKERFILE.index("\nCMD")
    assert "allow-root" not in DOCKERFILE
    assert "token" not in DOCKERFILE.partition("\nCMD")[2]
    assert SERVICES["jupyter"]["build"] == "."


def test_what_the_image_copies_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?:--\S+ )?(.+)$", DOCKERFILE, re.M):
        copied.update(line.split()[:-1])
    assert copied == kept
    assert all((ROOT / name).exists() for name in kept)
