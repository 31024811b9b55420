"""The registry of handlers."""

from __future__ import annotations

import sys

import pytest

from labkit.celery_app import kinds
from labkit.celery_app.kinds import celery_name, handler_of, handles, import_handlers, print_something, sleep_for
from labkit.celery_app.performer import sending_name
from labkit.errors import HandlerNotFound, SettingsError, UnknownKind
from labkit.settings import Settings
from labkit.taskqueue.task import Task


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """A copy, so that nothing stays registered."""
    monkeypatch.setattr(kinds, "HANDLERS", dict(kinds.HANDLERS))
    return kinds.HANDLERS


def test_the_stock_tasks_are_there():
    for kind in ("message", "process_file"):
        assert handler_of(kind).handler is print_something
    assert handler_of("sleep").handler is sleep_for
    assert sending_name("message") == "labkit.celery_app.kinds.print_something"


def test_the_stock_task_prints_its_message(capsys):
    print_something(Task(id="1", kind="message", payload="Task 1: Process file A"))
    assert capsys.readouterr().out == "Task 1: Process file A\n"


def test_one_handler_may_have_several_kinds_and_is_called_as_it_is():
    @handles("resize", "crop", once=False)
    def resize(task):
        return task.payload

    assert handler_of("resize") == handler_of("crop") == (resize, False)
    assert sending_name("crop") == celery_name(resize)
    assert resize(Task(id="1", kind="resize", payload=7)) == 7


def test_a_kind_that_nobody_handles_is_refused_with_those_that_there_are():
    with pytest.raises(UnknownKind, match=r"'resize'; there are .*message, process_file, sleep.* LABKIT_CELERY"):
        handler_of("resize")


def test_two_handlers_of_a_kind_clash_and_the_first_stays(registry):
    def mine(task): ...

    with pytest.raises(SettingsError, match=r"mine.* and .*print_something both handle the kind 'message'"):
        handles("message")(mine)
    assert registry["message"].handler is print_something


def test_the_same_function_defined_again_takes_its_own_place():
    def define():
        @handles("resize")
        def resize(task): ...

        return resize

    first, second = define(), define()
    assert first is not second
    assert handler_of("resize").handler is second


def test_a_coroutine_function_is_refused(registry):
    async def resize(task): ...

    with pytest.raises(SettingsError, match=r"resize is an `async def`"):
        handles("resize")(resize)
    assert "resize" not in registry


@pytest.mark.parametrize("handler", [lambda: None, lambda task: (yield), lambda task, other: None])
def test_what_would_never_run_is_refused(registry, handler):
    with pytest.raises(SettingsError, match=r"never run|cannot be called with a task"):
        handles("resize", once=False)(handler)
    assert "resize" not in registry


def test_a_module_that_fails_when_it_is_imported_is_told_in_a_line(monkeypatch, tmp_path):
    (tmp_path / "labkit_test_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HandlerNotFound, match=r"imported: ZeroDivisionError: .*labkit_test_broken.py, line 1\)\.$"):
        import_handlers(Settings(_env_file=None, celery_imports="labkit_test_broken"))


def test_handlers_are_imported_from_the_modules_that_are_named(monkeypatch, tmp_path):
    for name in ("labkit_test_a", "labkit_test_b"):
        (tmp_path / f"{name}.py").write_text(
            f"from labkit.dispatch import handles\n@handles('{name}')\ndef handle(task): ...\n"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    import_handlers(Settings(_env_file=None, celery_imports="labkit_test_a, labkit_test_b"))
    assert sending_name("labkit_test_b") == "labkit_test_b.handle"
    for name in ("labkit_test_a", "labkit_test_b"):
        del sys.modules[name]


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(HandlerNotFound, match=r"LABKIT_CELERY_IMPORTS names the module 'nowhere\.to\.be'"):
        import_handlers(Settings(_env_file=None, celery_imports="nowhere.to.be"))
