"""Near-duplicates of texts: min-hashes of their shingles, so that millions are compared and no text is kept.

A text is the set of its runs of `SHINGLE` characters. Two texts are near-duplicates from a similarity (Jaccard index of
the sets) of `NEAR` on. It is estimated as the share of `HASHES` min-hashes that agree (A. Broder, "On the resemblance
and containment of documents", 1997), of each hash the last byte; the standard error is 0.05 at 0.8. Pairs are found by
bands of `ROWS` hashes that agree: one of similarity 0.8 is found with probability 0.999, and identical texts always.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
HASHES = 64
ROWS = 4
NEAR = 0.8
_BLOCK = 256
"""So many texts of a bucket are compared at once."""
_HALF, _BYTE = np.uint64(32), np.uint64(255)


def _odd(name: str, count: int) -> NDArray[np.uint64]:
    """(count,) odd numbers of 64 bits that look random and never change."""
    digests = [hashlib.blake2b(f"rrg near {name} {n}".encode(), digest_size=8).digest() for n in range(count)]
    return np.array([int.from_bytes(digest, "big") | 1 for digest in digests], np.uint64)


_TIMES, _PLUS, _POWERS = _odd("times", HASHES), _odd("plus", HASHES), _odd("powers", SHINGLE)
Signatures = NDArray[np.uint8]
"""(texts, HASHES)"""
Places = NDArray[np.intp]


def signature(text: str) -> Signatures:
    """(HASHES,) last bytes of the min-hashes of a text, the same on every machine."""
    codes = np.frombuffer(text.ljust(SHINGLE).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, SHINGLE)  # (shingles, SHINGLE)
    mixed = (windows * _POWERS).sum(axis=1, dtype=np.uint64)
    mixed ^= mixed >> _HALF
    hashed = (mixed[:, None] * _TIMES + _PLUS) >> _HALF  # (shingles, HASHES)
    lowest: NDArray[np.uint64] = hashed.min(axis=0)
    return (lowest & _BYTE).astype(np.uint8)


def near(of: Signatures, among: Signatures) -> NDArray[np.bool_]:
    """(n,): has the text of each row of `of` (n, HASHES) a near-duplicate in `among` (m, HASHES)?"""
    found = np.zeros(len(of), bool)
    for band in range(0, HASHES, ROWS):
        for here, there in _buckets(of[:, band : band + ROWS], among[:, band : band + ROWS]):
            open_ = here[~found[here]]
            for start in range(0, len(there), _BLOCK):
                if not len(open_):
                    break
                block = among[there[start : start + _BLOCK]]
                hit = np.array([(row == block).sum(axis=1).max() >= NEAR * HASHES for row in of[open_]], bool)
                found[open_[hit]] = True
                open_ = open_[~hit]
    return found


def _buckets(of: Signatures, among: Signatures) -> Iterator[tuple[Places, Places]]:
    """(rows of `of`, rows of `among`) that agree in a band, for every value of the band that both have."""
    ours, theirs = (np.ascontiguousarray(each).view(np.uint32)[:, 0] for each in (of, among))
    order, their_order = np.argsort(ours, kind="stable"), np.argsort(theirs, kind="stable")
    values, first, count = np.unique(ours[order], return_index=True, return_counts=True)
    start = np.searchsorted(theirs[their_order], values, "left")
    end = np.searchsorted(theirs[their_order], values, "right")
    for number in np.flatnonzero(end > start):
        yield order[first[number] : first[number] + count[number]], their_order[start[number] : end[number]]
