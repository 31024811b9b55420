"""Fetching the locked jars: in parallel, verified, taken up where it broke off; a file appears whole or not at all."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Literal

import requests
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from urllib3.util import Retry

from labkit.errors import DiskFull, DownloadError
from labkit.lab.cache_lock import cache_lock
from labkit.lab.folders import check_space, make_folder
from labkit.lab.jar_lock import Jar, file_sha256, is_whole
from labkit.lab.loopback import open_session

logger = logging.getLogger(__name__)

#: How many files are fetched at a time.
AT_A_TIME = 8

#: Seconds to connect, and seconds without a byte after which a connection counts as broken.
TIMEOUTS = (10.0, 30.0)

#: How often a file is asked for again, where it broke off, before giving up.
TRIES = 5

#: Room to leave on the disk, in bytes.
SPARE = 100_000_000

_CHUNK = 1 << 16


def fetch_jars(jars: Sequence[Jar], folder: Path, repository: str | None) -> None:
    """Fetch the jars into the folder, from Maven Central or another repository; a progress bar goes to stderr.

    Raises `DownloadError` (no network, not there, not what the lock file names) and `DiskFull`. What has been fetched
    stays, so that another try goes on from there.
    """
    make_folder(folder)
    with cache_lock(folder / "fetching.lock", "fetching Kafka"):
        missing = [jar for jar in jars if not is_whole(folder / jar.file_name, jar)]
        if not missing:
            return  # another process has fetched them while this one waited
        size = sum(jar.size for jar in missing)
        check_space(folder, size + SPARE)
        base = (repository or _maven_central()).rstrip("/")
        with _session(base) as session, _progress(size) as advance:
            logger.info("fetching %d jars from %s", len(missing), base)
            _Fetcher(session, base, folder, advance).fetch_all(missing)


def _maven_central() -> str:
    from jgo.constants import MAVEN_CENTRAL_URL  # takes half a second, and a mirror does without

    return str(MAVEN_CENTRAL_URL)


@contextmanager
def _session(base: str) -> Iterator[requests.Session]:
    # few attempts to connect: who is offline should hear so within seconds
    retry = Retry(total=TRIES, connect=2, backoff_factor=0.3, status_forcelist=[429, 500, 502, 503, 504])
    adapter = HTTPAdapter(pool_maxsize=AT_A_TIME, max_retries=retry)
    with open_session(base) as session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, adapter)
        yield session


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("Fetching Apache Kafka", total=size)
        yield lambda count: progress.advance(bar, count)


class _Fetcher:
    """Fetches files over one session, until all are there or one has failed."""

    def __init__(self, session: requests.Session, base: str, folder: Path, advance: Callable[[int], None]) -> None:
        self._session = session
        self._base = base
        self._folder = folder
        self._advance = advance
        self._given_up = Event()

    def fetch_all(self, jars: Sequence[Jar]) -> None:
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="labkit-fetch") as pool:
            futures = [pool.submit(self._fetch, jar) for jar in jars]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            finally:
                self._given_up.set()  # after an error or Ctrl-C the others stop at their next chunk
                pool.shutdown(cancel_futures=True)

    def _fetch(self, jar: Jar) -> None:
        part = self._folder / f"{jar.file_name}.part"
        try:
            self._complete(jar, part)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull from error
            raise
        if not self._given_up.is_set():
            part.replace(self._folder / jar.file_name)

    def _complete(self, jar: Jar, part: Path) -> None:
        """Ask for what is missing until the part file is whole and right, or the tries are used up."""
        self._advance(_size(part))
        broken: Exception | None = None
        for _ in range(TRIES):
            if _size(part) < jar.size:
                broken = self._ask(jar, part)
            if self._given_up.is_set():
                return
            if _size(part) == jar.size and file_sha256(part) == jar.sha256:
                return
            if _size(part) >= jar.size:
                self._throw_away(part)
        if broken is not None:
            raise DownloadError(self._unreachable(broken)) from broken
        raise DownloadError(
            f"{jar.file_name} from {self._base} is not the file that labkit's lock file names (its SHA-256 or its size "
            "differs), so it was not used. Try again, or check the repository that LABKIT_JAR_REPOSITORY names."
        )

    def _ask(self, jar: Jar, part: Path) -> Exception | None:
        """One request for the rest of the file, which is appended; the error if the answer broke off."""
        have = _size(part)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        url = f"{self._base}/{jar.repository_path}"
        try:
            answer = self._session.get(url, headers=headers, stream=True, timeout=TIMEOUTS)
        except requests.RequestException as error:  # after all retries of the session
            raise DownloadError(self._unreachable(error)) from error
        with answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                self._throw_away(part)
                return None
            self._check(answer, jar)
            resumed = answer.status_code == requests.codes.partial_content
            if not resumed:
                self._advance(-have)
            try:
                self._append(answer, part, "ab" if resumed else "wb")
            except requests.RequestException as error:
                return error
        return None

    def _append(self, answer: requests.Response, part: Path, mode: Literal["ab", "wb"]) -> None:
        with part.open(mode) as file:
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                self._advance(len(chunk))
                if self._given_up.is_set():
                    return

    def _throw_away(self, part: Path) -> None:
        self._advance(-_size(part))
        part.unlink()

    def _check(self, answer: requests.Response, jar: Jar) -> None:
        if answer.status_code == requests.codes.not_found:
            raise DownloadError(
                f"{jar.coordinates} is not in the repository {self._base}. Is it a complete Maven repository? "
                "Check LABKIT_JAR_REPOSITORY, or unset it to use Maven Central."
            )
        if not answer.ok:
            raise DownloadError(f"{self._base} answered {answer.status_code} {answer.reason} for {jar.coordinates}.")

    def _unreachable(self, error: Exception) -> str:
        return (
            f"Apache Kafka could not be fetched: {self._base} cannot be reached ({type(error).__name__}). "
            "Connect this machine to the network and try again; what was fetched is kept. Behind a firewall, name a "
            "mirror in LABKIT_JAR_REPOSITORY, or an unpacked Kafka in LABKIT_KAFKA_HOME."
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
