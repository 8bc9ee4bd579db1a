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
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.columns import Columns
from rrg.records import Sample
from rrg.synth.blind_votes import (
    FOLDS,
    NO_OFFERS,
    NO_VOTES,
    Asked,
    Flags,
    Offered,
    Rates,
    Votes,
    best_offered,
    found,
    most_voted,
    numbered,
    offered,
    rates,
    voted,
)

SOLVABLE = 0.8
"""From this score on a question counts as solvable without the image."""
PRIOR = 5.0
"""Questions of the kind that count beside those of the same words."""
UNKNOWN = -1
KEPT = 1 << 12
"""Hashes that are kept to be used again: answers, choices and most questions come back."""
ROWS = 1 << 14
"""Questions that are read at a time."""
PARTS = 8
"""Words are scored in so many parts: only one part of their answers is in memory."""


class Told(NamedTuple):
    """What is said of all questions together."""

    questions: int
    solved: int
    """That the guesser answers right."""
    solvable: int
    """Of a score of at least `threshold`."""
    threshold: float


class Question(NamedTuple):
    """What questions of one score have in common, in numbers."""

    words: int
    kind: int


class _Counted(NamedTuple):
    """Questions of the same words and kind, in the order of these; columns."""

    words: NDArray[Any]
    kinds: NDArray[Any]
    questions: NDArray[Any]
    told: NDArray[Any]
    """How many a model was asked."""
    guessed: NDArray[Any]
    """How many the guesser answers right, and how many he would by their kind alone."""
    by_kind: NDArray[Any]
    modelled: NDArray[Any]
    """How many the model answers right."""


class _Scores(NamedTuple):
    """Scores of `_Counted`."""

    guessed: NDArray[np.float32]
    modelled: NDArray[np.float32]


_ZERO: NDArray[Any] = np.zeros(0, np.int64)


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
    """Questions as they come, in columns on the disk; `settle` scores them. Memory: some 100 bytes for each different
    answer to the same words, whoever was asked."""

    def __init__(self, columns: Columns | None = None) -> None:
        """`columns`: those that its own are spilled and closed with."""
        new = (columns or Columns()).new
        self._words, self._answers = new("q"), new("q")
        self._kinds, self._kind_of = new("i"), dict[int, int]()
        self._sets, self._folds, self._models = new("q"), new("b"), new("f")
        self._columns = self._words, self._kinds, self._sets, self._answers, self._folds, self._models
        self._choices, self._ends = new("q"), new("q")
        self._counted = _Counted(*(_ZERO,) * 7)
        self._scores = _Scores(_ZERO, _ZERO)
        self._different = self._keys = _ZERO
        """All words, each once; and of each of `_counted` the place of its words there and its kind, as one number."""

    def add(self, sample: Sample) -> Question:
        """Take a question (`is_question`). A model says 0 or 1; what lies between is a score of an earlier packing."""
        assert sample.answer is not None
        kind = sample.facets.get("question") or sample.provenance.get("template", "").partition("/")[0]
        words = _number(sample.lang, question_text(sample))
        self._words.append(words)
        of = _number(sample.lang, sample.task, kind, str(sample.question_type))
        number = self._kind_of.setdefault(of, len(self._kind_of))
        self._kinds.append(number)
        self._sets.append(_number("choices", *sorted(sample.choices)) if sample.choices else 0)
        self._answers.append(_number(sample.answer))
        self._folds.append(_number("fold", sample.patient) % FOLDS)
        self._models.append(sample.blind if sample.blind in (0, 1) else UNKNOWN)
        for choice in sample.choices:
            self._choices.append(_number(choice))
        self._ends.append(len(self._choices))
        return Question(words, number)

    def settle(self) -> None:
        """Score all questions; no more can come."""
        parts: list[_Counted] = []
        if len(self._words):
            kinds, known = self._of_kinds()
            favourites, _ = most_voted(kinds.kinds, kinds.answers, kinds.folds)
            parts = [_counted(*self._of_words(part), kinds, favourites, known) for part in range(PARTS)]
        for column in (*self._columns, self._choices, self._ends):
            column.close()
        if parts:
            every = _Counted(*map(np.concatenate, zip(*parts, strict=True)))
            order = np.lexsort((every.kinds, every.words))
            self._counted = counted = _Counted(*(column[order] for column in every))
            self._different = np.unique(counted.words)
            self._keys = self._keys_of(counted.words, counted.kinds)
            self._scores = _Scores(
                _shared_out(counted, counted.questions, counted.guessed, counted.by_kind),
                _shared_out(counted, counted.told, counted.modelled, counted.modelled),
            )

    def scores(
        self, words: NDArray[np.int64], kinds: NDArray[np.int32], given: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """After `settle`: of questions that were added. `given`: their `Sample.blind`, NaN for none."""
        place = np.searchsorted(self._keys, self._keys_of(words, kinds))
        guessed, modelled = self._scores.guessed[place], self._scores.modelled[place]
        return np.where((given == 0) | (given == 1), np.maximum(guessed, modelled), guessed)

    def _keys_of(self, words: NDArray[np.int64], kinds: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.searchsorted(self._different, words) * len(self._kind_of) + kinds

    def told(self, threshold: float) -> Told:
        """After `settle`."""
        counted, scores = self._counted, self._scores
        by_model = np.where(scores.modelled >= threshold, counted.told, 0)
        solvable = np.where(scores.guessed >= threshold, counted.questions, by_model)
        return Told(int(counted.questions.sum()), int(counted.guessed.sum()), int(solvable.sum()), threshold)

    def _chunks(self) -> Iterator[tuple[Asked, NDArray[np.int64], NDArray[np.int64]]]:
        """(questions, how many choices each has, the choices)."""
        end = 0
        for start in range(0, len(self._words), ROWS):
            asked = Asked(*(column.part(start, start + ROWS) for column in self._columns))
            ends = self._ends.part(start, start + ROWS)
            yield asked, np.diff(ends, prepend=end), self._choices.part(end, int(ends[-1]))
            end = int(ends[-1])

    def _of_kinds(self) -> tuple[Votes, Rates]:
        """The answers to each kind of question; how often choices are right."""
        kinds = right = offers = NO_VOTES
        for asked, times, choices in self._chunks():
            nothing = np.zeros_like(asked.words)
            of = asked._replace(words=nothing, sets=nothing)
            kinds = voted(kinds, of)
            right = voted(right, of.some(times > 0))
            offers = voted(offers, of.some(np.repeat(np.arange(len(times)), times))._replace(answers=choices))
        return kinds, rates(offers, right)

    def _of_words(self, part: int) -> tuple[Votes, Offered]:
        """The answers to a part of the words, and what is offered there."""
        votes, offers = NO_VOTES, NO_OFFERS
        for asked, times, choices in self._chunks():
            own = asked.words % PARTS == part
            votes = voted(votes, asked.some(own))
            of = asked.some(np.repeat(np.arange(len(times)), np.where(own, times, 0)))
            offers = offered(offers, Offered(of.sets, of.kinds, choices[np.repeat(own, times)]))
        return votes, offers


def _counted(votes: Votes, offers: Offered, kinds: Votes, favourites: Flags, known: Rates) -> _Counted:
    """What others' votes guess of a part of the words. `favourites`: `most_voted` of `kinds`."""
    unit, firsts = numbered((votes.words, votes.kinds))
    by_words, any_vote = most_voted(numbered((votes.words,))[0], votes.answers, votes.folds)
    by_kind = favourites[found((kinds.kinds, kinds.answers), (votes.kinds, votes.answers))]
    rows, hits = best_offered(votes, offers, known)
    by_kind[rows] = hits
    told, right = votes.models.T

    def of_units(rows: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(unit, weights=rows)

    return _Counted(
        votes.words[firsts],
        votes.kinds[firsts],
        of_units(votes.folds.sum(axis=1)),
        of_units(told),
        of_units((np.where(any_vote, by_words, by_kind) * votes.folds).sum(axis=1)),
        of_units((by_kind * votes.folds).sum(axis=1)),
        of_units(right),
    )


def _shared_out(
    counted: _Counted, asked: NDArray[Any], right: NDArray[Any], by_kind: NDArray[Any]
) -> NDArray[np.float32]:
    """The share of right answers of the words, drawn toward that of the kind."""
    word, _ = numbered((counted.words,))
    n_words, of_words = np.bincount(word, weights=asked), np.bincount(word, weights=right)
    n_kinds = np.bincount(counted.kinds, weights=asked)
    share = np.bincount(counted.kinds, weights=by_kind) / np.maximum(n_kinds, 1)
    scores = (of_words[word] + PRIOR * share[counted.kinds]) / (n_words[word] + PRIOR)
    return np.asarray(scores, np.float32)
