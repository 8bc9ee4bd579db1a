"""What two splits share though they should not: images, and sentences of reports. Some bytes for each, no text kept."""

import functools
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.columns import Columns
from rrg.pack_near import HASHES, near, signature
from rrg.pack_split import SPLITS, Split
from rrg.records import Sample

TEXT_TASKS = ("report", "grounded-report", "impression")
"""Tasks whose answers are sentences of reports: the same sentence in two splits is a leak of text."""
KEPT, SHORT = 1 << 12, 1 << 10
"""Texts in plain words that are held to be used again, and their most characters: lines of questions come back."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_SPACE = re.compile(r"[\W_]+")
_MARK = re.compile(r"(?![-\u2212<>]\d)(?:(?<!\d)[^\w\s]|[^\w\s](?!\d))|_")
"""Marks but those between digits, and signs before them."""

Hashes = NDArray[np.uint64]
"""Hashes in order, each once."""
NONE: Hashes = np.zeros(0, np.uint64)


def place_in(known: Hashes, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """For each of `hashes` its place in `known`, and whether it is there."""
    if not len(known):
        return np.zeros(len(hashes), np.intp), np.zeros(len(hashes), bool)
    place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return place, known[place] == hashes


def number_of(content: bytes) -> int:
    """A 64-bit hash."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def plain(text: str) -> str:
    """A text without what says nothing: case, spaces, and marks that are no part of a number."""
    return _plain(text) if len(text) <= SHORT else _plain.__wrapped__(text)


@functools.lru_cache(KEPT)
def _plain(text: str) -> str:
    return " ".join(_MARK.sub(" ", text).casefold().split())


def bare(text: str) -> str:
    """A text without what differs between near-copies: case, punctuation, the values of numbers."""
    return _SPACE.sub(" ", _NUMBER.sub("0", text)).strip().casefold()


def text_of(sample: Sample) -> str | None:
    """The sentences of a report that a sample teaches."""
    return sample.answer if sample.task in TEXT_TASKS and sample.answer else None


class Shared(NamedTuple):
    """Two splits beside each other."""

    a: Split
    b: Split
    both: int
    """Different things of `b` that occur in `a`, too."""
    part: int
    """Their occurrences in `b`."""
    of: int
    """All occurrences in `b`."""


class Things:
    """Things (hashes) that occur in studies, in columns on the disk."""

    def __init__(self, columns: Columns | None = None) -> None:
        """`columns`: those that its own are spilled and closed with."""
        new = (columns or Columns()).new
        self._things, self._studies = new("Q"), new("I")

    def add(self, thing: int, study: int) -> None:
        """It occurs in the study of this number."""
        self._things.append(thing)
        self._studies.append(study)

    def shared(self, splits: Sequence[Split]) -> list[Shared]:
        """For each two splits what they share; `splits` by the number of the study."""
        by_split = self._by_split(splits)
        found: list[Shared] = []
        for a, b in itertools.combinations(SPLITS, 2):
            both = np.intersect1d(by_split[a], by_split[b])
            found.append(Shared(a, b, len(both), int(np.isin(by_split[b], both).sum()), len(by_split[b])))
        return found

    def known_before(self, splits: Sequence[Split]) -> dict[Split, Hashes]:
        """Things of each split that occur in a split before it, too: of val in train, of test in train or val."""
        by_split = self._by_split(splits)
        return {
            split: np.intersect1d(by_split[split], np.concatenate([NONE, *(by_split[each] for each in SPLITS[:place])]))
            for place, split in enumerate(SPLITS)
        }

    def _by_split(self, splits: Sequence[Split]) -> Mapping[Split, Hashes]:
        things, studies = self._things.read(), self._studies.read()
        of = np.asarray([SPLITS.index(split) for split in splits], np.uint8)[studies]
        return {split: things[of == place] for place, split in enumerate(SPLITS)}


class Repeats:
    """Which things (hashes) come more than once; they wait in a column on the disk."""

    def __init__(self, columns: Columns | None = None) -> None:
        """`columns`: those that its own are spilled and closed with."""
        new = (columns or Columns()).new
        self._things = new("Q")

    def add(self, thing: int) -> None:
        """It occurs."""
        self._things.append(thing)

    def repeated(self) -> Hashes:
        """Things that occur more than once."""
        ordered = self._things.taken()
        ordered.sort()
        return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


class Texts:
    """Texts that occur in studies, in columns on the disk; about 200 bytes for each different text (`plain`)."""

    def __init__(self, columns: Columns | None = None) -> None:
        """`columns`: those that its own are spilled and closed with."""
        new = (columns or Columns()).new
        self._rows: dict[int, int] = {}
        self._signatures = bytearray()
        self._occurrences, self._studies = new("I"), new("I")

    def add(self, text: str, study: int) -> None:
        """It occurs in the study of this number."""
        key = number_of(plain(text).encode())
        row = self._rows.setdefault(key, len(self._rows))
        if row * HASHES == len(self._signatures):
            self._signatures += signature(bare(text)).tobytes()
        self._occurrences.append(row)
        self._studies.append(study)

    def compared(self, splits: Sequence[Split]) -> "ComparedTexts":
        """For each two splits what they share; `splits` by the number of the study."""
        signatures = np.frombuffer(self._signatures, np.uint8).reshape(-1, HASHES)
        rows, studies = self._occurrences.taken(), self._studies.taken()
        of = np.asarray([SPLITS.index(split) for split in splits], np.uint8)[studies]
        counts = {
            split: np.bincount(rows[of == place], minlength=len(signatures)) for place, split in enumerate(SPLITS)
        }
        same: list[Shared] = []
        alike: list[Shared] = []
        leaked = {split: np.zeros(len(signatures), bool) for split in SPLITS}
        for a, b in itertools.combinations(SPLITS, 2):
            both = (counts[a] > 0) & (counts[b] > 0)
            same.append(_shared(a, b, both, counts[b]))
            others = np.flatnonzero((counts[b] > 0) & ~both)
            both[others] = near(signatures[others], signatures[counts[a] > 0])
            alike.append(_shared(a, b, both, counts[b]))
            leaked[b] |= both
        keys = np.fromiter(self._rows, np.uint64, len(self._rows))
        return ComparedTexts(same, alike, {split: np.sort(keys[leaked[split]]) for split in SPLITS})


class ComparedTexts(NamedTuple):
    """Texts that splits share."""

    same: list[Shared]
    """Word for word, but for case and punctuation."""
    alike: list[Shared]
    """Those, and near-duplicates (`rrg.pack_near`), numbers aside."""
    known_before: Mapping[Split, Hashes]
    """Hashes of texts of each split that are alike to one of a split before it."""


def _shared(a: Split, b: Split, both: NDArray[np.bool_], counts: NDArray[np.intp]) -> Shared:
    return Shared(a, b, int(both.sum()), int(counts[both].sum()), int(counts.sum()))
