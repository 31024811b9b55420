"""Every prerequisite of a lab: is it there, and if not, how to mend it."""

from __future__ import annotations

import importlib.util
import locale
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from labkit.errors import LabkitError
from labkit.lab.aot_cache import aot_is_intact, discard_aot, made_folder, read_note
from labkit.lab.folders import cache_folder, data_folder, named_lab
from labkit.lab.jar_lock import Jar, locked_jars, locked_tool_jars
from labkit.lab.jars import damaged_jars, kafka_jars, missing_jars, tool_jars
from labkit.lab.kafka_server import find_java
from labkit.lab.lifecycle import check_external
from labkit.lab.probe import is_free
from labkit.lab.redis_server import find_redis
from labkit.lab.startup import ROOM, socket_folder
from labkit.lab.state import running_state
from labkit.settings import Settings, variables_of_celery, variables_of_java, variables_of_proxies

#: What a lab and a notebook beside it take, in bytes.
MEMORY = 700_000_000

#: The Python versions that labkit is made for, oldest and newest.
PYTHONS = ((3, 11), (3, 13))


class Assessment(Enum):
    """What a check has found. NOTE: it works, and there is something to know."""

    GOOD = "✓"
    NOTE = "•"
    BAD = "✗"


@dataclass(frozen=True, slots=True)
class Finding:
    """One prerequisite; `says` tells what is there, or what is wrong and how to mend it."""

    what: str
    verdict: Assessment
    says: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Check one prerequisite after the other. Nothing is started; damaged files of the cache are deleted."""
    for what, check in _CHECKS.items():
        try:
            yield Finding(what, *check(settings))
        except LabkitError as error:
            yield Finding(what, Assessment.BAD, str(error))
        except OSError as error:  # a file in the place of a folder, say; the other checks are made all the same
            yield Finding(what, Assessment.BAD, f"{error.filename or 'the system'}: {error.strerror}.")


Found = tuple[Assessment, str]


def _python(_: Settings) -> Found:
    oldest, newest = (".".join(map(str, version)) for version in PYTHONS)
    version = ".".join(map(str, sys.version_info[:3]))
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Assessment.BAD, f"{version}; labkit needs {oldest} to {newest}. Install one of them and labkit in it."
    return Assessment.GOOD, version


def _java(settings: Settings) -> Found:
    java = find_java(settings)
    return Assessment.GOOD, f"{java.major} in {java.home}"


def _jars(settings: Settings) -> Found:
    if settings.kafka_home is not None:
        return Assessment.GOOD, f"{len(kafka_jars(settings))} jars in {settings.kafka_home}"
    return _fetched(settings, locked_jars(), "labkit up")


def _tools(settings: Settings) -> Found:
    if settings.kafka_home is not None:
        tool_jars(settings)
        return Assessment.GOOD, f"among the jars in {settings.kafka_home}"
    return _fetched(settings, locked_tool_jars(), "labkit kafka")


def _fetched(settings: Settings, jars: Sequence[Jar], command: str) -> Found:
    damaged = damaged_jars(settings, jars)
    for jar in damaged:
        jar.unlink()
    if damaged:
        names = ", ".join(jar.name for jar in damaged)
        return Assessment.BAD, f"damaged and deleted: {names}. `{command}` fetches them again."
    missing = missing_jars(settings, jars)
    if missing:
        size = sum(jar.size for jar in missing) / 1e6
        return (
            Assessment.NOTE,
            f"{len(missing)} jars of {len(jars)} are missing; `{command}` fetches them ({size:.0f} MB).",
        )
    return Assessment.GOOD, f"{len(jars)} jars, each as in the lock file"


def _caches(settings: Settings) -> Found:
    if _jars(settings)[0] is not Assessment.GOOD:
        return Assessment.NOTE, "not made yet; the first `labkit up` makes them (about 15 s)."
    made = made_folder(settings, find_java(settings), kafka_jars(settings))
    if read_note(made) is None:
        return Assessment.NOTE, "not made yet; the next `labkit up` makes them (about 15 s)."
    intact = aot_is_intact(made)
    if intact is None:
        return Assessment.NOTE, "This Java uses no AOT cache, so Kafka starts in about 3 s instead of 1 s."
    if not intact:
        discard_aot(made / "aot")
        return Assessment.BAD, "The AOT cache was damaged and is deleted. `labkit up` makes a new one (about 15 s)."
    return Assessment.GOOD, "formatted template and AOT cache"


def _redis(_: Settings) -> Found:
    binary = find_redis()
    return Assessment.GOOD, f"{binary} in {binary.path}"


def _disk(settings: Settings) -> Found:
    folder = _existing(data_folder(settings))
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        return Assessment.BAD, f"{free / 1e6:.0f} MB left in {folder}. Free some space, or set LABKIT_DATA_DIR."
    return Assessment.GOOD, f"{free / 1e9:.1f} GB left in {folder}"


def _memory(_: Settings) -> Found:
    free = psutil.virtual_memory().available
    if free < MEMORY:
        return Assessment.BAD, f"{free / 1e6:.0f} MB free, a lab needs {MEMORY / 1e6:.0f} MB. Close some programs."
    return Assessment.GOOD, f"{free / 1e9:.1f} GB free"


def _folders(settings: Settings) -> Found:
    folders = [data_folder(settings), cache_folder(settings)]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            return (
                Assessment.BAD,
                f"{folder} cannot be written: {error.strerror}. Set LABKIT_DATA_DIR or LABKIT_CACHE_DIR.",
            )
    return Assessment.GOOD, " and ".join(map(str, folders))


def _paths(settings: Settings) -> Found:
    cache = settings.kafka_home or cache_folder(settings)
    if ":" in str(cache):
        variable = "LABKIT_KAFKA_HOME" if settings.kafka_home else "LABKIT_CACHE_DIR"
        return (
            Assessment.BAD,
            f"{cache} has a colon in its name, which Java cannot load from. Set {variable} to another.",
        )
    folders = named_lab(settings, settings.lab)
    where = socket_folder(folders)
    if where is not None:
        return Assessment.NOTE, f"{folders.redis} is too long a path for a socket; that of Redis goes to {where}."
    return Assessment.GOOD, "Kafka and Redis can use these folders"


def _variables_of_java(_: Settings) -> Found:
    found = variables_of_java()
    if found:
        return Assessment.NOTE, f"{', '.join(found)}: set for another Java; the lab's own does not get {_it(found)}."
    return Assessment.GOOD, "none is set that the lab's Java would have to be kept from"


def _variables_of_celery(_: Settings) -> Found:
    found = variables_of_celery()
    if found:
        return Assessment.BAD, f"{', '.join(found)}: Celery obeys {_it(found)} instead of labkit. Unset {_it(found)}."
    return Assessment.GOOD, "none is set that Celery would obey instead of labkit"


def _proxies(_: Settings) -> Found:
    found = variables_of_proxies()
    if found:
        return Assessment.NOTE, (
            f"{', '.join(found)}: labkit goes past {_it(found)} to servers on this machine. For curl and others, set "
            "NO_PROXY=127.0.0.1,localhost."
        )
    return Assessment.GOOD, "none is asked for servers on this machine"


def _it(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _port(settings: Settings) -> Found:
    state = running_state(named_lab(settings, settings.lab), settings)
    if state is not None:
        ports = ", ".join(str(broker.port) for broker in state.brokers) or "an external one's"
        return Assessment.GOOD, f"The lab {settings.lab!r} is running; Kafka's port: {ports}."
    if not is_free(settings.port):
        return (
            Assessment.NOTE,
            f"{settings.port} is in use by another program; the lab will take a free one and say so.",
        )
    return Assessment.GOOD, f"{settings.port} is free"


def _locale(_: Settings) -> Found:
    encoding = locale.getpreferredencoding(do_setlocale=False)
    if encoding.upper().replace("-", "") != "UTF8":
        return Assessment.BAD, f"Texts are written as {encoding}. Set LC_ALL=C.UTF-8 in the environment."
    return Assessment.GOOD, encoding


def _jupyter(_: Settings) -> Found:
    if importlib.util.find_spec("jupyterlab") is None:
        return Assessment.NOTE, "not installed; `pip install labkit[notebooks]` brings it."
    return Assessment.GOOD, "installed"


def _external_kafka(settings: Settings) -> Found:
    if settings.bootstrap_servers is None:
        return Assessment.GOOD, "not set; the lab starts its own"
    check_external(settings)
    return Assessment.GOOD, f"{settings.bootstrap_servers} answers"


def _external_redis(settings: Settings) -> Found:
    if settings.redis_url is None:
        return Assessment.GOOD, "not set; the lab starts its own"
    import redis

    try:
        redis.Redis.from_url(settings.redis_url, socket_timeout=5).ping()
    except (redis.RedisError, ValueError) as error:
        return Assessment.BAD, f"No Redis answers at LABKIT_REDIS_URL: {error}."
    return Assessment.GOOD, "answers"


_CHECKS: dict[str, Callable[[Settings], Found]] = {
    "Python": _python,
    "Java": _java,
    "Kafka": _jars,
    "Kafka's tools": _tools,
    "caches": _caches,
    "Redis": _redis,
    "folders": _folders,
    "paths": _paths,
    "disk": _disk,
    "memory": _memory,
    "port": _port,
    "encoding": _locale,
    "variables for Java": _variables_of_java,
    "variables for Celery": _variables_of_celery,
    "proxies": _proxies,
    "JupyterLab": _jupyter,
    "external Kafka": _external_kafka,
    "external Redis": _external_redis,
}


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
