"""Kinds without a handler are found before anything is sent."""

from __future__ import annotations

import pytest

from labkit.celery_app import kinds, known_kinds
from labkit.celery_app.kinds import Handling
from labkit.dispatch import waiting_kinds
from labkit.dispatch.session_options import with_own_handlers
from labkit.errors import HandlerNotFound
from labkit.settings import Settings
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import new_task
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport

SETTINGS = Settings(_env_file=None)


def resize(_task):
    pass


@pytest.fixture
def handlers(monkeypatch):
    """What this process handles, besides labkit's own."""
    found = {kind: one for kind, one in kinds.HANDLERS.items() if one.handler.__module__ == kinds.__name__}
    for one in (kinds, known_kinds, waiting_kinds):
        monkeypatch.setattr(one, "HANDLERS", found)
    return found


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def send(topic, *names):
    with Producer(topic, settings=SETTINGS) as producer:
        producer.send_many(new_task(name) for name in names)


def test_the_oldest_that_wait_are_looked_at(topics, monkeypatch):
    topic = topics.create("t", partitions=1)
    monkeypatch.setattr(waiting_kinds, "LOOKED_AT", 3)
    send(topic, "a", "b", "a", "c")
    assert waiting_kinds.waiting_kinds(topics, "t", "g") == {"a": 2, "b": 1}


def said(waiting):
    return list(waiting_kinds._unhandled("t", waiting_kinds.Counter(waiting)))


def test_where_all_would_be_dead_letters_nothing_is_begun(handlers):
    with pytest.raises(HandlerNotFound, match=r"5 of the 5 .* on t .*'crop', 'resize'.*Nothing was sent.*_IMPORTS"):
        said({"resize": 2, "crop": 3})
    handlers["crop"] = Handling(resize, once=True)
    (sentence,) = said({"resize": 2, "crop": 3})
    assert "2 of the 5 oldest tasks" in sentence
    assert said({"crop": 3}) == said({}) == []


def test_a_session_hands_its_own_handlers_on_to_its_worker(handlers):
    assert with_own_handlers(SETTINGS).celery_imports == ""
    handlers["resize"] = Handling(resize, once=True)
    given = SETTINGS.model_copy(update={"celery_imports": "mine, yours"})
    assert with_own_handlers(given).celery_imports == f"mine,yours,{__name__}"


def test_a_handler_that_lives_only_here_is_found_at_the_start(handlers):
    cell = type(resize)(resize.__code__, {"__name__": "__main__"}, "cell")
    handlers["resize"] = Handling(cell, once=True)
    with pytest.raises(HandlerNotFound, match="'resize' lives only in this program"):
        with_own_handlers(SETTINGS)


@pytest.fixture
def workers(monkeypatch):
    """The kinds that the running workers have said they handle."""
    there: dict[str, str] = dict(known_kinds.own_kinds())
    monkeypatch.setattr(known_kinds, "kinds_of_workers", lambda *_: there or None)
    return there


def test_handlers_of_this_process_that_no_worker_has_are_found(handlers, workers):
    handlers["resize"] = Handling(resize, once=True)
    with pytest.raises(HandlerNotFound, match=rf"the kind 'resize'.*LABKIT_CELERY_IMPORTS={__name__}"):
        known_kinds.must_be_handled(None, SETTINGS)
    workers["resize"] = __name__
    assert known_kinds.must_be_handled(None, SETTINGS) == []
    workers.clear()
    assert known_kinds.must_be_handled(None, SETTINGS) == [], "no worker runs that could say so"


def test_kinds_that_only_workers_know_are_said(handlers, workers):
    workers["crop"] = "pictures"
    for sentences in (known_kinds.must_be_handled(None, SETTINGS), known_kinds.differing_kinds(None, SETTINGS)):
        (sentence,) = sentences
        assert "'crop'" in sentence
        assert "LABKIT_CELERY_IMPORTS=pictures" in sentence
