"""Which answers of a class are alike, however their names and their layout differ.

By copydetect, which does what MOSS does: names become one letter, blanks and comments are left out, and of what is left
every passage of some length is compared (S. Schleimer, D. Wilkerson, A. Aiken, Winnowing: local algorithms for document
fingerprinting, SIGMOD 2003). Here no passage is left out by chance, so the shares are the same each time. Nothing is
said of how two answers came to be alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from io import StringIO
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from copydetect import CodeFingerprint

#: How long a passage is, in characters without blanks and with names of one letter: copydetect's own default.
PASSAGE = 25
#: A passage that more answers have than this is nobody's own, as MOSS takes it by default (its option -m).
MOST_ANSWERS = 10
#: How much of its own an answer must have to be compared, in such characters: by what is shorter, many are alike.
LEAST_CODE = 80
#: From which share of one of them on two answers are alike.
ALIKE = 0.8
#: So much of an answer is compared, in characters. What is meant to be hard to split into words takes a time that grows
#: with the square of this, 1 s here.
MOST_CODE = 8_000


class SimilarAnswers(NamedTuple):
    """Two answers to a question; `of_first` is the share of the first's own code that is in the second, too, and
    `of_second` the other way round.
    """

    question: str
    first: str
    second: str
    of_first: float
    of_second: float


def similar_answers(question: str, answers: Mapping[str, str], known: Iterable[str]) -> list[SimilarAnswers]:
    """The pairs of students whose code is alike, most alike first, from the code of each. What is in `known` too, as
    the code that was handed out, is nobody's own, and neither is what many have.
    """
    prints = {student: _fingerprint(code) for student, code in sorted(answers.items())}
    common = {passage for code in known for passage in _fingerprint(code).hashes}
    counts = Counter(passage for one in prints.values() for passage in one.hashes)
    common |= {passage for passage, count in counts.items() if count > MOST_ANSWERS}
    own = {student: one for student, one in prints.items() if _without(one, common) >= LEAST_CODE}
    found = [_compared(question, *pair, own) for pair in _sharing(own)]
    alike = (one for one in found if max(one.of_first, one.of_second) >= ALIKE)
    return sorted(alike, key=lambda one: (-min(one[3:]), -max(one[3:]), one))


def _fingerprint(code: str) -> CodeFingerprint:
    """All passages of the code, which is never run: what is no Python is split into words as well as it goes."""
    from copydetect import CodeFingerprint

    return CodeFingerprint("answer.py", PASSAGE, 1, fp=StringIO(code[:MOST_CODE]))


def _without(fingerprint: CodeFingerprint, common: set[int]) -> float:
    """Take these passages away; returns how many characters the others cover. copydetect's own way of doing so takes
    away passages, too, that stand twice in an answer.
    """
    from copydetect.utils import get_token_coverage

    fingerprint.hashes = fingerprint.hashes - common
    fingerprint.hash_idx = {passage: fingerprint.hash_idx[passage] for passage in fingerprint.hashes}
    coverage = get_token_coverage(fingerprint.hash_idx, PASSAGE, len(fingerprint.filtered_code))
    fingerprint.token_coverage = coverage
    return float(coverage)


def _sharing(own: Mapping[str, CodeFingerprint]) -> list[tuple[str, str]]:
    """Those who share a passage at all: of each passage there are few, so it takes no comparison of all with all."""
    holders = defaultdict(list)
    for student, one in own.items():
        for passage in one.hashes:
            holders[passage].append(student)
    return sorted({pair for students in holders.values() for pair in combinations(students, 2)})


def _compared(question: str, first: str, second: str, own: Mapping[str, CodeFingerprint]) -> SimilarAnswers:
    from copydetect import compare_files

    _, shares, _ = compare_files(own[first], own[second])
    of_first, of_second = (min(1.0, float(share)) for share in shares)  # gaps within what is shared count as shared
    return SimilarAnswers(question, first, second, of_first, of_second)
