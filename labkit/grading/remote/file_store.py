"""The folder that the computers share: on a disk that all have mounted, or at any other address that fsspec knows."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from kombu.utils.url import maybe_sanitize_url

from labkit.errors import SettingsError
from labkit.grading.remote.remote_errors import FilesUnavailable
from labkit.grading.sandbox.mounts import folder_shown
from labkit.whole_file import whole_file

#: What others than the owner and the group may do with the folder: nothing.
_OTHERS = stat.S_IRWXO
#: The file by which the folder on a disk is known.
MARKER = "labkit-grading"


def shown_address(address: str) -> str:
    """The address without a password in it."""
    return str(maybe_sanitize_url(address)).rstrip("/")


class FileStore:
    """The files in the folder at this address, such as `/mnt/grading` or `s3://bucket/grading`, which has to be there.

    On a disk a file appears whole or not at all. Elsewhere it may be cut off, so who reads one checks its content.
    Threads may share it, and a process that was forked since may not. Raises `SettingsError` for an address that cannot
    be used, and `FilesUnavailable`.
    """

    def __init__(self, address: str) -> None:
        self.name = address
        with self._asked("reached"):
            try:
                self.name = shown_address(address)
                self._files, root = url_to_fs(address)
            except (ImportError, ValueError) as error:  # its package is missing, or there is no such protocol
                raise SettingsError(
                    f"The files cannot be at {self.name}: {error}. A folder that all computers have mounted will do; "
                    "other addresses take the package of fsspec's that knows them."
                ) from error
        self._root = root.rstrip("/")
        self._folder = Path(self._root or "/") if isinstance(self._files, LocalFileSystem) else None
        #: the same for all who reach it by the same address
        self.address = address.rstrip("/")
        if self._folder is not None:
            self.name = self.address = str(self._folder)
            _must_fit(self._folder)

    def read(self, name: str, most: int) -> bytes | None:
        """The content of the file; nothing if there is none, or one of more than `most` bytes."""
        with self._asked("read"):
            self._must_be_there()
            try:
                content = bytes(self._files.cat_file(f"{self._root}/{name}", end=most + 1))
            except FileNotFoundError:
                return None
        return content if len(content) <= most else None

    def write(self, name: str, content: bytes) -> None:
        """Make the file, or another one in its place."""
        with self._asked("written"):
            self._must_be_there()
            if self._folder is None:
                self._files.pipe_file(f"{self._root}/{name}", content)
            else:
                _write(self._folder / name, content)

    def mark(self) -> None:
        """Have the folder known for the one that is shared: before anything is read or written, by whoever asks."""
        if self._folder is not None:
            with self._asked("written"):
                self._folder.stat()  # else it would be made anew
                _write(self._folder / MARKER, b"")

    def _must_be_there(self) -> None:
        """What would be written where a disk is not mounted nobody else would see, and too many here."""
        if self._folder is None:
            return
        mode = self._folder.stat().st_mode
        if not (self._folder / MARKER).is_file():
            raise FileNotFoundError(0, f"there is no file {MARKER} in it, as if it was not mounted here")
        if mode & _OTHERS:
            raise PermissionError(0, f"others may look into it; say `chmod o-rwx {self._folder}`")

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except SettingsError:
            raise
        except Exception as error:  # what fsspec's packages raise is of many kinds
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise FilesUnavailable(
                f"The files at {self.name} cannot be {what}: {reason or type(error).__name__}."
            ) from error


def _write(file: Path, content: bytes) -> None:
    with whole_file(file) as part:
        part.write_bytes(content)


def _must_fit(folder: Path) -> None:
    """Raises `SettingsError` where others would see what is in it: solutions, and what is drawn for each student."""
    if not folder.is_dir():
        raise SettingsError(
            f"There is no folder {folder}. Is it mounted here? If it is to be a new one, say `mkdir -m 770 {folder}`."
        )
    shown = folder_shown(folder)
    if shown is not None:
        raise SettingsError(
            f"The folder {folder} lies in {shown}, which student code may read in the sandbox. Take another one."
        )
    if folder.stat().st_mode & _OTHERS:
        raise SettingsError(
            f"Others may look into {folder}, which is to have solutions and submissions. Say `chmod o-rwx {folder}`."
        )
