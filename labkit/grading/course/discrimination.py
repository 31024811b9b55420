"""Whether a question tells apart those who do well in an assignment from those who do not.

The corrected item-total correlation of classical test theory: between the points in a question and those in all
others (S. Henrysson, Correction of item-total correlations in item analysis, Psychometrika 28, 1963). Near 0 or below
it, those who do well elsewhere do no better here: the question may be wrong, or ask something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import StatisticsError, correlation

from labkit.grading.question_verdict import DIGITS

#: Of fewer students nothing is said: with 10, one correlation in twenty is beyond 0.63 or -0.63 by chance alone.
FEWEST = 10


def discriminations(points: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """From the points of each student by question, what each question discriminates by, from -1 to 1.

    A question that waits for a person in some submissions is left out, and so is one in which all have the same.
    """
    if len(points) < FEWEST:
        return {}
    judged = [question for question in points[0] if all(question in one for one in points)]
    found = {}
    for question in judged:
        own = [one[question] for one in points]
        # rounded, or sums of thirds that are the same would differ
        others = [round(sum(one[other] for other in judged if other != question), DIGITS) for one in points]
        try:
            found[question] = correlation(own, others)
        except StatisticsError:  # all have the same
            continue
    return found
