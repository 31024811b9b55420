"""Which answers of a class are alike, however their names and their layout differ.

By copydetect, which does what MOSS does: names become one letter, blanks and comments are left out, and of what is left
every passage of some length is compared (S. Schleimer, D. Wilkerson, A. Aiken, Winnowing: local algorithms for document
fingerprinting, SIGMOD 2003). Here no passage is left out by chance, so the shares are the same each time. Nothing is
said of how two answers came to be alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

#: How long a passage is, in characters without blanks and with names of one letter: copydetect's own default.
PASSAGE = 25
#: A passage that more answers have than this is nobody's own, as MOSS takes it by default (its option -m).
MOST_ANSWERS = 10
#: How much of its own an answer must have to be compared, in such characters: by what is shorter, many are alike.
LEAST_CODE = 80
#: From which share of one of them on two answers are alike.
ALIKE = 0.8
#: So much of an answer is compared, in characters. 300 answers of 850 characters take 2 s of a processor.
MOST_CODE = 5_000


class SimilarAnswers(NamedTuple):
    """Two answers to a question; `of_first` is the share of the first's own code that is in the second, too, and
    `of_second` the other way round; `first_own` and `second_own` are how many characters the own code of each has.
    """

    question: str
    first: str
    second: str
    of_first: float
    of_second: float
    first_own: int
    second_own: int

    @property
    def less(self) -> float:
        """The share of the one of which less is in the other."""
        return min(self.of_first, self.of_second)

    @property
    def more(self) -> float:
        """The share of the one of which more is in the other."""
        return max(self.of_first, self.of_second)


def similar_answers(question: str, answers: Mapping[str, str], known: Iterable[str]) -> list[SimilarAnswers]:
    """The pairs of students whose code is alike, most alike first, from the code of each. A character is an answer's
    own if it lies in no passage that is in `known`, too, as the code that was handed out, or that many have.
    """
    passages = {student: _passages(code) for student, code in sorted(answers.items())}
    numbers, common = _numbered(passages, [_passages(code) for code in known])
    own = {student: ~_covered(common[found]) for student, found in numbers.items()}
    sizes = {student: size for student, one in own.items() if (size := int(one.sum())) >= LEAST_CODE}
    sharing = _sharing({student: numbers[student] for student in sizes}, common)
    shares = {
        (first, second): float((_covered(there) & own[first]).sum()) / sizes[first]
        for first, second, there in _shared(numbers, sharing, len(common))
    }
    found = [
        SimilarAnswers(question, one, two, shares[one, two], shares[two, one], sizes[one], sizes[two])
        for one, two in sharing
    ]
    alike = (one for one in found if one.more >= ALIKE)
    return sorted(alike, key=lambda one: (-one.less, -one.more, one))


def _passages(code: str) -> Integers:
    """All passages of the code, one for each place at which one begins. The code is never run: what is no Python is
    split into words as well as it goes.
    """
    from copydetect.utils import filter_code, hashed_kgrams

    letters, _ = filter_code(code[:MOST_CODE], "answer.py")
    return np.asarray(hashed_kgrams(letters, PASSAGE), np.int64)


def _numbered(passages: Mapping[str, Integers], known: list[Integers]) -> tuple[dict[str, Integers], Booleans]:
    """The passages of each as numbers from 0 on; and by number whether a passage is common, so nobody's own."""
    none = np.empty(0, np.int64)
    different, places = np.unique(np.concatenate([none, *passages.values()]), return_inverse=True)
    ends = np.cumsum([len(one) for one in passages.values()], dtype=np.int64)
    numbers = dict(zip(passages, np.split(places, ends[:-1]), strict=True)) if passages else {}
    answers = _answers_with(numbers.values(), len(different))
    return numbers, (answers > MOST_ANSWERS) | np.isin(different, np.concatenate([none, *known]))


def _answers_with(numbers: Iterable[Integers], passages: int) -> Integers:
    """By number of the passage how many answers have it."""
    found = np.zeros(passages, np.int64)
    for one in numbers:
        found[np.unique(one)] += 1
    return found


def _covered(begins: Booleans) -> Booleans:
    """Which characters lie in a passage that begins at one of these places."""
    changes = np.zeros(len(begins) + PASSAGE, np.int64)
    changes[: len(begins)] += begins
    changes[PASSAGE:] -= begins
    return np.cumsum(changes)[:-1] > 0


def _sharing(numbers: Mapping[str, Integers], common: Booleans) -> list[tuple[str, str]]:
    """Those who share a passage that is not common: such a one few have, so it takes no comparison of all with all."""
    holders: defaultdict[int, list[str]] = defaultdict(list)
    several = (_answers_with(numbers.values(), len(common)) > 1) & ~common
    for student, one in numbers.items():
        for number in np.unique(one[several[one]]).tolist():
            holders[number].append(student)
    return sorted({pair for students in holders.values() for pair in combinations(students, 2)})


def _shared(
    numbers: Mapping[str, Integers], sharing: Iterable[tuple[str, str]], passages: int
) -> Iterator[tuple[str, str, Booleans]]:
    """Of each two, both ways round, at which places of the first a passage begins that the second has, too."""
    others: defaultdict[str, set[str]] = defaultdict(set)
    for first, second in sharing:
        others[first].add(second)
        others[second].add(first)
    for second, firsts in others.items():
        there = np.zeros(passages, np.bool_)
        there[numbers[second]] = True
        yield from ((first, second, there[numbers[first]]) for first in firsts)
