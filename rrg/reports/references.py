"""Slice references: "(Serie 3, Bild 45)", "Bilder 45, 47 und 50 der Serie 2", "(3:12-14)", "(IMA 12)"."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from rrg.reports.references_added import ADDED, windowed
from rrg.reports.references_bare import bare, introduced
from rrg.reports.references_patterns import (
    BOTH_NAMED,
    COMPACT,
    COMPACT_BACK,
    IM,
    IMAGE_BRACKET,
    IMAGE_ONLY,
    IMAGE_SERIES,
    NUMBER_IMAGE,
    SERIES_IMAGE,
    SERIES_LETTER,
    SERIES_LIST,
)
from rrg.reports.references_read import Matches, both_named, matches_at, seen_on, series_list, series_only, written
from rrg.reports.references_words import Found

_SERIES_AT = re.compile(r"[Ss](?<![\w.].)(?i:er|eq|e(?![a-z])|[\s.:#\d])")
_IMAGE_AT = re.compile(
    r"[BISAFCERbisafcer](?<![\w.].)(?i:(?<=b)(?:ild|[\s.:#\d])|(?<=i)(?:m|[\s.:#\d])|(?<=s)(?:chicht|chnitt|lice|l[\s.])|"
    r"(?<=a)ufnahm|(?<=f)rame|(?<=c)ut|(?<=e)inzelbild|(?<=r)eferenzbild)(?=[^\d\n]{0,24}\d)"
)
_BRACKET_AT = re.compile(r"[(\[](?=[^\n]{0,80}\d)")
_DIGIT = re.compile(r"\d")
_Kind = Literal["series", "image", "both", "brackets"]


def _anchors(text: str, start: int, end: int) -> dict[_Kind, list[int]]:
    """Where references can begin: one look for each kind of word, so that no long pattern is tried elsewhere.
    ``brackets``: behind "(" and "[". Empty when there is no such place.
    """
    series = [match.start() for match in _SERIES_AT.finditer(text, start, end)]
    image = [match.start() for match in _IMAGE_AT.finditer(text, start, end)]
    brackets = [match.end() for match in _BRACKET_AT.finditer(text, start, end)]
    if not (series or image or brackets):
        return {}
    return {"series": series, "image": image, "both": sorted(series + image), "brackets": brackets}


def references_of(text: str, start: int, end: int) -> list[Found]:
    """References in ``text[start:end]``, in text order, without overlap; the surest rules first."""
    if _DIGIT.search(text, start, end) is None:
        return []
    anchors = _anchors(text, start, end)
    paired = _PAIR_OF_NUMBERS.search(text, start, end) is not None
    if not (anchors or paired or ADDED):
        return []
    found: list[Found] = []
    taken = bytearray(end - start + 1)  # 1 for each character of what was found

    def take(rule: str, matches: Iterable[Found]) -> bool:
        """True when one of them is new."""
        before = len(found)
        for one in matches:
            first, last = one.span[0] - start, one.span[1] - start
            if 1 not in taken[first:last]:
                taken[first:last] = b"\1" * (last - first)
                found.append(one._replace(rule=one.rule or rule))
        return len(found) > before

    def untaken() -> dict[_Kind, list[int]]:
        return {kind: [at for at in places if not taken[at - start]] for kind, places in anchors.items()}

    for rule, pattern in ADDED:
        take(rule, windowed(pattern, text, start, end))
    if paired:
        take("introduced", introduced(text, start, end))
    places = untaken() if found else anchors
    for rule, kind, pattern, read in _RULES if anchors else ():
        if places[kind] and take(rule, read(matches_at(pattern, text, places[kind], end), text, start, end)):
            places = untaken()
    if paired:
        take("seen-on", seen_on(text, start, end))
    if anchors and anchors["brackets"]:
        take("bare", bare(text, start, end))
    if anchors and anchors["series"]:
        take("series", series_only(text, anchors["series"], end))
    return sorted(found, key=lambda one: one.span)


_PAIR_OF_NUMBERS = re.compile(r"\d[:/]\d")
_Reader = Callable[[Matches, str, int, int], Iterator[Found]]
_RULES: tuple[tuple[str, _Kind, re.Pattern[str], _Reader], ...] = (
    ("both-named", "both", BOTH_NAMED, both_named),
    ("series-image", "series", SERIES_IMAGE, written),
    ("image-series", "image", IMAGE_SERIES, written),
    ("compact", "series", COMPACT, written),
    ("compact-back", "image", COMPACT_BACK, written),
    ("number-image", "brackets", NUMBER_IMAGE, written),
    ("series-letter", "brackets", SERIES_LETTER, written),
    ("image-bracket", "brackets", IMAGE_BRACKET, written),
    ("image", "image", IMAGE_ONLY, written),
    ("im", "image", IM, written),
    ("series-list", "series", SERIES_LIST, series_list),
)
"""Rule, where its pattern begins, the pattern, and what reads a match: the surest first."""
