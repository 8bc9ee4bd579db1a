"""Words of a sentence, with their places, in a spelling that compares."""

import bisect
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")
_TOKEN = re.compile(r"[a-zA-ZÀ-ÖØ-öø-ÿ]++[^\W\d_]*+|[^\W\d_]++|\d++(?:[.,]\d+)*+|[^\w\s]|_")
"""A run of letters (those of our languages are found fastest by their range), a number, a single sign."""
_FOLD = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "œ": "oe", "é": "e"})


_WORD, _START, _END = re.Match.group, re.Match.start, re.Match.end
MASK = "·"
"""Stands for each word of a reference or a date, once these are found."""
EXACT = 4
"""A form of up to four capitals is compared as it stands: "LE" is an embolism, "le" is French."""
_REMEMBERED = 1 << 16
"""Words that a `Memo` holds at most; then it begins anew."""


class Memo(dict[str, T]):
    """What a function says of a word, made once for each word: a plain look-up for one that is known."""

    def __init__(self, make: Callable[[str], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, word: str) -> T:
        """Make and remember it."""
        if len(self) >= _REMEMBERED:
            self.clear()
        made = self[word] = self._make(word)
        return made


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
    shouted: dict[int, str]
    """Place -> key of those in at most `EXACT` capitals: abbreviations, compared as they stand ("=LE")."""


def folded(text: str) -> str:
    """The spelling of a text that is compared: "Ödem", "OEDEM" and "oedem" are one. See `fold` for words."""
    return text.casefold().translate(_FOLD)


fold = Memo(folded).__getitem__
"""`folded`, for words: it remembers them."""


def word_set(words: str) -> frozenset[str]:
    """The words of a list that is written as running text."""
    return frozenset(words.split())


def words_of(text: str, start: int, end: int) -> Words:
    """Tokens of ``text[start:end]`` with places in `text`."""
    matches = list(_TOKEN.finditer(text, start, end))
    raw = list(map(_WORD, matches))
    shouted = {}
    if any(map(str.isupper, raw)):
        shouted = {i: "=" + word for i, word in enumerate(raw) if len(word) <= EXACT and word.isupper()}
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
