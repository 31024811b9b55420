"""An error is told whatever it is: its own code may fail, and what it says may be of any size and kind."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import InProgress
from labkit.taskqueue.engine import failure
from labkit.taskqueue.engine.failure import (
    MOST_NOTES,
    MOST_OF_MESSAGE,
    MOST_OF_WHOLE,
    FailureCounter,
    RemoteError,
    describe,
    failure_of,
    is_news,
    is_no_attempt,
    printable,
    shielded,
)
from labkit.taskqueue.engine.outcome import outcome_of


class Silent(Exception):
    """Its `str()` fails, in a way that its test names."""

    how: object = None

    def __str__(self) -> str:
        if isinstance(self.how, BaseException):
            raise self.how
        return self.how  # type: ignore[return-value]


def silent(how: object) -> Silent:
    error = Silent()
    error.how = how
    return error


def masked() -> Exception:
    """Its class says that it is another, and looking at most of its attributes fails."""

    def fail(self):
        raise RuntimeError("not to be looked at")

    hidden = dict.fromkeys(("__class__", "__cause__", "__context__", "__traceback__", "__notes__"), property(fail))
    return type("Masked", (Exception,), {**hidden, "__bool__": fail, "__len__": fail})("masked")


class _Nameless(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")


class Nameless(Exception, metaclass=_Nameless):
    """Its class does not tell its name."""


class Trickster(str):
    """A text whose methods fail."""

    __slots__ = ()

    def encode(self, *_):
        raise RuntimeError("no")

    def __getitem__(self, _):
        raise RuntimeError("no")

    def __len__(self):
        raise RuntimeError("no")


def with_notes(*notes: object) -> Exception:
    error = ValueError("noted")
    error.__notes__ = notes if notes[0] != "no list" else 7  # type: ignore[assignment]
    return error


def in_a_circle() -> Exception:
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    return one


def chain(length: int) -> Exception:
    first = error = ValueError("0")
    for number in range(1, length):
        error.__context__ = ValueError(str(number))
        error = error.__context__
    return first


def nested_groups(depth: int) -> BaseException:
    error: BaseException = ValueError("inside")
    for _ in range(depth):
        error = BaseExceptionGroup("around", [error])
    return error


HARD = {
    "str() raises": lambda: silent(ValueError("no")),
    "str() ends the process": lambda: silent(SystemExit(3)),
    "str() is interrupted": lambda: silent(KeyboardInterrupt()),
    "str() never ends": lambda: silent(RecursionError()),
    "str() is no text": lambda: silent(7),
    "str() is bytes": lambda: silent(b"\xff"),
    "str() is a text of its own kind": lambda: silent(Trickster("tricky")),
    "half a character": lambda: ValueError("\ud800 and \udfff"),
    "3 MB": lambda: ValueError("x" * 3_000_000),
    "control characters": lambda: ValueError("\x00\x1b[31m\r\x9f"),
    "an argument without repr": lambda: ValueError(silent(ValueError("no")), object()),
    "no class, no cause, no notes": masked,
    "no name": lambda: Nameless("nameless"),
    "an empty name": lambda: type("", (Exception,), {})("x"),
    "a long name": lambda: type("N" * 100_000, (Exception,), {})("x"),
    "a name of two lines": lambda: type("a\nb", (Exception,), {})("x"),
    "notes that are no texts": lambda: with_notes(7, None),
    "notes that are no list": lambda: with_notes("no list"),
    "many notes": lambda: with_notes(*["note " * 1000] * 10_000),
    "causes in a circle": in_a_circle,
    "ten thousand causes": lambda: chain(10_000),
    "groups in groups": lambda: nested_groups(500),
    "a large group": lambda: ExceptionGroup("many", [ValueError(str(n)) for n in range(10_000)]),
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit({"not": "a number"}),
    "GeneratorExit": GeneratorExit,
    "StopIteration": lambda: StopIteration(7),
}


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        return caught


@pytest.mark.parametrize("name", HARD)
def test_any_error_is_told_within_bounds_and_as_plain_text(name):
    caught = raised(HARD[name]())
    text, number = FailureCounter().tell(caught)
    told = failure_of(caught)
    assert number == 1
    assert text == told.whole
    assert text.startswith(describe(caught))
    assert not is_no_attempt(caught)
    for part in (describe(caught), told.text, told.details, told.kind):
        part.encode()
        assert "\x00" not in part
    assert 0 < len(describe(caught)) <= MOST_OF_MESSAGE + 250
    assert len(text) <= MOST_OF_MESSAGE + MOST_OF_WHOLE + 500
    assert "raise error" in text, "the line that raised it is named"


@given(st.text(st.characters(), max_size=50))
def test_every_text_can_be_printed_and_stays_as_it_is_where_it_can(text):
    plain = printable(text)
    plain.encode()
    if text.isprintable():
        assert plain == text


def test_what_is_cut_off_is_said():
    assert printable("abcdef", 3) == "abc… (6 characters)"
    assert describe(ValueError("x" * 3_000_000)).endswith("x… (3,000,000 characters)")


def test_a_message_is_told_as_it_is():
    assert describe(ValueError("no such file")) == "ValueError: no such file"
    assert describe(KeyError("name")) == "KeyError: 'name'"
    assert describe(ValueError()) == "ValueError"


def helper() -> None:
    raise ConnectionError("refused")


def handler() -> None:
    try:
        helper()
    except ConnectionError as error:
        error.add_note("while calling")
        raise ValueError("no") from error


def test_the_first_is_told_with_the_handlers_own_line_its_causes_and_notes():
    with pytest.raises(ValueError, match="no") as caught:
        handler()
    told = failure_of(caught.value)
    assert told.text == "ValueError: no"
    assert f'File "{__file__}"' in told.details
    assert "in handler\n    raise ValueError" in told.details
    assert "caused by ConnectionError: refused" in told.details
    assert "  while calling" in told.details


def test_the_way_through_labkit_to_the_handler_is_left_out():
    told = failure_of(outcome_of(lambda task: helper(), None))
    assert "outcome.py" not in told.details
    assert told.details.index("in <lambda>") < told.details.index("in helper")


def test_the_first_of_a_kind_is_whole_and_further_ones_are_counted():
    counter = FailureCounter()
    told = [counter.tell(raised(ValueError(str(number)))) for number in range(12)]
    assert [number for _, number in told] == list(range(1, 13))
    assert told[0][0].startswith("ValueError: 0\n")
    assert [text for text, _ in told[1:]] == [f"ValueError: {number}" for number in range(1, 12)]
    counter.tell(raised(KeyError("another kind")))
    ((kind, count),) = counter.take_repeated().items()
    assert kind.startswith("ValueError ")
    assert count == 11


def test_workers_of_one_counter_say_together_how_many_there_were():
    counter = FailureCounter()

    def fail(times: int) -> None:
        for number in range(times):
            counter.tell(raised(ValueError(str(number))))

    fail(3)
    assert [[*counter.take_repeated().values()] for _ in range(3)] == [[2], [], []]
    fail(4)
    assert [*counter.take_repeated().values()] == [4]


def test_the_same_class_from_another_line_is_another_kind():
    counter = FailureCounter()
    counter.tell(raised(ValueError("here")))
    text, number = counter.tell(outcome_of(lambda task: handler(), None))
    assert number == 1
    assert "\n" in text


def test_kinds_without_end_are_counted_together(monkeypatch):
    monkeypatch.setattr(failure, "MOST_KINDS", 3)
    counter = FailureCounter()
    told = [counter.tell(raised(type(f"E{number}", (Exception,), {})())) for number in range(6)]
    assert [number for _, number in told] == [1, 1, 1, 1, 2, 3]
    assert ["\n" in text for text, _ in told] == [True] * 3 + [False] * 3
    assert counter.take_repeated() == {"others": 2}


def test_what_another_process_has_told_is_taken_over():
    told = failure_of(raised(InProgress("wait")))
    remote = RemoteError(told)
    assert failure_of(remote) is told
    assert describe(remote) == str(remote) == "InProgress: wait"
    assert is_no_attempt(remote)
    assert not is_no_attempt(RemoteError(failure_of(ValueError("InProgress: wait"))))


def test_a_failure_is_news_the_first_the_tenth_the_hundredth_time():
    assert [number for number in range(1, 2001) if is_news(number)] == [1, 10, 100, 1000]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(), KeyboardInterrupt(), silent(ValueError("no"))])
def test_a_shielded_call_reports_what_it_raises_and_counts_it(error, caplog):
    def call(value):
        raise error

    shield = shielded(call, "on_record")
    for _ in range(11):
        shield(7)
    lines = [line.getMessage() for line in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith("on_record failed, for the 1. time; the work goes on:")
    assert "raise error" in lines[0]
    assert lines[1].startswith("on_record failed, for the 10. time")


def test_notes_without_end_are_cut_off():
    error = ValueError("noted")
    error.__notes__ = map(str, count())  # type: ignore[assignment]
    details = failure_of(error).details
    assert "  0" in details
    assert str(MOST_NOTES) not in details
