"""`make lab`, as a student types it: JupyterLab opens in a browser, a notebook runs, and Ctrl-C ends everything.

There is a proxy in the environment, as at many universities, which does not answer.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
import requests
from playwright.sync_api import Page, expect

from labkit.lab import Lab
from labkit.settings import load_settings
from labkit.taskqueue.timeouts import wait_until

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "00_start_here.ipynb"
MAKE_LAB = ["make", "--no-print-directory", "lab"]
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/lab\S*token=[0-9a-f]+")
MARK = "LABKIT_TEST_MARK"
#: Nobody answers there; what is fetched from elsewhere goes by HTTPS.
PROXY = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}

#: All cells are in the page, not only those in sight, so that they can be counted.
NOTEBOOK_SETTINGS = '{"windowingMode": "none"}'


#: What nbgrader adds to a server; students' environments have none of it.
NBGRADER = [
    f"nbgrader.server_extensions.{name}"
    for name in ("formgrader", "validate_assignment", "assignment_list", "course_list")
]


def _without_nbgrader(configuration: Path) -> None:
    """As `make lab` has it: the tests' own environment has what instructors have, too."""
    (configuration / "labconfig").mkdir(parents=True)
    off = {"ServerApp": {"jpserver_extensions": dict.fromkeys(NBGRADER, False)}}
    (configuration / "jupyter_server_config.json").write_text(json.dumps(off))
    page = {"disabledExtensions": {"@jupyter/nbgrader": True}}
    (configuration / "labconfig" / "page_config.json").write_text(json.dumps(page))


class Started:
    """One `make lab` (or `labkit jupyter`), its output, and every process that comes from it."""

    def __init__(self, command: list[str], folder: Path, extra: dict[str, str]) -> None:
        self.mark = uuid.uuid4().hex
        self.data = folder / "data"
        self._log = folder / "output.log"
        self._seen: set[psutil.Process] = set()
        taken_away = re.compile(r"LABKIT_.*|NO_PROXY", re.IGNORECASE)
        inherited = {name: value for name, value in os.environ.items() if not taken_away.fullmatch(name)}
        settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
        settings.mkdir(parents=True)
        (settings / "tracker.jupyterlab-settings").write_text(NOTEBOOK_SETTINGS)
        _without_nbgrader(folder / "config")
        private = {
            "LABKIT_DATA_DIR": str(self.data),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "IPYTHONDIR": str(folder / "ipython"),
            MARK: self.mark,
            **PROXY,
        }
        with self._log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**inherited, **private, **extra},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def address(self) -> str:
        return ADDRESS.search(self.output).group()

    def has_answered(self) -> bool:
        """Whether there is an address, or none will come."""
        return self.process.poll() is not None or ADDRESS.search(self.output) is not None

    def processes(self) -> set[psutil.Process]:
        """Every process that inherited the mark, whoever its parent is now, and those that came from one."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    self._seen |= {process, *process.children(recursive=True)}  # redis-server hides its environment
            except psutil.Error:
                continue  # not ours, or gone
        return {process for process in self._seen if is_alive(process)}

    def start_kernel(self) -> None:
        """Start a kernel as a notebook does."""
        root, _, token = re.split(r"(/lab\S*token=)", self.address)
        requests.post(f"{root}/api/kernels", json={}, params={"token": token}, timeout=120).raise_for_status()
        wait_until(self._has_kernel, timeout=120, what="a kernel was to start", interval=0.05)

    def _has_kernel(self) -> bool:
        return "ipykernel" in self.commands()

    def commands(self) -> str:
        """The command lines of all processes."""
        return " ".join(part for process in self.processes() for part in command_line(process))

    def press_ctrl_c(self) -> None:
        """As the terminal does: SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill what is left. One of them may end meanwhile, since its owner did."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


def command_line(process: psutil.Process) -> list[str]:
    """Empty once the process has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start a command and wait for JupyterLab's address; whatever is left at the end is killed."""
    all_started = []

    def start(command: list[str], **extra: str) -> Started:
        started = Started(command, tmp_path, extra)
        all_started.append(started)
        wait_until(started.has_answered, timeout=300, what="an address was to come", interval=0.05)
        assert ADDRESS.search(started.output), started.output
        return started

    yield start
    for started in all_started:
        started.kill()


def choose(page: Page, menu: str, item: str) -> None:
    page.get_by_role("menubar").get_by_role("menuitem", name=menu, exact=True).click()
    page.get_by_role("menu").get_by_role("menuitem", name=item, exact=True).click()


def open_notebook(page: Page, address: str) -> None:
    """Return when the kernel has answered. JupyterLab says `idle` before, and then runs only the first cell of all."""
    answers: list[object] = []

    def note(frame: str | bytes) -> None:
        if b"kernel_info_reply" in (frame.encode() if isinstance(frame, str) else frame):
            answers.append(frame)

    def has_answered() -> bool:
        page.title()  # lets Playwright hand over what has happened
        return bool(answers)

    page.on("websocket", lambda socket: socket.on("framereceived", note))
    page.goto(address)
    wait_until(has_answered, timeout=120, what="the kernel was to answer")


def test_a_notebook_opens_and_all_its_cells_run(start: Callable[..., Started], page: Page, tmp_path: Path) -> None:
    before = NOTEBOOK.read_bytes()
    started = start(MAKE_LAB)
    open_notebook(page, started.address)
    notebook = page.locator(".jp-NotebookPanel-notebook")
    cells = notebook.locator(".jp-CodeCell")
    code_cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    expect(cells).to_have_count(len(code_cells), timeout=120_000)
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")).to_be_visible(timeout=120_000)

    choose(page, "Edit", "Clear Outputs of All Cells")
    expect(cells.locator(".jp-InputPrompt", has_text=re.compile(r"\d"))).to_have_count(0)
    expect(notebook.locator("img[src^='data:image/png']")).to_have_count(0)

    choose(page, "Run", "Run All Cells")
    prompts = [f"[{number}]:" for number in range(1, len(code_cells) + 1)]
    expect(cells.locator(".jp-InputPrompt")).to_have_text(prompts, timeout=120_000)
    page.screenshot(path=tmp_path / "notebook.png")

    for kind in ("error", "stderr"):
        expect(notebook.locator(f"[data-mime-type='application/vnd.jupyter.{kind}']")).to_have_count(0)
    figure = notebook.locator("img[src^='data:image/png']").first
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("image => image.complete && image.naturalWidth") > 200
    page.screenshot(path=tmp_path / "figure.png")
    assert NOTEBOOK.read_bytes() == before


def test_ctrl_c_ends_everything_that_make_lab_started(start: Callable[..., Started]) -> None:
    started = start(MAKE_LAB)
    started.start_kernel()
    commands = started.commands()
    assert all(part in commands for part in ("make", "java", "redis", "jupyterlab", "ipykernel"))
    started.press_ctrl_c()
    started.process.wait(120)
    assert started.processes() == set()
    assert "Traceback" not in started.output
    assert "y/[n]" not in started.output


@pytest.mark.long
def test_a_lab_that_was_running_is_used_and_left_running(start: Callable[..., Started], tmp_path: Path) -> None:
    settings = load_settings(lab="before", data_dir=tmp_path / "data")
    with Lab("before", settings=settings) as lab:
        started = start([sys.executable, "-m", "labkit", "jupyter"], LABKIT_LAB="before")
        assert lab.bootstrap_servers in started.output
        started.process.terminate()
        assert started.process.wait(120) == 128 + signal.SIGTERM
        assert started.processes() == set()
        assert psutil.pid_exists(lab.kafka_pid)


def test_nothing_survives_when_the_command_is_killed(start: Callable[..., Started]) -> None:
    started = start([sys.executable, "-m", "labkit", "jupyter"])
    started.start_kernel()
    assert len(started.processes()) >= 7  # the command, two supervisors, Kafka, Redis, JupyterLab, the kernel
    started.process.kill()
    wait_until(lambda: not started.processes(), timeout=120, what="every process was to end", interval=0.05)
