"""Fetching the locked jars: in parallel, verified, resumable, and each file appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

import requests
from filelock import FileLock
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from urllib3.util import Retry

from labkit.errors import DiskFull, DownloadError
from labkit.lab.jars import Jar

#: How many files are fetched at a time.
AT_A_TIME = 8

#: Seconds to connect, and seconds without a byte before a connection counts as broken.
TIMEOUTS = (10, 30)

#: How often a broken download is taken up again where it broke.
RESUMES = 5

_CHUNK = 1 << 16


def fetch_jars(jars: Sequence[Jar], folder: Path, repository: str | None) -> None:
    """Fetch the jars into the folder; a progress bar goes to standard error.

    Raises `DownloadError` (offline, not there, not what the lock file names) and `DiskFull`.
    What was fetched before stays, so that another try goes on from there.
    """
    if repository is None:
        from jgo.constants import MAVEN_CENTRAL_URL as repository  # slow to import
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"), _session() as session, _progress() as progress:
        missing = [jar for jar in jars if not _is_there(folder / jar.file_name, jar)]
        _check_space(folder, missing)
        bar = progress.add_task("Fetching Apache Kafka", total=sum(jar.size for jar in missing))
        fetcher = _Fetcher(session, repository.rstrip("/"), folder, lambda count: progress.advance(bar, count))
        fetcher.fetch_all(missing)


class _Fetcher:
    def __init__(self, session, repository: str, folder: Path, advance) -> None:  # type: ignore[no-untyped-def]
        self.session, self.repository, self.folder, self.advance = session, repository, folder, advance
        self.given_up = Event()

    def fetch_all(self, jars: Sequence[Jar]) -> None:
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="labkit-fetch") as pool:
            try:
                futures = [pool.submit(self.fetch, jar) for jar in jars]
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            finally:
                self.given_up.set()
                pool.shutdown(cancel_futures=True)

    def fetch(self, jar: Jar) -> None:
        part = self.folder / (jar.file_name + ".part")
        try:
            self._complete(jar, part)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull from error
            raise

    def _complete(self, jar: Jar, part: Path) -> None:
        raise NotImplementedError


def _is_there(path: Path, jar: Jar) -> bool:
    return path.is_file() and path.stat().st_size == jar.size
