"""What two splits share though they should not: images, and sentences of reports. Some bytes for each, no text kept."""

import hashlib
import itertools
import re
from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.pack_split import SPLITS, Split

Ints = NDArray[np.uint64]
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_SPACE = re.compile(r"[\W_]+")


def number_of(content: bytes) -> int:
    """A 64-bit hash."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def bare(text: str) -> str:
    """A text without what differs between near-copies: case, punctuation, the values of numbers."""
    return _SPACE.sub(" ", _NUMBER.sub("0", text)).strip().casefold()


class Shared(NamedTuple):
    """Two splits beside each other."""

    a: Split
    b: Split
    both: int
    """Different things that occur in both."""
    part: int
    """Occurrences in `b` of what occurs in `a`, too."""
    of: int
    """All occurrences in `b`."""


class Things:
    """Things (hashes) that occur in studies; 12 bytes an occurrence."""

    def __init__(self) -> None:
        self._things, self._studies = array("Q"), array("I")

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

    def different(self, splits: Sequence[Split]) -> dict[Split, int]:
        """How many different things there are in each split."""
        return {split: len(np.unique(things)) for split, things in self._by_split(splits).items()}

    def repeated(self) -> frozenset[int]:
        """Things that occur more than once."""
        values, counts = np.unique(np.asarray(self._things, np.uint64), return_counts=True)
        return frozenset(int(value) for value in values[counts > 1])

    def _by_split(self, splits: Sequence[Split]) -> Mapping[Split, Ints]:
        things, studies = np.asarray(self._things, np.uint64), np.asarray(self._studies, np.intp)
        of = np.asarray([SPLITS.index(split) for split in splits], np.uint8)[studies]
        return {split: things[of == place] for place, split in enumerate(SPLITS)}
