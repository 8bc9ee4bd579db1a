"""What may still identify somebody in a masked text: a second look by other means than the rules.

No pattern of the rules is used here: shapes of words and numbers, unknown capitals, and the known table read letter by
letter. It counts places, for a rate to watch; it masks nothing, and finds neither all nor only true ones.
"""

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from rrg.reports.phi_known import EMPTY, Known, Report, part_of
from rrg.reports.phi_spans import PLACEHOLDER
from rrg.reports.phi_words import is_given, lists, seems_word
from rrg.reports.words import fold, word_set

_PIECE = re.compile(r"\S+")
_CORE = re.compile(r"[^\W_](?:.*[^\W_])?", re.DOTALL)
_NEAR = word_set(
    """herr herrn frau hr fr dr prof mr mrs ms miss pat patient patientin patienten name nachname vorname gez gezeichnet
    signed dictated reported by physician radiologist arzt aerztin oberarzt oberaerztin chefarzt untersucher befunder
    zuweiser hausarzt geb geboren born dear liebe lieber geehrte geehrter"""
)
KEPT = 1 << 12
"""Pieces that are kept to be used again: most words come back."""
_REACH = 2
"""Words behind one of these that are looked at."""
_LONG = 6
"""Digits of a number that no finding has."""
_DATE_SHAPE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{2,4}\Z")
_OCR_DATE = re.compile(r"[0-3]?[\dOl]\s?[.,]\s?[01]?[\dOl]\s?[.,]\s?(?:19|20)\d\d\Z")


def residual_of(masked: str, known: Known = EMPTY, report: Report | None = None) -> dict[str, int]:
    """Reason -> number of places in `masked`. Empty when nothing was found. Linear in the length."""
    counts: dict[str, int] = {}
    for reason in _reasons(masked, known, report or Report()):
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))


def _reasons(masked: str, known: Known, report: Report) -> Iterator[str]:
    bare = PLACEHOLDER.sub(lambda match: " " * len(match.group()), masked)
    near = 0
    unknown: list[tuple[int, int]] = []
    for match in _PIECE.finditer(bare):
        piece = _piece(match.group())
        if piece is None:
            continue
        word, odd = piece.word, piece.odd
        if piece.reason is not None:
            yield piece.reason
            near = 0
            continue
        if (
            known is not EMPTY
            and word[:1].isupper()
            and any(part_of(part, known.names, report) for part in _parts(word))
        ):
            yield "known"
        elif near and odd:
            yield "title"
        elif odd and unknown and _beside(bare, unknown[-1], match.span()) and _given_among(bare, unknown[-1], word):
            yield "pair"
        near = _REACH if piece.leads else max(0, near - 1)
        if odd:
            unknown = [match.span()]


class _Piece(NamedTuple):
    """What a piece of text without white space is by itself."""

    word: str
    """Without marks around it."""
    reason: str | None
    """Why it looks like a number, a date or an address."""
    odd: bool
    """A capital word that no list knows."""
    leads: bool
    """A name may follow."""


@functools.lru_cache(KEPT)
def _piece(text: str) -> _Piece | None:
    """None for marks alone."""
    core = _CORE.search(text[:200])
    if core is None:
        return None
    word = core.group()
    capital = word[:1].isupper() and sum(letter.isalpha() for letter in word) > 2 and not word.isupper()
    leads = fold(word) in _NEAR or fold(word.split(".")[-1]) in _NEAR
    return _Piece(word, _shape(text, word), capital and not _all_words(word), leads)


def _shape(piece: str, word: str) -> str | None:
    """Why a piece without white space looks like a number, a date or an address."""
    if "@" in piece or "://" in piece or piece.lower().startswith("www."):
        return "address"
    digits = sum(letter.isdigit() for letter in word)
    if digits < 4:
        return None
    if _DATE_SHAPE.fullmatch(word) or _OCR_DATE.fullmatch(word):
        return "date"
    longest = max(map(len, re.findall(r"\d+", word)), default=0)
    return "number" if longest >= _LONG or (digits >= 8 and "," not in word) else None


def _parts(word: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", word)


def _all_words(word: str) -> bool:
    return all(len(part) < 3 or seems_word(part) for part in _parts(word))


def _beside(text: str, one: tuple[int, int], two: tuple[int, int]) -> bool:
    return two[0] - one[1] <= 2 and "\n" not in text[one[1] : two[0]]


def _given_among(text: str, one: tuple[int, int], word: str) -> bool:
    """True when one of two unknown words is a given name or both are names of one line of their own."""
    if any(is_given(part) for part in (*_parts(text[one[0] : one[1]]), *_parts(word))):
        return True
    start = text.rfind("\n", max(0, one[0] - 80), one[0]) + 1
    return one[0] - start < 3 and fold(word) not in lists().shared
