"""Each task counts once, by the best that its records say of it."""

from labkit.measure import to_frame
from labkit.measure.fates import FATES, fate_of_each, fates
from labkit.measure.task_record import BAD, DEAD, DONE, FAILED, REPEATED, SHED


def test_each_task_is_in_one_column_and_the_sum_is_what_was_produced(attempt):
    records = to_frame(
        [
            attempt(task_id="a", outcome=DONE),
            attempt(task_id="b", outcome=SHED),
            attempt(task_id="c", outcome=DEAD),
            attempt(task_id="d", outcome=FAILED),
        ]
    )
    counts = fates(records, {"high": ["a", "d"], "low": ["b", "c", "e"]})
    assert list(counts.columns) == list(FATES)
    assert counts.loc["high"].to_dict() == {"done": 1, "dead": 0, "shed": 0, "missing": 1}
    assert counts.loc["low"].to_dict() == {"done": 0, "dead": 1, "shed": 1, "missing": 1}
    assert counts.to_numpy().sum() == 5


def test_the_best_of_several_records_counts(attempt):
    records = to_frame(
        [
            attempt(task_id="a", outcome=SHED),
            attempt(task_id="a", outcome=DONE),
            attempt(task_id="b", outcome=SHED),
            attempt(task_id="b", outcome=DEAD),
            attempt(task_id="c", outcome=DONE),
            attempt(task_id="c", outcome=REPEATED),
            attempt(task_id="d", outcome=FAILED),
            attempt(task_id="d", outcome=DONE),
        ]
    )
    assert fate_of_each(records) == {"a": "done", "b": "dead", "c": "done", "d": "done"}


def test_a_repetition_alone_says_that_the_task_was_done(attempt):
    """Its worker died after the work, before it could leave a record."""
    assert fate_of_each(to_frame([attempt(task_id="a", outcome=REPEATED)])) == {"a": "done"}


def test_what_is_no_task_is_dead(attempt):
    assert fate_of_each(to_frame([attempt(task_id="a", outcome=BAD)])) == {"a": "dead"}


def test_a_task_that_is_named_twice_was_produced_once(attempt):
    counts = fates(to_frame([attempt(task_id="a", outcome=DONE)]), {"high": ["a", "a"]})
    assert counts.to_numpy().sum() == 1


def test_without_records_everything_is_missing():
    counts = fates(to_frame([]), {"high": ["a"], "low": []})
    assert counts["missing"].to_dict() == {"high": 1, "low": 0}
    assert counts.to_numpy().sum() == 1
