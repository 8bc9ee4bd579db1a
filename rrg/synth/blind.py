"""How well questions are answered without the image: by the answer that other patients' same questions most often have.

The guesser sees the words only. It knows how often each answer was right for other patients, first for the same words
and choices, and where no other patient was asked them, for the same kind of question. Patients are dealt into folds by
a hash; the answers of a fold do not vote for its own questions, so nobody's answers help to guess themselves.

A score belongs to the question, not to the answer: it is the guesser's share of hits on all questions of the same
words, drawn toward its share on the kind by `PRIOR` questions. Else those with the common answer would all go, and the
rare answer would be left as the one to guess. A text-only model's answers (`Sample.blind` of the stream, 0 or 1) are
shared out in the same way, and the better of the two guessers counts.
"""

import hashlib
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.records import Sample

SOLVABLE = 0.8
"""From this score on a question counts as solvable without the image."""
FOLDS = 10
PRIOR = 5.0
"""Questions of the kind that count beside those of the same words."""
UNKNOWN = -1
Ints = NDArray[np.int64]


class Told(NamedTuple):
    """What is said of all questions together."""

    questions: int
    solved: int
    """That the guesser answers right."""
    solvable: int
    """Of a score of at least `threshold`."""
    threshold: float


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
    """Questions as they come, some bytes each; `settle` scores them all."""

    def __init__(self) -> None:
        self._words, self._kinds, self._answers = array("q"), array("q"), array("q")
        self._folds, self._models = array("b"), array("f")
        self._choices, self._ends = array("q"), array("q")
        self.scores: NDArray[np.float32] = np.zeros(0, np.float32)
        """After `settle`: by the number of the question, in the order of `add`."""
        self._hits = np.zeros(0, bool)

    def __len__(self) -> int:
        return len(self._words)

    def add(self, sample: Sample) -> None:
        """Take a question (`is_question`)."""
        assert sample.answer is not None
        kind = sample.facets.get("question") or sample.provenance.get("template", "").partition("/")[0]
        self._words.append(_number(sample.lang, question_text(sample)))
        self._kinds.append(_number(sample.lang, sample.task, kind, str(sample.question_type)))
        self._answers.append(_number(sample.answer))
        self._folds.append(_number("fold", sample.patient) % FOLDS)
        self._models.append(UNKNOWN if sample.blind is None else sample.blind)
        self._choices.extend(_number(choice) for choice in sample.choices)
        self._ends.append(len(self._choices))

    def settle(self) -> None:
        """Score all questions."""
        words, kinds, answers = (np.array(each, np.int64) for each in (self._words, self._kinds, self._answers))
        folds, models = np.array(self._folds, np.int64), np.array(self._models, np.float32)
        if not len(words):
            return
        word, kind = (np.unique(each, return_inverse=True)[1] for each in (words, kinds))
        by_words, voted = _hits(word, answers, folds)
        by_kind, _ = _hits(kind, answers, folds)
        for number, hit in _choice_hits(kind, answers, folds, np.array(self._choices, np.int64), self._ends):
            by_kind[number] = hit
        hits = np.where(voted, by_words, by_kind)
        self._hits = hits
        scores = _shared_out(hits, by_kind, word, kind, np.ones(len(hits), bool))
        asked = models >= 0
        by_model = _shared_out(models, models, word, kind, asked)
        self.scores = np.where(asked, np.maximum(scores, by_model), scores).astype(np.float32)

    def told(self, threshold: float) -> Told:
        """After `settle`."""
        return Told(len(self), int(self._hits.sum()), int((self.scores >= threshold).sum()), threshold)


def _groups(key: Ints) -> Sequence[Ints]:
    """Places of each value of `key` (0, 1, ...) that is there more than once."""
    order = np.argsort(key, kind="stable")
    order = order[np.bincount(key)[key[order]] > 1]
    return np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if len(order) else ()


def _hits(key: Ints, answers: Ints, folds: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
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
    kind: Ints, answers: Ints, folds: Ints, choices: Ints, ends: Sequence[int]
) -> Sequence[tuple[int, bool]]:
    """(number, guessed right) of each choice question by its kind: the choice that is right most often when offered."""
    starts = [0, *ends[:-1]]
    asked = [number for number in range(len(ends)) if ends[number] > starts[number]]
    offered: dict[tuple[int, int], Ints] = {}
    right: dict[tuple[int, int], Ints] = {}
    for number in asked:
        for choice in choices[starts[number] : ends[number]].tolist():
            offered.setdefault((int(kind[number]), choice), np.zeros(FOLDS, np.int64))[folds[number]] += 1
        key = (int(kind[number]), int(answers[number]))
        right.setdefault(key, np.zeros(FOLDS, np.int64))[folds[number]] += 1
    rates: dict[tuple[int, int], NDArray[np.float64]] = {}
    for key, n in offered.items():
        hit = right.get(key, np.zeros(FOLDS, np.int64))
        rates[key] = (hit.sum() - hit + 0.5) / (n.sum() - n + 1)  # (folds,): of all other folds, drawn toward a half
    found = []
    for number in asked:
        own = sorted(choices[starts[number] : ends[number]].tolist())
        best = max(own, key=lambda choice: float(rates[int(kind[number]), choice][folds[number]]))
        found.append((number, best == answers[number]))
    return found


def _shared_out(
    hits: NDArray[np.generic], by_kind: NDArray[np.generic], word: Ints, kind: Ints, known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The share of hits of a question's words, drawn toward that of its kind; of the `known` questions."""
    n_word, n_kind = (np.bincount(each, weights=known) for each in (word, kind))
    of_words = np.bincount(word, weights=np.where(known, hits, 0).astype(float))
    of_kind = np.bincount(kind, weights=np.where(known, by_kind, 0).astype(float))
    share = of_kind[kind] / np.maximum(n_kind[kind], 1)
    return np.asarray((of_words[word] + PRIOR * share) / (n_word[word] + PRIOR))
