"""Words of a sentence, with their places, in a spelling that compares."""

import bisect
import re
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*|[^\w\s]|_")
_FOLD = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "œ": "oe", "é": "e"})


_WORD, _START, _END = itemgetter(0), re.Match.start, re.Match.end
MASK = "·"
"""Stands for each word of a reference or a date, once these are found."""


class Words(NamedTuple):
    """The tokens of a sentence: runs of letters, numbers, single signs."""

    raw: list[str]
    """As written."""
    keys: list[str]
    """Folded: lower case, ae oe ue ss."""
    starts: list[int]
    """First code point of each, in the report text."""
    ends: list[int]
    """One past the last code point of each."""
    shouted: list[int]
    """Which of them are in capitals: abbreviations, compared as they stand."""


@lru_cache(1 << 16)
def fold(word: str) -> str:
    """The spelling that is compared: "Ödem", "OEDEM" and "oedem" are one."""
    return word.casefold().translate(_FOLD)


def word_set(words: str) -> frozenset[str]:
    """The words of a list that is written as running text."""
    return frozenset(words.split())


def words_of(text: str, start: int, end: int) -> Words:
    """Tokens of ``text[start:end]`` with places in `text`."""
    matches = list(_TOKEN.finditer(text, start, end))
    raw = list(map(_WORD, matches))
    shouted = [i for i, word in enumerate(raw) if word.isupper()]
    return Words(raw, list(map(fold, raw)), list(map(_START, matches)), list(map(_END, matches)), shouted)


def unfolded(raw: str, length: int) -> int:
    """How many letters of `raw` make the first `length` letters of its folded spelling."""
    made = 0
    for count, letter in enumerate(raw):
        if made >= length:
            return count
        made += len(fold(letter))
    return len(raw)


def within(words: Words, span: tuple[int, int]) -> range:
    """The words that begin inside of a span of the text."""
    return range(bisect.bisect_left(words.starts, span[0]), bisect.bisect_left(words.starts, span[1]))


_ENDINGS = ("e", "er", "es", "en", "em")
_UNINFLECTED = word_set(
    "aber oder weder wieder sonst ohne unter ueber hinter neben gegen sowie jedoch daher eine einer"
)
_ATTRIBUTES = 6
"""Words between a comma and the noun, at most."""


def opens_relative(words: Words, comma: int) -> bool:
    """ "kein Herd, der an eine Filia denken ließe": no article stands in front of a preposition, a relative does."""
    return words.keys[comma + 1 : comma + 2] in _RELATIVES and words.keys[comma + 2 : comma + 3] in _PREPOSITIONS


_RELATIVES = tuple([each] for each in ["der", "die", "das", "den", "dem", "welcher", "welche", "welches"])
_PREPOSITIONS = tuple([each] for each in ["an", "am", "auf", "fuer", "als", "zu", "mit", "in", "im", "bei"])


def between_attributes(words: Words, i: int) -> bool:
    """ "eine 14 mm große, arteriell hypervaskularisierte Raumforderung": the German comma at word `i` stands between
    two adjectives of one noun, and parts nothing.
    """
    left = words.raw[i - 1] if i > 0 else ""
    if words.raw[i] != "," or not left.islower() or not left.endswith(_ENDINGS) or words.keys[i - 1] in _UNINFLECTED:
        return False
    for j in range(i + 1, min(len(words.raw), i + 2 + _ATTRIBUTES)):
        word = words.raw[j]
        if word.islower() or word == "-" or words.raw[j + 1 : j + 2] == ["-"]:
            continue
        before = words.raw[j - 1]
        return j > i + 1 and word[0].isupper() and before.islower() and before.endswith(_ENDINGS)
    return False
