"""How well questions are answered without the image: by the answer that other patients' same questions most often have.

The guesser sees the words only. It knows how often each answer was right for other patients, first for the same words
and choices, and where no other patient was asked them, for the same kind of question. Patients are dealt into folds by
a hash; the answers of a fold do not vote for its own questions, so nobody's answers help to guess themselves.

A score belongs to the question, not to the answer: it is the guesser's share of hits on all questions of the same
words, drawn toward its share on the kind by `PRIOR` questions. Else those with the common answer would all go, and the
rare answer would be left as the one to guess. A text-only model's answers (`Sample.blind` of the stream, 0 or 1) are
shared out in the same way, and the better of the two guessers counts.
"""

import functools
import hashlib
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.columns import Columns
from rrg.records import Sample

SOLVABLE = 0.8
"""From this score on a question counts as solvable without the image."""
FOLDS = 10
PRIOR = 5.0
"""Questions of the kind that count beside those of the same words."""
UNKNOWN = -1
KEPT = 1 << 12
"""Hashes that are kept to be used again: answers, choices and most questions come back."""
ROWS = 1 << 14
"""Questions that are scored at a time."""
Ints = NDArray[np.int64]
Numbers = NDArray[np.int32]


class Told(NamedTuple):
    """What is said of all questions together."""

    questions: int
    solved: int
    """That the guesser answers right."""
    solvable: int
    """Of a score of at least `threshold`."""
    threshold: float


@functools.lru_cache(KEPT)
def _number(*words: str) -> int:
    """A 63-bit hash: 8 bytes a word instead of a text."""
    digest = hashlib.blake2b("\0".join(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def question_text(sample: Sample) -> str:
    """All that the user says before the answer, with the choices of a choice question in the order of the alphabet."""
    last = max((n for n, turn in enumerate(sample.turns) if turn.role == "assistant"), default=len(sample.turns))
    lines = [
        line
        for turn in sample.turns[:last]
        for part in turn.content
        if part.text is not None
        for line in part.text.split("\n")
    ]
    return "\n".join([*(line for line in lines if line not in sample.choices), *sorted(sample.choices)])


def is_question(sample: Sample) -> bool:
    """Only what has one short right answer can be guessed: questions with a type."""
    return sample.question_type is not None and sample.answer is not None


class Blind:
    """Questions as they come, in columns on the disk; `settle` scores them all, some bytes each."""

    def __init__(self, columns: Columns | None = None) -> None:
        """`columns`: those that its own are spilled and closed with."""
        new = (columns or Columns()).new
        self._words, self._answers = new("q"), new("q")
        self._kinds, self._kind_of = new("i"), dict[int, int]()
        self._folds, self._models = new("b"), new("f")
        self._choices, self._ends = new("q"), new("q")
        self.scores: NDArray[np.float32] = np.zeros(0, np.float32)
        """After `settle`: by the number of the question, in the order of `add`."""
        self._hits = np.zeros(0, bool)

    def __len__(self) -> int:
        return len(self._words) or len(self.scores)

    def add(self, sample: Sample) -> None:
        """Take a question (`is_question`). A model says 0 or 1; what lies between is a score of an earlier packing."""
        assert sample.answer is not None
        kind = sample.facets.get("question") or sample.provenance.get("template", "").partition("/")[0]
        self._words.append(_number(sample.lang, question_text(sample)))
        of = _number(sample.lang, sample.task, kind, str(sample.question_type))
        self._kinds.append(self._kind_of.setdefault(of, len(self._kind_of)))
        self._answers.append(_number(sample.answer))
        self._folds.append(_number("fold", sample.patient) % FOLDS)
        self._models.append(UNKNOWN if sample.blind is None or 0 < sample.blind < 1 else sample.blind)
        for choice in sample.choices:
            self._choices.append(_number(choice))
        self._ends.append(len(self._choices))

    def settle(self) -> None:
        """Score all questions; what is known of them but the scores is let go."""
        if not len(self._words):
            return
        word, kind = _numbered(self._words.taken()), self._kinds.taken()
        answers, folds = self._answers.taken(), self._folds.taken()
        by_words, voted = _hits(word, answers, folds)
        by_kind, _ = _hits(kind, answers, folds)
        for number, hit in _choice_hits(kind, answers, folds, self._choices.taken(), self._ends.taken()):
            by_kind[number] = hit
        self._hits = np.where(voted, by_words, by_kind)
        self.scores = _shared_out(self._hits, by_kind, word, kind)
        models = self._models.taken()
        if (asked := np.flatnonzero(models >= 0)).size:
            told = models[asked]
            by_model = _shared_out(told, told, word[asked], kind[asked])
            self.scores[asked] = np.maximum(self.scores[asked], by_model)

    def told(self, threshold: float) -> Told:
        """After `settle`."""
        return Told(len(self), int(self._hits.sum()), int((self.scores >= threshold).sum()), threshold)


def _numbered(hashes: Ints) -> Numbers:
    """Each hash as a number 0, 1, ... of its own."""
    order = np.argsort(hashes)
    ordered = hashes[order]
    numbers = np.empty(len(hashes), np.int32)
    numbers[order] = np.cumsum(np.concatenate([[False], ordered[1:] != ordered[:-1]]), dtype=np.int32)
    return numbers


def _groups(key: Numbers) -> Iterator[Ints]:
    """Places of each value of `key` (0, 1, ...) that is there more than once."""
    order = np.argsort(key, kind="stable")
    ends = np.cumsum(np.bincount(key))
    for start, end in itertools.pairwise((0, *ends.tolist())):
        if end - start > 1:
            yield order[start:end]


def _hits(key: Numbers, answers: Ints, folds: NDArray[np.int8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(guessed right, somebody else was asked) for each question, with the votes of the same `key`."""
    hits, voted = np.zeros(len(key), bool), np.zeros(len(key), bool)
    for places in _groups(key):
        own = folds[places]
        if (own == own[0]).all():
            continue
        _, answer = np.unique(answers[places], return_inverse=True)
        votes = np.zeros((answer.max() + 1, FOLDS), np.int64)
        np.add.at(votes, (answer, own), 1)
        others = votes.sum(axis=1, keepdims=True) - votes  # (answers, folds): votes of all other folds
        hits[places] = others.argmax(axis=0)[own] == answer
        voted[places] = True
    return hits, voted


def _choice_hits(
    kind: Numbers, answers: Ints, folds: NDArray[np.int8], choices: Ints, ends: Ints
) -> Iterator[tuple[int, bool]]:
    """(number, guessed right) of each choice question by its kind: the choice that is right most often when offered."""
    asked = np.flatnonzero(np.diff(ends, prepend=0))

    def of(number: int) -> tuple[int, list[int]]:
        return int(kind[number]), choices[ends[number - 1] if number else 0 : ends[number]].tolist()

    offered: dict[tuple[int, int], Ints] = {}
    right: dict[tuple[int, int], Ints] = {}
    for number in map(int, asked):
        own, offers = of(number)
        for choice in offers:
            offered.setdefault((own, choice), np.zeros(FOLDS, np.int64))[folds[number]] += 1
        key = (own, int(answers[number]))
        right.setdefault(key, np.zeros(FOLDS, np.int64))[folds[number]] += 1
    rates: dict[tuple[int, int], NDArray[np.float64]] = {}
    for key, n in offered.items():
        hit = right.get(key, np.zeros(FOLDS, np.int64))
        rates[key] = (hit.sum() - hit + 0.5) / (n.sum() - n + 1)  # (folds,): of all other folds, drawn toward a half
    for number in map(int, asked):
        own, offers = of(number)
        best = max((float(rates[own, choice][folds[number]]), -n, choice) for n, choice in enumerate(sorted(offers)))
        yield number, best[2] == answers[number]


def _shared_out(
    hits: NDArray[np.generic], by_kind: NDArray[np.generic], word: Numbers, kind: Numbers
) -> NDArray[np.float32]:
    """The share of hits of a question's words, drawn toward that of its kind."""
    n_word, of_words = np.bincount(word), np.bincount(word, weights=hits)
    share = np.bincount(kind, weights=by_kind) / np.maximum(np.bincount(kind), 1)
    scores = np.empty(len(word), np.float32)
    for start in range(0, len(word), ROWS):
        at = slice(start, start + ROWS)
        scores[at] = (of_words[word[at]] + PRIOR * share[kind[at]]) / (n_word[word[at]] + PRIOR)
    return scores
