"""`labkit up` with warm caches, against the same Kafka started plainly."""

from __future__ import annotations

import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import shell
from benchmarks.figure import Figure, alternate, measured, ratios
from labkit.lab.jar_lock import KAFKA_VERSION
from labkit.lab.jars import kafka_jars
from labkit.lab.kafka_server import find_java
from labkit.settings import load_settings

REPEATS = 7


def measure() -> list[Figure]:
    """The figure."""
    with tempfile.TemporaryDirectory() as folder:
        env = {"LABKIT_DATA_DIR": f"{folder}/data", "LABKIT_PORT": str(_free_port())}
        _up_and_down(env)  # fills the caches if they are cold
        ours, plain = alternate(lambda: _up_and_down(env), lambda: _plain(Path(folder)), repeats=REPEATS)
    return [
        measured(
            "lab_up",
            "`labkit up` with warm caches, to a record produced and consumed",
            ours,
            unit="s",
            better="lower",
            at_least=2.5,
            aim=1.2,
            how="The whole process from its start to its end, which comes after the record. `labkit down` in between.",
            rival="the same Kafka on the same Java, formatted already, with Java's own defaults, to its port open: "
            "nothing produced, no Redis.",
            rival_settings={"Kafka": KAFKA_VERSION, "Java": find_java(load_settings()).major, "options of Java": None},
            beside={
                "the rival in s": statistics.median(plain),
                "labkit's time over the rival's": statistics.median(ratios(ours, plain)),
            },
        )
    ]


def _up_and_down(env: dict[str, str]) -> float:
    began = time.perf_counter()
    shell.run("up", env=env)
    took = time.perf_counter() - began
    shell.run("down", env=env)
    return took


def _plain(folder: Path) -> float:
    settings = load_settings()
    port, controller = _free_port(), _free_port()
    with tempfile.TemporaryDirectory(dir=folder) as data:
        config = Path(data) / "server.properties"
        config.write_text(
            "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n"
            f"controller.quorum.voters=1@127.0.0.1:{controller}\n"
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
            f"log.dirs={data}/log\n"
        )
        java = [str(find_java(settings).program), "-cp", ":".join(map(str, kafka_jars(settings)))]
        storage = [*java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(config)]
        subprocess.run(storage, check=True, capture_output=True)
        began = time.perf_counter()
        server = subprocess.Popen(
            [*java, "kafka.Kafka", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for_port(port, server)
            return time.perf_counter() - began
        finally:
            server.kill()
            server.wait()


def _wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError("the plain Kafka ended before its port was open")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
