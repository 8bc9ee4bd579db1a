"""How many there are of a finding: "zwei Zysten", "multiple metastases", "Kontusionen, mehrere"."""

from collections.abc import Sequence
from typing import NamedTuple

from rrg.reports.changes import AND, ARTICLES, FAR, NO_ADJECTIVE, Hit
from rrg.reports.findings import Stated
from rrg.reports.words import MASK, Memo, Words, word_set

MOST = 200
"""A larger number in front of a finding is no count."""
_NUMBERS = {
    **{"zwei": 2, "zweier": 2, "drei": 3, "dreier": 3, "vier": 4, "fuenf": 5, "sechs": 6, "sieben": 7, "acht": 8},
    **{"neun": 9, "zehn": 10, "elf": 11, "zwoelf": 12, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6},
    **{"seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12},
}
_ONE = ("solitaer", "solitar", "singulaer")
_TIMES = ("monat", "woche", "jahr", "stunde", "minute", "tagen", "tage")
_TIMES_EN = frozenset(("months", "weeks", "years", "days", "hours", "month", "week", "year", "phases", "views"))
_NO_COUNT = frozenset(
    (
        "grad",
        "typ",
        "stadium",
        "grade",
        "type",
        "stage",
        "segment",
        "nr",
        "no",
        "bosniak",
        "category",
        "class",
        "score",
        "gleason",
        "fazekas",
        "modic",
        "stanford",
        "fleischner",
        "kategorie",
        "klasse",
        "version",
    )
)


class Count(NamedTuple):
    """How many."""

    number: int | None
    multiple: bool


def counts_of(words: Words, hits: Sequence[Hit], stated: Sequence[Stated]) -> list[Count]:
    """How many of each finding: a number or a word in front of it, with nothing but describing words between."""
    several = {hit.last - 1: hit for hit in hits if hit.kind == "multiple"}
    if not several and not any(map(_COUNTING.__getitem__, words.keys)):
        return [_UNCOUNTED] * len(stated)
    found: list[Count] = []
    for at, one in enumerate(stated):
        first = at
        while first > 0 and stated[first - 1].last == stated[first].first:
            first -= 1  # "three enhancing lesions": what is counted is the noun
        if at + 1 < len(stated) and stated[at + 1].first == one.last:
            found.append(_UNCOUNTED)
            continue
        found.append(_count(words, several, one, stated[first].first, stated[first - 1].last if first else 0))
    return found


_COUNTING = Memo(lambda key: key in _NUMBERS or key.startswith(_ONE) or key.isdecimal())
"""Whether a word may say how many."""
_UNCOUNTED = Count(None, multiple=False)


def _count(words: Words, several: dict[int, Hit], one: Stated, first: int, start: int) -> Count:
    i = first - 1
    passed = 0
    while i >= start and passed <= FAR:
        raw, key = words.raw[i], words.keys[i]
        if (hit := several.get(i)) is not None:
            alone = hit.first > 0 and words.keys[hit.first - 1] in ARTICLES
            return Count(None, multiple=not alone)
        if key.startswith(_ONE):
            return Count(1, multiple=False)
        number = _NUMBERS.get(key) or (int(raw) if raw.isdecimal() and _counts(words, i) else None)
        if number is not None:
            return Count(number, multiple=number > 1) if number <= MOST else Count(None, multiple=False)
        if key.startswith(_TIMES) or key in _TIMES_EN:
            break
        if raw in ";:.()" or raw == MASK or (key in NO_ADJECTIVE and key not in AND) or key in ARTICLES:
            break
        passed += raw[0].isalpha()
        i -= 1
    behind = several_behind(words, several, one)
    return Count(None, multiple=behind)


def several_behind(words: Words, several: dict[int, Hit], one: Stated) -> bool:
    """ "Zysten, multipel", "Kontusionen, mehrere, bis 9 mm": right behind the finding, at the end of a clause."""
    i = one.last
    if i < len(words.raw) and words.raw[i] == ",":
        i += 1
    closed = i + 1 >= len(words.raw) or words.raw[i + 1] in ".,;)"
    return i in several and closed and words.keys[i] in _ALONE


_ALONE = word_set("multipel multiple mehrfach mult mehrere zahlreich zahlreiche etliche several numerous")


def _counts(words: Words, i: int) -> bool:
    """A bare number that stands for a count: no unit, ordinal, level or grade around it."""
    if words.raw[i].startswith("0"):
        return False
    if i + 1 < len(words.raw):
        after = words.raw[i + 1]
        glued = words.starts[i + 1] == words.ends[i]
        if not after[0].isalpha() or glued or words.keys[i + 1] in ("mm", "cm", "ml", "x"):
            return False
    if i > 0:
        before, key = words.raw[i - 1], words.keys[i - 1]
        if key in _NO_COUNT or key.endswith("rads") or before in "-/–.×" or (before.isupper() and len(before) <= 3):
            return False
    return True
