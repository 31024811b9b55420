"""Which answers of a class are alike, however their names and their layout differ.

By copydetect, which does what MOSS does: names become one letter, blanks and comments are left out, and of what is left
every passage of some length is compared (S. Schleimer, D. Wilkerson, A. Aiken, Winnowing: local algorithms for document
fingerprinting, SIGMOD 2003). Here no passage is left out by chance, so the shares are the same each time. Nothing is
said of how two answers came to be alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from io import StringIO
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from copydetect import CodeFingerprint

Integers = npt.NDArray[np.int64]

#: How long a passage is, in characters without blanks and with names of one letter: copydetect's own default.
PASSAGE = 25
#: A passage that more answers have than this is nobody's own, as MOSS takes it by default (its option -m).
MOST_ANSWERS = 10
#: How much of its own an answer must have to be compared, in such characters: by what is shorter, many are alike.
LEAST_CODE = 80
#: From which share of one of them on two answers are alike.
ALIKE = 0.8
#: So much of an answer is compared, in characters. So 300 answers of 850 characters take 3 s of a processor and 30 MB;
#: if each is as long, like no other and meant to be hard to split into words, 0.4 s and 2 MB each.
MOST_CODE = 5_000


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
    passages, _, counts, _ = _holders(prints.values())
    common |= set(passages[counts > MOST_ANSWERS].tolist())
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
    _, starts, counts, holders = _holders(own.values())
    students, several = list(own), counts > 1
    sharing = {
        pair
        for start, count in zip(starts[several].tolist(), counts[several].tolist(), strict=True)
        for pair in combinations(holders[start : start + count].tolist(), 2)
    }
    return sorted((students[first], students[second]) for first, second in sharing)


def _holders(prints: Collection[CodeFingerprint]) -> tuple[Integers, Integers, Integers, Integers]:
    """All passages; where those begin who have each, by their numbers in order, how many they are; and these numbers.

    As arrays, since there may be a million of passages.
    """
    of_each = [np.fromiter(one.hashes, np.int64, len(one.hashes)) for one in prints]
    passages = np.concatenate([np.empty(0, np.int64), *of_each])
    numbers = np.repeat(np.arange(len(of_each)), [len(one) for one in of_each])
    order = np.argsort(passages, kind="stable")
    different, starts, counts = np.unique(passages[order], return_index=True, return_counts=True)
    return different, starts, counts, numbers[order]


def _compared(question: str, first: str, second: str, own: Mapping[str, CodeFingerprint]) -> SimilarAnswers:
    from copydetect import compare_files

    _, shares, _ = compare_files(own[first], own[second])
    of_first, of_second = (min(1.0, float(share)) for share in shares)  # gaps within what is shared count as shared
    return SimilarAnswers(question, first, second, of_first, of_second)
