"""JupyterLab beside a lab: started under a supervisor of its own, so that it ends with the process that started it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from urllib.parse import quote

import requests
from msgspec import DecodeError, Struct

from labkit.errors import ServerFailed
from labkit.lab.folders import named_lab
from labkit.lab.graphical_browser import open_in_browser
from labkit.lab.loopback import open_session
from labkit.lab.supervisor import ServerCommand, launch
from labkit.resource import Resource
from labkit.settings import Settings, environment_past_proxies
from labkit.typed_values import typed_json

#: The port that JupyterLab takes if it is free; the next free one otherwise.
PORT = 8888

#: Seconds that JupyterLab has to end its kernels before it is killed. A kernel that is killed with it notices and ends.
GRACE = 10.0

#: Seconds between two looks whether JupyterLab answers.
LOOK_INTERVAL = 0.05

#: JupyterLab's settings for everybody: no pop-up about news, no questions to servers elsewhere.
SETTINGS = Path(__file__).with_name("jupyter_settings")

#: Puts the folder of this Python's commands first on PATH, so that `labkit` is found in JupyterLab's terminals.
WITH_COMMANDS = ["/bin/sh", "-c", 'PATH="$1:$PATH"; export PATH; shift; exec "$@"', "sh"]


class _Information(Struct):
    url: str
    token: str = ""


class Jupyter(Resource):
    """A JupyterLab on this machine only, with a token. It ends with this process, also when that is killed.

    It starts in the background; `wait_until_ready` tells its address.
    """

    def __init__(self, folder: Path, *, start_page: str = "", settings: Settings) -> None:
        lab = named_lab(settings, settings.lab)
        lab.make()
        self._log = lab.logs / "jupyter.log"
        command = ServerCommand(
            name="jupyter",
            argv=[*WITH_COMMANDS, str(Path(sys.executable).parent), *_argv(folder, start_page)],
            folder=folder,
            output=self._log,
            grace=GRACE,
            environment=environment_past_proxies(),
        )
        self._supervisor = launch([command], exits=lab.logs / "exits.jsonl", log=lab.logs / "supervisor.log")
        self._start_page = start_page

    def wait_until_ready(self, timeout: float) -> str:
        """The address with the token, once JupyterLab answers; raises `ServerFailed`."""
        deadline = time.monotonic() + timeout
        while (address := self._address()) is None:
            if not self._supervisor.servers["jupyter"].alive():
                raise ServerFailed(f"JupyterLab could not start. It said last:\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"JupyterLab did not answer in {timeout:g} s. It said last:\n{self._last_words()}")
            time.sleep(LOOK_INTERVAL)
        return address

    def open_in_browser(self) -> bool:
        """Show it in a browser that has a window; False if there is none.

        The browser is given Jupyter's own file that leads there, because all users can read a command's arguments.
        """
        return open_in_browser(self._runtime_file("-open.html").as_uri())

    def wait(self) -> None:
        """Return when JupyterLab has ended, as by File > Shut Down."""
        self._supervisor.wait()

    def close(self) -> None:
        """End JupyterLab and its kernels. Closing twice is no error."""
        self._supervisor.stop()

    def _address(self) -> str | None:
        information = self._information()
        if information is None or not _answers(f"{information.url}api"):
            return None
        token = f"?token={information.token}" if information.token else ""
        return f"{information.url}lab{self._start_page}{token}"

    def _information(self) -> _Information | None:
        """What JupyterLab writes about itself once it has a port; the file may be half written."""
        try:
            return typed_json(self._runtime_file(".json").read_bytes(), _Information)
        except (FileNotFoundError, DecodeError, UnicodeDecodeError):
            return None

    def _runtime_file(self, ending: str) -> Path:
        from jupyter_core.paths import jupyter_runtime_dir

        return Path(jupyter_runtime_dir()) / f"jpserver-{self._supervisor.servers['jupyter'].pid}{ending}"

    def _last_words(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-1500:].strip()


def start_page(folder: Path) -> str:
    """The path under /lab of the first notebook in `folder` or its `notebooks`; "" if it has none."""
    for place in (folder, folder / "notebooks"):
        for notebook in sorted(place.glob("*.ipynb")):
            return f"/tree/{quote(notebook.relative_to(folder).as_posix())}"
    return ""


def _argv(folder: Path, start_page: str) -> list[str]:
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": PORT,
        "ServerApp.root_dir": folder,
        "ServerApp.open_browser": False,  # the lab may not be ready then
        "ServerApp.allow_root": os.geteuid() == 0,  # in a container
        "LabApp.default_url": f"/lab{start_page}",
        "KernelManager.transport_encryption": "auto",  # other users of the machine cannot listen to a kernel
        "LanguageServerManager.autodetect": False,  # runs npm
        "LabApp.app_settings_dir": SETTINGS,
    }
    return [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]


def _answers(url: str) -> bool:
    try:
        with open_session(url) as session:
            return session.get(url, timeout=5).ok
    except requests.RequestException:  # not yet, or too busy to answer in time
        return False
