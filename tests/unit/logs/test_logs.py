"""The logging configuration of each component is in force after `configure`."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import logging.config
import logging.handlers
import shutil
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import get_args

import pytest

from labkit.errors import SettingsError
from labkit.logs import Component, config_path, configure
from labkit.logs.shared_file import share
from labkit.settings import Settings
from tests.unit.logger_state import loggers_put_back

COMPONENTS = get_args(Component)


@pytest.mark.parametrize("component", COMPONENTS)
def test_warnings_are_shown_and_everything_is_kept(
    component: Component, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(component, Settings(), tmp_path / "logs")
    logger = logging.getLogger("labkit.some.room")
    logger.debug("a detail")
    logger.info("an event")
    logger.warning("a warning")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "labkit: a warning\n")
    kept = (tmp_path / "logs" / f"{component}.log").read_text()
    assert "a detail" not in kept
    assert "INFO" in kept
    assert "labkit.some.room: an event" in kept
    assert "a warning" in kept


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_file_is_bounded(component: Component, tmp_path: Path, labkits_logger: logging.Logger) -> None:
    configure(component, Settings(), tmp_path)
    (file,) = [each for each in labkits_logger.handlers if isinstance(each, logging.handlers.RotatingFileHandler)]
    assert file.maxBytes > 0
    assert file.backupCount > 0
    assert Path(file.baseFilename) == tmp_path / f"{component}.log"


def test_a_log_that_cannot_be_written_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], labkits_logger: logging.Logger
) -> None:
    (tmp_path / "worker.log").mkdir()
    configure("worker", Settings(), tmp_path)
    for number in range(3):
        labkits_logger.info("event %d", number)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"labkit: {tmp_path / 'worker.log'} cannot be written")
    (tmp_path / "worker.log").rmdir()
    labkits_logger.info("it goes on")
    assert "it goes on" in (tmp_path / "worker.log").read_text()
    labkits_logger.info("%d", "a defect")
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("handler", ["logging.handlers.RotatingFileHandler", "logging.FileHandler"])
def test_a_log_that_is_deleted_under_way_is_begun_anew(
    tmp_path: Path, handler: str, labkits_logger: logging.Logger
) -> None:
    own = json.loads(config_path("worker", Settings()).read_text())
    own["handlers"]["file"] = {"class": handler, "filename": "worker.log", "formatter": "full"}
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "logging_config.json").write_text(json.dumps(own))
    file = tmp_path / "logs" / "worker.log"
    configure("worker", Settings(logging_dir=tmp_path), file.parent)
    labkits_logger.info("before")
    file.unlink()
    labkits_logger.info("after the file")
    assert "after the file" in file.read_text()
    shutil.rmtree(file.parent)
    labkits_logger.info("after the folder")
    assert "after the folder" in file.read_text()


def test_several_processes_write_to_one_log_and_keep_the_older_files(tmp_path: Path) -> None:
    """As two processes that have it open: what one has rotated, the other follows, and nothing is lost."""
    file = tmp_path / "worker.log"
    handlers = [RotatingFileHandler(file, maxBytes=100, backupCount=50) for _ in range(2)]
    for handler in handlers:
        share(handler)
    for number in range(100):
        handlers[number // 3 % 2].emit(logging.makeLogRecord({"msg": f"line {number:03}"}))
    for handler in handlers:
        handler.close()
    files = list(tmp_path.iterdir())
    assert sorted(line for each in files for line in each.read_text().splitlines()) == [
        f"line {number:03}" for number in range(100)
    ]
    assert all(each.stat().st_size <= 100 for each in files)


def test_who_comes_second_to_rotate_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look at the file and its lock another process has rotated it."""
    file = tmp_path / "worker.log"
    first, second = (RotatingFileHandler(file, maxBytes=100, backupCount=5) for _ in range(2))
    share(first)
    share(second)
    flock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        first.doRollover()
        flock(descriptor, how)

    monkeypatch.setattr("labkit.logs.shared_file.fcntl.flock", late)
    for number in range(12):
        second.emit(logging.makeLogRecord({"msg": f"line {number:03}"}))
    for handler in (first, second):
        handler.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["worker.log", "worker.log.1"]


def test_a_file_that_cannot_be_locked_is_written_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("labkit.logs.shared_file.fcntl.flock", refuse)
    handler = RotatingFileHandler(tmp_path / "worker.log", maxBytes=100, backupCount=2)
    share(handler)
    for number in range(20):
        handler.emit(logging.makeLogRecord({"msg": f"line {number:03}"}))
    handler.close()
    assert len((tmp_path / "worker.log").read_text().splitlines()) == 20


def test_a_file_that_another_process_is_about_to_rotate_is_written_on(tmp_path: Path) -> None:
    file = tmp_path / "worker.log"
    handler = RotatingFileHandler(file, maxBytes=100, backupCount=2)
    share(handler)
    with file.open() as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        for number in range(20):
            handler.emit(logging.makeLogRecord({"msg": f"line {number:03}"}))
    assert len(file.read_text().splitlines()) == 20
    handler.emit(logging.makeLogRecord({"msg": "the next"}))
    handler.close()
    assert file.read_text().splitlines() == ["the next"]


def test_the_users_own_configuration_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = json.loads(config_path("worker", Settings()).read_text())
    own["formatters"]["short"]["format"] = "MINE %(message)s"
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "logging_config.json").write_text(json.dumps(own))
    settings = Settings(logging_dir=tmp_path)
    configure("worker", settings, tmp_path)
    logging.getLogger("labkit").warning("a warning")
    assert capsys.readouterr().err == "MINE a warning\n"
    assert config_path("lab", settings) == config_path("lab", Settings()), "no own one for the lab"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "property name"),
        ("[]", "list"),
        ("{}", "version"),
        ('{"version": 1, "handlers": {"x": {"class": "no.such.Handler"}}}', "no"),
        ('{"version": 1, "loggers": {"labkit": {"level": "LOUD"}}}', "LOUD"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    path = tmp_path / "lab" / "logging_config.json"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        configure("lab", Settings(logging_dir=tmp_path), tmp_path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_test_leaves_a_logger_changed_for_the_next(component: Component, tmp_path: Path) -> None:
    names = ("labkit", "labkit.task", "labkit.transport", "celery", "celery.beat", "kombu")
    loggers = [logging.getLogger(name) for name in names]

    def state() -> list[tuple[object, ...]]:
        return [(one.level, one.propagate, one.disabled, one.handlers[:]) for one in loggers]

    before = state()
    with loggers_put_back():
        configure(component, Settings(), tmp_path)
        assert state() != before
    assert state() == before
