"""Where things lie: the folder of each lab, the cache, and a place for a socket with a short path."""

from __future__ import annotations

import errno
import re
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import platformdirs

from labkit.errors import DiskFull, LabError, SettingsError
from labkit.settings import LAB_NAME, Settings


@dataclass(frozen=True, slots=True)
class LabFolders:
    """The folders and files of one lab, all under `root`; of its further brokers each has a folder of the same form."""

    root: Path

    @property
    def kafka(self) -> Path:
        """What Kafka stores."""
        return self.root / "kafka"

    @property
    def redis(self) -> Path:
        """What Redis stores."""
        return self.root / "redis"

    @property
    def logs(self) -> Path:
        """What the servers say."""
        return self.root / "logs"

    @property
    def temporary(self) -> Path:
        """What Kafka unpacks while it runs; emptied at every start."""
        return self.root / "tmp"

    @property
    def properties(self) -> Path:
        """What Kafka is told."""
        return self.root / "server.properties"

    @property
    def requests(self) -> Path:
        """Which servers the supervisor is asked to start again."""
        return self.root / "restart.json"

    def broker(self, node: int) -> LabFolders:
        """The folders of one broker, counted from 1. The first one's are those of the lab."""
        return self if node == 1 else LabFolders(self.root / f"broker-{node}")

    def brokers(self) -> int:
        """How many brokers have stored something here; 0 in a lab that never ran."""
        count = 0
        while (self.broker(count + 1).kafka / "meta.properties").exists():
            count += 1
        return count

    @property
    def exits(self) -> Path:
        """How servers ended and were started again, one JSON object a line."""
        return self.logs / "exits.jsonl"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor says; usually nothing."""
        return self.logs / "supervisor.log"

    @property
    def state(self) -> Path:
        """What is running; there is no such file while nothing does."""
        return self.root / "state.json"

    @property
    def lock(self) -> Path:
        """Held while a lab is started or stopped."""
        return self.root / "lab.lock"

    def of_external(self, address: str) -> Path:
        """Where that is kept which goes with the Kafka of this address: the same words are the same folder."""
        digest = sha256(address.encode()).hexdigest()[:8]
        return self.root / "external" / f"{re.sub('[^A-Za-z0-9.-]', '_', address)[:80]}-{digest}"

    def make(self) -> None:
        """Make the folders, readable by this user only."""
        for folder in (self.root, self.kafka, self.redis, self.logs):
            make_folder(folder)


def named_lab(settings: Settings, name: str) -> LabFolders:
    """The folders of the lab of that name. Raises `SettingsError` if it cannot be the name of a folder."""
    if not re.fullmatch(LAB_NAME, name):
        raise SettingsError(
            f"{name!r} cannot be the name of a lab. A name has up to 32 letters, digits, hyphens and underscores, and "
            "begins with a letter or a digit."
        )
    return LabFolders(data_folder(settings) / "labs" / name)


def make_folder(folder: Path) -> None:
    """Make a folder that only this user can read. Raises `LabError` if that cannot be, and `DiskFull`."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise LabError(
            f"The folder {str(folder)!r} cannot be used: its name is no UTF-8, which Java could not open. "
            "Set LABKIT_DATA_DIR or LABKIT_CACHE_DIR."
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull from error
        raise LabError(
            f"The folder {folder} cannot be made: {error.strerror}. Set LABKIT_DATA_DIR or LABKIT_CACHE_DIR."
        ) from error


def check_space(folder: Path, wanted: int) -> None:
    """Raise `DiskFull` if the disk that holds the folder has less than `wanted` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise DiskFull(
            f"The disk that holds {folder} has {free / 1e6:.0f} MB left; {wanted / 1e6:.0f} MB are needed. "
            "Free some space, for instance with `labkit reset`, or name other folders in LABKIT_DATA_DIR and "
            "LABKIT_CACHE_DIR."
        )


def data_folder(settings: Settings) -> Path:
    """Where labs keep their data: `LABKIT_DATA_DIR`, or the user's data folder."""
    return (settings.data_dir or platformdirs.user_data_path("labkit")).absolute()


def cache_folder(settings: Settings) -> Path:
    """Where jars and caches are kept: `LABKIT_CACHE_DIR`, or the user's cache folder."""
    return (settings.cache_dir or platformdirs.user_cache_path("labkit")).absolute()
