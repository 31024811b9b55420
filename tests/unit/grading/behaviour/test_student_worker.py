"""What a worker may use of the machine."""

from __future__ import annotations

from labkit.grading import sandboxed_solution
from labkit.grading.behaviour import student_worker


def test_no_time_of_a_processor_ends_a_worker_before_its_own_time_is_over() -> None:
    """A loop that polls without a pause uses one processor all the time."""
    assert student_worker.LIMITS.cpu_seconds >= student_worker.LIMITS.wall_seconds


def test_a_question_does_not_pay_for_what_those_before_it_have_used() -> None:
    assert sandboxed_solution.LIMITS.cpu_seconds >= sandboxed_solution.SUBMISSION_TIMEOUT
