"""What happened in a run: who had which task when, as it is kept, and as it is drawn."""

from __future__ import annotations

import msgspec
from matplotlib.colors import same_color

from labkit.grading.behaviour.run_history import run_timeline
from labkit.grading.effect_sink import Effect
from labkit.grading.question_verdict import QuestionVerdict
from labkit.grading.run_timeline import MOST_SPANS, RunTimeline, TaskSpan, TimelineMark
from labkit.grading.timeline_figure import draw_timeline
from labkit.measure.plots.style import partition_colour

PLACES = {"Task 1": (0, 0), "Task 2": (1, 0)}
TIMELINE = RunTimeline(
    ("worker 1", "worker 2", "worker 3"),
    (
        TaskSpan("Task 1", "worker 1", 0, 1.0, 1.5),
        TaskSpan("Task 2", "worker 1", 1, 2.0),
        TaskSpan("Task 2", "worker 2", 1, 3.5, 4.0),
    ),
    (TimelineMark("worker 1 killed", 3.0),),
    5.0,
)


def told(*effects: tuple[str, str, str, float]) -> list[Effect]:
    return [
        Effect(number=number, worker=worker, what=what, task=task, at=at)  # type: ignore[arg-type]
        for number, (worker, what, task, at) in enumerate(effects)
    ]


def test_it_is_made_of_what_workers_told_of_tasks_that_there_are() -> None:
    effects = told(
        ("worker 1", "began", "Task 1", 1.0),
        ("worker 1", "done", "Task 9", 1.2),
        ("worker 1", "done", "Task 1", 1.5),
        ("worker 1", "began", "Task 2", 2.0),
        ("worker 2", "began", "Task 2", 3.5),
        ("worker 2", "done", "Task 2", 4.0),
        ("worker 2", "began", "Task 8", 4.5),
    )
    assert run_timeline(PLACES, effects, TIMELINE.marks, workers=TIMELINE.workers, end=5.0) == TIMELINE


def test_a_task_that_is_done_twice_is_there_twice_and_a_flood_is_cut_off() -> None:
    twice = told(*[("worker 1", what, "Task 1", 1.0) for what in ("began", "done") * 2])
    made = run_timeline(PLACES, twice, (), workers=(), end=2.0)
    assert made is not None
    assert [span.done for span in made.spans] == [1.0, 1.0]
    flood = run_timeline(
        PLACES, told(*[("worker 1", "began", "Task 1", 1.0)] * (MOST_SPANS + 9)), (), workers=(), end=2.0
    )
    assert flood is not None
    assert len(flood.spans) == MOST_SPANS
    assert run_timeline(PLACES, (), TIMELINE.marks, workers=(), end=1.0) is None


def test_a_verdict_with_it_is_stored_as_json() -> None:
    verdict = QuestionVerdict(question="q2", state="right", points=1, possible=1, timeline=TIMELINE)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=QuestionVerdict) == verdict


def test_it_is_drawn_with_what_was_never_done_up_to_the_moment_when_it_was_left() -> None:
    figure = draw_timeline(TIMELINE, title="q2: Work")
    (axes,) = figure.axes
    assert " ".join(figure.get_suptitle().split()) == (
        "q2: Work: worker 1 did 1 task, worker 2 did 1 task, worker 3 did 0 tasks; 1 begun and not done (hatched)."
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == ["worker 1", "worker 2", "worker 3"]
    bars = {}
    for bar in axes.collections:
        (extent,) = (path.get_extents() for path in bar.get_paths())
        bars[round(extent.x0, 3), round(extent.x1, 3)] = bar
    assert bars.keys() == {(1.0, 1.5), (2.0, 3.0), (3.5, 4.0)}
    assert bars[2.0, 3.0].get_hatch()
    assert not bars[3.5, 4.0].get_hatch()
    assert same_color(bars[1.0, 1.5].get_facecolor()[0], partition_colour(0))
    assert "worker 1 killed" in [text.get_text() for text in axes.texts]
