"""n-grams that two texts share: of one pair of word lists, and of many pairs at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ORDERS = 4


def shared(said: Sequence[Any], wanted: Sequence[Any]) -> int:
    """Size of the multiset intersection of two lists."""
    left: dict[Any, int] = {}
    for each in wanted:
        left[each] = left.get(each, 0) + 1
    found = 0
    for each in said:
        if left.get(each, 0):
            left[each] -= 1
            found += 1
    return found


def matches(said: Sequence[str], wanted: Sequence[str], orders: int = ORDERS) -> list[int]:
    """Clipped matches of orders 1.. of two lists of words. An order without a match ends it: none above has one."""
    found = [shared(said, wanted)]
    a: Sequence[Any] = said
    b: Sequence[Any] = wanted
    while found[-1] and len(found) < orders:
        n = len(found)
        a, b = list(zip(a, said[n:], strict=False)), list(zip(b, wanted[n:], strict=False))
        found.append(shared(a, b))
    return found + [0] * (orders - len(found))


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence of two lists of words.

    Bit-parallel (Hyyrö 2004): one bit for each word of `b`, cleared where a subsequence grows.
    """
    places: dict[str, int] = {}
    for n, word in enumerate(b):
        places[word] = places.get(word, 0) | 1 << n
    full = (1 << len(b)) - 1
    left = full
    for word in a:
        if at := places.get(word, 0):
            grown = left & at
            left = (left + grown) | (left - grown)
    return len(b) - (left & full).bit_count()


class Pairs(NamedTuple):
    """The distinct n-grams of one order in many pairs of texts, one entry for each pair and n-gram."""

    item: NDArray[np.int64]
    """(entries,) number of the pair, rising."""
    gram: NDArray[np.int64]
    """(entries,) number of the n-gram."""
    said: Array
    """(entries,) how often it is in the first text."""
    wanted: Array
    """(entries,) in the second one."""


def pairs(said: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> list[Pairs]:
    """The n-grams of orders 1 to `ORDERS` of pairs of word lists."""
    numbers: dict[str, int] = {}
    texts = [*said, *wanted]
    word = np.array([numbers.setdefault(each, len(numbers)) for text in texts for each in text], np.int64)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    made = [_entries(owner, word, len(said))]
    gram, at = word, np.arange(len(word))  # an n-gram by its first word's place
    for n in range(1, ORDERS):
        more = at[at + n < len(word)]
        more = more[owner[more] == owner[more + n]]
        shorter = gram[np.searchsorted(at, more)]
        _, gram = np.unique(shorter * max(1, len(numbers)) + word[more + n], return_inverse=True)
        at = more
        made.append(_entries(owner[at], gram, len(said)))
    return made


def _entries(owner: NDArray[np.int64], gram: NDArray[np.int64], n: int) -> Pairs:
    """Owners below `n` are first texts, those above it the second ones of the same pairs."""
    size = int(gram.max(initial=0)) + 1
    keys, place = np.unique(owner % max(1, n) * size + gram, return_inverse=True)
    first = owner < n
    said, wanted = (np.bincount(place[side], minlength=len(keys)).astype(np.float64) for side in (first, ~first))
    return Pairs(keys // size, keys % size, said, wanted)


def clipped(entries: Pairs, n: int) -> Array:
    """(n,) clipped matches of each of n pairs."""
    return np.asarray(
        np.bincount(entries.item, weights=np.minimum(entries.said, entries.wanted), minlength=n), np.float64
    )
