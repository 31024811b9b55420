"""Logging by configuration: each component has its own `logging_config.json`, loaded by `logging.config.dictConfig`.

The one in `LABKIT_LOGGING_DIR/<component>/` is taken if there is one, else the one in this package. As delivered,
warnings go to standard error and everything from INFO on into a file of at most 1 MB, of which two older ones are kept.
Several processes may write to one file; one that is deleted under way is begun anew. What others have sent is escaped.
"""

from __future__ import annotations

import json
import logging.config
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from labkit.errors import SettingsError
from labkit.logs.plain_format import write_plain
from labkit.logs.shared_file import share

if TYPE_CHECKING:
    from labkit.settings import Settings

Component = Literal["lab", "producer", "worker", "dispatcher", "celery", "beat", "api"]

#: The name of the file in each component's folder.
CONFIG_FILE = "logging_config.json"


def configure(component: Component, settings: Settings, log_dir: Path) -> None:
    """Put the component's configuration in force. File names in it are relative to `log_dir`, which is made.

    Raises `SettingsError` if the file is no JSON or if `dictConfig` refuses it.
    """
    path = config_path(component, settings)
    log_dir.mkdir(parents=True, exist_ok=True)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        _place_files(config, log_dir)
        logging.config.dictConfig(config)
        for name in (*config.get("loggers", {}), *(["root"] if "root" in config else [])):
            for handler in logging.getLogger(name).handlers:
                _say_once(handler)
                write_plain(handler, settings.lab)
                if isinstance(handler, logging.FileHandler):
                    share(handler)
    except (ValueError, TypeError, AttributeError, ImportError, KeyError) as error:
        reason = error.__cause__ or error  # dictConfig wraps what was wrong
        raise SettingsError(f"The logging configuration {path} does not fit: {error}: {reason}.") from error


def config_path(component: Component, settings: Settings) -> Path:
    """Where the component's configuration comes from. Raises `SettingsError` if the folder that is set is none."""
    if settings.logging_dir is not None:
        if not settings.logging_dir.is_dir():
            raise SettingsError(
                f"LABKIT_LOGGING_DIR is {settings.logging_dir}, and there is no such folder. Make it, with your own "
                f"{component}/{CONFIG_FILE} in it, or leave it out."
            )
        own = settings.logging_dir / component / CONFIG_FILE
        if own.is_file():
            return own
    return Path(__file__).parent / component / CONFIG_FILE


def _place_files(config: dict[str, Any], log_dir: Path) -> None:
    for handler in config.get("handlers", {}).values():
        if "filename" in handler:
            handler["filename"] = str(log_dir / handler["filename"])


def _say_once(handler: logging.Handler) -> None:
    """Let it say once what it cannot write to: Python would show two tracebacks for each line, on a full disk say."""
    told = handler.handleError
    said: list[OSError] = []

    def on_error(record: logging.LogRecord) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):
            told(record)  # a defect of whoever wrote the line
        elif not said:
            said.append(error)
            with suppress(OSError, ValueError, AttributeError):  # standard error may be gone too
                where = getattr(handler, "baseFilename", "a log")
                sys.stderr.write(f"labkit: {where} cannot be written, its lines are lost meanwhile: {error}\n")

    handler.handleError = on_error  # type: ignore[method-assign]
