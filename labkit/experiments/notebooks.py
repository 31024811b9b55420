"""Notebooks run without a browser, by papermill: executed copies, records and figures end up in one folder.

papermill, nbformat and jupyter_client take a second to import, so they are imported when a notebook is run.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError, NotebookFailed, UnknownParameter
from labkit.process.socket_folder import make_socket_folder
from labkit.settings import environment_with
from labkit.temporary_folder import remove_folder

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager
    from nbformat import NotebookNode

#: Seconds that one cell may take.
CELL_TIMEOUT = 300

#: A cell with the tag `image:NAME` draws the picture NAME.
IMAGE_TAG = "image:"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookRun:
    """One executed notebook: the copy with its outputs, its figures in order, and those that have a name."""

    executed: Path
    figures: tuple[Path, ...]
    images: Mapping[str, Path]


def find_notebooks(folder: Path) -> list[Path]:
    """The notebooks of a folder in the order of their numbers; raises `LabkitError` if there is none."""
    found = sorted(folder.glob("*.ipynb"))
    if not found:
        raise LabkitError(f"There is no notebook in {folder.absolute()}. Run this in the project's folder.")
    return found


def count_code_cells(notebooks: Sequence[Path]) -> int:
    """How often `on_cell` will be called for these notebooks."""
    return sum(cell.cell_type == "code" for notebook in notebooks for cell in _cells(notebook))


def run_notebook(
    source: Path,
    results: Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    on_cell: Callable[[], None] = lambda: None,
) -> NotebookRun:
    """Execute a notebook in its own folder and leave what comes of it in `results`.

    There: the executed copy, `figures/*.png`, and `records/<notebook>/*.parquet` from its worker groups.
    `on_cell` is called after each code cell. Raises `UnknownParameter` before anything is run, and
    `NotebookFailed` when a cell fails; the executed copy, up to that cell, is left.
    """
    import papermill

    _check_parameters(source, parameters or {})
    results = results.absolute()
    executed = results / source.name
    results.mkdir(parents=True, exist_ok=True)
    records = results / "records" / source.stem
    sockets = make_socket_folder()
    try:
        papermill.execute_notebook(
            source.absolute(),
            executed,
            dict(parameters or {}),
            cwd=source.absolute().parent,
            progress_bar=False,
            execution_timeout=CELL_TIMEOUT,
            kernel_manager_class=_kernel_manager(environment_with(records_dir=records), sockets),
            on_cell_executed=lambda **_: on_cell(),
        )
    except papermill.PapermillExecutionError as error:
        what = f"{error.ename}: {error.evalue}".rstrip(".")
        raise NotebookFailed(
            f"{source.name}, cell [{error.exec_count}]: {what}. The executed copy is {executed}."
        ) from error
    finally:
        remove_folder(sockets)
    return _with_figures(executed, results / "figures")


def copy_images(run: NotebookRun, folder: Path) -> None:
    """Copy the pictures that have a name to `<name>.png` in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in run.images.items():
        shutil.copyfile(picture, folder / f"{name}.png")


def _cells(notebook: Path) -> list[NotebookNode]:
    import nbformat

    cells: list[NotebookNode] = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    return cells


def _check_parameters(source: Path, parameters: Mapping[str, Any]) -> None:
    import papermill

    known = papermill.inspect_notebook(source.absolute()) if parameters else {}
    for name in parameters:
        if name not in known:
            raise UnknownParameter(f"{source.name} has no parameter {name}; it has {', '.join(known) or 'none'}.")


def _kernel_manager(environment: dict[str, str], sockets: Path) -> type[AsyncKernelManager]:
    """A class of kernel managers whose kernels get this environment; papermill hands no environment on.

    They listen in this folder: a port is chosen before the kernel is started, and another program may have it by then.
    """
    from jupyter_client.manager import AsyncKernelManager

    class KernelManager(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]  # async, like its parent's
            self.transport, self.ip = "ipc", str(sockets / "k")
            options |= {"env": environment, "transport_encryption": "auto"}
            # Jupyter ends a kernel by an interrupt first, and the kernel may call that an error
            options["extra_arguments"] = [*options.get("extra_arguments", []), "--log-level=CRITICAL"]
            await super()._async_start_kernel(**options)

    return KernelManager


def _with_figures(executed: Path, folder: Path) -> NotebookRun:
    figures = []
    images = {}
    for number, (name, picture) in enumerate(_pictures(executed), start=1):
        file = folder / f"{executed.stem}-{number}{f'-{name}' if name else ''}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture)
        figures.append(file)
        if name:
            images[name] = file
    return NotebookRun(executed=executed, figures=tuple(figures), images=images)


def _pictures(executed: Path) -> Iterator[tuple[str | None, bytes]]:
    for cell in _cells(executed):
        tags = cell.metadata.get("tags", [])
        name = next((tag.removeprefix(IMAGE_TAG) for tag in tags if tag.startswith(IMAGE_TAG)), None)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield name, base64.b64decode(output.data["image/png"])
