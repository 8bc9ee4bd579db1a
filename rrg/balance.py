"""Which questions to leave out so that an answer can not be guessed from how often it is right."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.columns import Columns
from rrg.pack_split import SPLITS, Split

TOLERANCE = 0.02
"""How far above even the share of an answer may be."""
MIN_CHOICES = 200
"""Choice questions are balanced by the place of the right choice from this number on; below, chance alone is wider."""
YES_NO = "yes/no"


class Asked(NamedTuple):
    """What is asked. Questions of a split that ask the same are balanced among themselves."""

    lang: str
    question: str
    """``yes/no``, or ``N choices``."""
    label: str
    """The kind of question and what it asks about, ``presence: liver``; empty for choices."""


class Stratum(NamedTuple):
    """Questions that are balanced among themselves."""

    split: Split
    lang: str
    question: str
    label: str


class Row(NamedTuple):
    """How often each answer (yes, no; or each place of the right choice) was there, and how often it stays."""

    stratum: Stratum
    before: tuple[int, ...]
    after: tuple[int, ...]


def cap(counts: Sequence[int], tolerance: float = TOLERANCE) -> int:
    """Largest number to keep of each answer such that no answer's share exceeds 1 / answers + tolerance."""
    most = 1 / len(counts) + tolerance
    low, high = 0, max(counts, default=0)
    while low < high:  # the largest share grows with the limit
        limit = (low + high + 1) // 2
        if limit <= most * sum(min(n, limit) for n in counts):
            low = limit
        else:
            high = limit - 1
    return low


class Balance:
    """Answers seen so far, in columns on the disk, and which of them stay.

    Answers are known by their number among all answers to all that is asked. Questions are known by `order`, a 64-bit
    hash: of an answer given too often those of the highest order go, so the choice does not depend on the order of the
    stream, and more data change few old choices.
    """

    def __init__(self, columns: Columns | None = None, tolerance: float = TOLERANCE) -> None:
        """`columns`: those that its own are spilled and closed with. `tolerance`: how far above even the share of an
        answer may be."""
        self._tolerance = tolerance
        new = (columns or Columns()).new
        self._answers = {split: new("i") for split in SPLITS}
        self._orders = {split: new("Q") for split in SPLITS}
        self._last: dict[Split, NDArray[np.uint64]] = {}
        self._some: dict[Split, NDArray[np.bool_]] = {}
        self.rows: tuple[Row, ...] = ()

    def add(self, split: Split, answers: NDArray[np.int32], orders: NDArray[np.uint64]) -> None:
        """Count questions of a split: the numbers of their answers, and their orders."""
        self._answers[split].extend(answers)
        self._orders[split].extend(orders)

    def settle(self, asked: Mapping[Asked, tuple[int, int]]) -> None:
        """Decide. Yes/no questions of a stratum with one answer only all go; small strata of choices stay.

        `asked`: what is asked -> the number of its first answer, and how many answers there are.
        """
        rows: list[Row] = []
        for split in SPLITS:
            answers, orders = self._answers[split].taken(), self._orders[split].taken()
            counts = np.bincount(answers, minlength=sum(n for _, n in asked.values()))
            place = np.argsort(answers, kind="stable")
            ends = np.cumsum(counts)
            self._last[split], self._some[split] = np.zeros(len(counts), np.uint64), np.zeros(len(counts), bool)
            for each, (first, n) in asked.items():
                before = tuple(counts[first : first + n].tolist())
                if not any(before):
                    continue
                free = each.question != YES_NO and sum(before) < MIN_CHOICES
                limit = max(before) if free else cap(before, self._tolerance)
                for number, found in enumerate(before, first):
                    if kept := min(limit, found):
                        own = orders[place[ends[number] - found : ends[number]]]
                        self._last[split][number] = np.partition(own, kept - 1)[kept - 1]
                        self._some[split][number] = True
                rows.append(Row(Stratum(split, *each), before, tuple(min(n, limit) for n in before)))
        self.rows = tuple(sorted(rows))

    def keeps(self, split: Split, answers: NDArray[np.int32], orders: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """After `settle`: which of these questions stay?"""
        return self._some[split][answers] & (orders <= self._last[split][answers])
