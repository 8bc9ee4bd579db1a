"""Which questions to leave out so that an answer can not be guessed from how often it is right."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

TOLERANCE = 0.02
"""How far above even the share of an answer may be."""
MIN_CHOICES = 200
"""Choice questions are balanced by the place of the right choice from this number on; below, chance alone is wider."""
YES_NO = "yes/no"


class Stratum(NamedTuple):
    """Questions that are balanced among themselves."""

    split: str
    lang: str
    question: str
    """``yes/no``, or ``N choices``."""
    label: str
    """The kind of question and what it asks about, ``presence: liver``; empty for choices."""


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
    """Answers seen so far, 8 bytes each, and which of them stay.

    Questions are known by `order`, a 64-bit hash: of an answer given too often those of the highest order go, so the
    choice does not depend on the order of the stream, and more data change few old choices.
    """

    def __init__(self, tolerance: float = TOLERANCE) -> None:
        self._tolerance = tolerance
        self._orders: dict[Stratum, tuple[array[int], ...]] = {}
        self._last: dict[tuple[Stratum, int], int] = {}
        self.rows: tuple[Row, ...] = ()

    def add(self, stratum: Stratum, answer: int, answers: int, order: int) -> None:
        """Count a question: its answer is number `answer` of `answers`."""
        if stratum not in self._orders:
            self._orders[stratum] = tuple(array("Q") for _ in range(answers))
        self._orders[stratum][answer].append(order)

    def settle(self) -> None:
        """Decide. Yes/no questions of a stratum with one answer only all go; small strata of choices stay."""
        rows: list[Row] = []
        for stratum, answers in sorted(self._orders.items()):
            before = tuple(len(found) for found in answers)
            free = stratum.question != YES_NO and sum(before) < MIN_CHOICES
            limit = max(before) if free else cap(before, self._tolerance)
            for number, found in enumerate(answers):
                kept = sorted(found)[:limit]
                self._last[stratum, number] = kept[-1] if kept else -1
            rows.append(Row(stratum, before, tuple(min(n, limit) for n in before)))
        self.rows = tuple(rows)
        self._orders.clear()

    def keeps(self, stratum: Stratum, answer: int, order: int) -> bool:
        """After `settle`: does this question stay?"""
        return order <= self._last[stratum, answer]
