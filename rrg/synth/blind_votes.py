"""Answers as a table: how often each was right for the same words, by the patient's fold; what others' votes guess."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDS = 10
Ints = NDArray[np.int64]
Numbers = NDArray[np.intp]
Flags = NDArray[np.bool_]
Key = tuple[NDArray[Any], ...]
"""Columns that tell rows apart; the first counts most in the order."""


class Asked(NamedTuple):
    """Questions, in columns. Words, kinds, choices and answers are numbers that stand for them."""

    words: Ints
    kinds: NDArray[np.int32]
    sets: Ints
    """Of all choices together; 0 where there are none."""
    answers: Ints
    folds: NDArray[np.int8]
    models: NDArray[np.float32]
    """Whether a model without the image was right: 0 or 1; negative where none was asked."""

    def some(self, rows: NDArray[Any]) -> "Asked":
        """The questions of these rows."""
        return Asked(*(column[rows] for column in self))


class Offered(NamedTuple):
    """What is offered in questions of a kind: a row for each choice of a set, in the order of set, kind and choice."""

    sets: Ints
    kinds: NDArray[np.int32]
    choices: Ints


class Votes(NamedTuple):
    """Questions of the same words, kind, choices and right answer together; in the order of these."""

    words: Ints
    kinds: NDArray[np.int32]
    sets: Ints
    answers: Ints
    folds: NDArray[np.int32]
    """(rows, `FOLDS`): how many there are."""
    models: NDArray[np.int32]
    """(rows, 2): how many a model was asked, and was right in."""

    @property
    def key(self) -> Key:
        """What rows are told apart by."""
        return self.words, self.kinds, self.sets, self.answers


class Rates(NamedTuple):
    """How often a choice is right of the times that it is offered; in the order of kind and choice."""

    kinds: NDArray[np.int32]
    choices: Ints
    folds: NDArray[np.float64]
    """(rows, `FOLDS`): in questions of the other folds, drawn toward a half."""


_NONE: NDArray[Any] = np.zeros(0, np.int64)
NO_VOTES = Votes(_NONE, _NONE, _NONE, _NONE, np.zeros((0, FOLDS), np.int32), np.zeros((0, 2), np.int32))
NO_OFFERS = Offered(_NONE, _NONE, _NONE)


def numbered(key: Key) -> tuple[Numbers, Numbers]:
    """(the number of each row, a row of each number): equal rows have one number, numbers are in the order of rows."""
    order = np.lexsort(key[::-1])
    new = np.zeros(len(order), bool)
    new[:1] = True
    for column in key:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    numbers = np.empty(len(order), np.intp)
    numbers[order] = np.cumsum(new) - 1
    return numbers, order[new]


def joined(a: Key, b: Key) -> Key:
    """The rows of both."""
    return tuple(np.concatenate(columns) for columns in zip(a, b, strict=True))


def found(known: Key, rows: Key) -> Numbers:
    """Which of the rows `known`, each there once and in order, each of `rows` is; all are among them."""
    return numbered(joined(known, rows))[0][len(known[0]) :]


def voted(votes: Votes, asked: Asked) -> Votes:
    """The votes and those of more questions."""
    key = joined(votes.key, asked[:4])
    numbers, rows = numbered(key)
    known, new = numbers[: len(votes.words)], numbers[len(votes.words) :]
    folds = np.zeros((len(rows), FOLDS), np.int32)
    folds[known] = votes.folds
    np.add.at(folds, (new, asked.folds), 1)
    models = np.zeros((len(rows), 2), np.int32)
    models[known] = votes.models
    told = asked.models >= 0
    models[:, 0] += np.bincount(new[told], minlength=len(rows)).astype(np.int32)
    models[:, 1] += np.bincount(new[told], weights=asked.models[told], minlength=len(rows)).astype(np.int32)
    words, kinds, sets, answers = (column[rows] for column in key)
    return Votes(words, kinds, sets, answers, folds, models)


def offered(known: Offered, more: Offered) -> Offered:
    """Both together, each once, in order."""
    key = joined(known, more)
    rows = numbered(key)[1]
    return Offered(*(column[rows] for column in key))


def most_voted(group: NDArray[Any], answers: Ints, folds: NDArray[np.int32]) -> tuple[Flags, Flags]:
    """Two (rows, `FOLDS`): the row's answer is the one that is most often right in the other folds, of all answers of
    its group (0, 1, ...); and the other folds have any. Of answers alike often right the lowest number is it."""
    pair, rows = numbered((group, answers))
    of = group[rows]
    starts = np.flatnonzero(np.diff(of, prepend=-1))
    everywhere = np.bincount(pair, weights=folds.sum(axis=1))
    hits, any_vote = np.zeros(folds.shape, bool), np.zeros(folds.shape, bool)
    for fold in range(FOLDS):
        others = everywhere - np.bincount(pair, weights=folds[:, fold])
        most = np.maximum.reduceat(others, starts)
        right = np.zeros(len(rows), bool)
        right[_firsts(others == most[of], of)] = True
        told = (most > 0)[of]
        hits[:, fold], any_vote[:, fold] = (right & told)[pair], told[pair]
    return hits, any_vote


def rates(offers: Votes, right: Votes) -> Rates:
    """`offers`: the choices of questions, as if each were an answer; `right`: the answers of these questions."""
    key = joined((offers.kinds, offers.answers), (right.kinds, right.answers))
    numbers, rows = numbered(key)
    n_offered, n_right = np.zeros((len(rows), FOLDS)), np.zeros((len(rows), FOLDS))
    n_offered[numbers[: len(offers.words)]] = offers.folds
    n_right[numbers[len(offers.words) :]] = right.folds
    for counts in (n_offered, n_right):
        np.subtract(counts.sum(axis=1, keepdims=True), counts, out=counts)
    return Rates(key[0][rows], key[1][rows], (n_right + 0.5) / (n_offered + 1))


def best_offered(votes: Votes, offers: Offered, known: Rates) -> tuple[Numbers, Flags]:
    """(rows of choice questions, (those rows, `FOLDS`)): the answer is the best of the choices. Of choices alike good
    the lowest number is it."""
    rows = np.flatnonzero(votes.sets)
    hits = np.zeros((len(rows), FOLDS), bool)
    if not len(rows):
        return rows, hits
    own, _ = numbered(offers[:2])
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    place = found((offers.sets[starts], offers.kinds[starts]), (votes.sets[rows], votes.kinds[rows]))
    choice = found((known.kinds, known.choices), offers[1:])
    for fold in range(FOLDS):
        of_choices = known.folds[choice, fold]
        best = np.maximum.reduceat(of_choices, starts)
        first = _firsts(of_choices == best[own], own)
        hits[:, fold] = offers.choices[first][place] == votes.answers[rows]
    return rows, hits


def _firsts(chosen: Flags, group: NDArray[Any]) -> Numbers:
    """The first chosen place of each group; groups are in order, each has one."""
    places = np.flatnonzero(chosen)
    return places[np.diff(group[places], prepend=-1) > 0]
