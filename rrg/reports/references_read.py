"""What a match of a reference pattern says: its series, its images, whether it is one at all."""

import re
from collections.abc import Iterable, Iterator, Sequence

from rrg.reports.references_added import skip_space
from rrg.reports.references_bare import LAST_YEAR, PACS_SERIES
from rrg.reports.references_patterns import (
    FURTHER_IMAGE,
    FURTHER_SERIES,
    IMAGE_SERIES,
    SEEN_ON,
    SERIES_IMAGE,
    SERIES_ONLY,
)
from rrg.reports.references_words import DATED, ENGLISH, IMAGE, LIST, NEXT, NO, Found, dated_before, numbers

Matches = Iterable[re.Match[str]]


def matches_at(pattern: re.Pattern[str], text: str, places: Sequence[int], end: int) -> Iterator[re.Match[str]]:
    """What a pattern matches at one of the places, each behind the one before."""
    last = -1
    for at in places:
        if at >= last and (match := pattern.match(text, at, end)) is not None:
            last = match.end()
            yield match


def written(matches: Matches, text: str, start: int, end: int) -> Iterator[Found]:
    """References with a word for the series or the image, and those that go on without it."""
    for match in matches:
        found = _read(match, text, start, end)
        if found is None:
            continue
        yield found
        further = FURTHER_IMAGE if match.re is IMAGE_SERIES else FURTHER_SERIES if match.re is SERIES_IMAGE else None
        closed = _CLOSING.match(text, match.end(), end) if further is not None else None
        while closed is not None and further is not None and (more := further.match(text, closed.end(), end)):
            images, open_end = numbers(more["images"])
            if images:
                span = (_skip_signs(text, more.start()), more.end() - 1)
                yield Found(span, int(more["series"]), images, open_end, found.dated, "")
            closed = more


_CLOSING = re.compile(r"\s*\)?")


def _read(match: re.Match[str], text: str, start: int, end: int) -> Found | None:
    """What a match says; None when it is no reference."""
    parts = match.groupdict()
    opened = match.start() > 0 and text[match.start() - 1] in "(["
    if not opened and not _plausible(parts.get("series_word"), parts.get("image_word")):
        return None
    if not _loosely(parts, text, match.start(), match.end()):
        return None
    if match.re is SERIES_IMAGE and _belongs_to_image(text, start, match.start()):
        return None
    series = int(parts["series"]) if parts.get("series") else None
    if series is None and (_YEAR.fullmatch(parts["images"]) or _LENGTH.match(text, match.end(), end)):
        return None
    listed = parts["images"]
    if _BETWEEN_TWO.search(text, max(start, match.start() - 12), match.start()):
        listed = _AND_TWO.sub(" - ", listed)
    if (pair := _PAIR.fullmatch(listed.strip())) is not None and (word := parts.get("image_word")) is not None:
        series, listed = _of_pair(word, pair, series, listed)
    images, open_end = numbers(listed)
    if not images:
        return None
    single = len(images) == 1 and listed.strip().isdecimal()
    open_end = (
        open_end
        or bool(parts.get("onwards"))
        or (single and _FROM_THERE.search(text, start, match.start()) is not None)
    )
    dated = bool(parts.get("when") or DATED.match(text, match.end(), end))
    dated = dated or _EARLIER_SERIES.search(match[0]) is not None
    dated = dated or dated_before(text, start, match.start())
    return Found((skip_space(text, match.start()), match.end()), series, images, open_end, dated, "")


_FROM_THERE = re.compile(r"\bab\s+(?:der\s+|dem\s+)?\Z", re.IGNORECASE)
""" "ab Bild 77": more images follow."""
_EARLIER_SERIES = re.compile(
    r"\b(?:prior|previous|earlier|old|last|baseline|VU|Vor(?:untersuchung|aufnahme|studie)|letzten|vorherigen)\b",
    re.IGNORECASE,
)
""" "image 12 of the prior CT series 4"."""
_YEAR = re.compile(r"(?:19[5-9]|20[0-4])\d")
_LENGTH = re.compile(r"\s*(?:-|–|/|bis|to)\s*\d{1,3}(?:[.,]\d)?\s*(?:mm|cm)\b|/0")
""" "Schichten 3-5 mm": thin, not numbered."""


def _skip_signs(text: str, at: int) -> int:
    """Past the comma or conjunction in front of the numbers of a further reference."""
    while not text[at].isdigit():
        at += 1
    return at


def _plausible(series_word: str | None, image_word: str | None) -> bool:
    """ "im" alone is the German "in the": as an image word it needs a series word, or a full stop."""
    if series_word is None or image_word is None:
        return True
    return not (series_word in ("s", "S") and image_word.lower() in ("im", "b", "aufnahme"))


_LOOSE_END = re.compile(NEXT, re.IGNORECASE)
_BETWEEN_TWO = re.compile(r"\b(?:between|zwischen)\s+(?:den\s+|the\s+)?\Z", re.IGNORECASE)
_AND_TWO = re.compile(r"\s+(?:and|und)\s+")


_OWNED = re.compile(rf"\b{IMAGE}{NO}{LIST}\s+(?:of|in|on|from|der|von|aus)\s+(?:the\s+|der\s+)?\Z", re.IGNORECASE)
""" "image 12 on series 4, image 30 on series 5": each series is of the image in front."""
_OF_BEFORE = re.compile(r"(?:of|in|on|from|der|von|aus|the)\s+\Z", re.IGNORECASE)


def _belongs_to_image(text: str, start: int, at: int) -> bool:
    near = _OF_BEFORE.search(text, max(start, at - 6), at)
    return near is not None and _OWNED.search(text, max(start, at - 60), at) is not None


def _loosely(parts: dict[str, str | None], text: str, start: int, end: int) -> bool:
    """Any word may follow an English image word with its number; the others need one that we know."""
    word, listed = parts.get("image_word"), parts.get("images")
    if word is None or listed is None or not listed.isdecimal() or parts.get("series"):
        return True
    if word.lower().startswith(ENGLISH) or _LOOSE_END.match(text, end) is not None:
        return True
    return _POINTS.search(text[max(0, start - 30) : start]) is not None and _COUNTED.match(text, end) is None


_POINTS = re.compile(r"\b(?:auf|ab|siehe|vgl\.|s\.)\s+(?:(?:dem|der)\s+)?(?:\w+en\s+)?\Z", re.IGNORECASE)
""" "auf Bild 45 kleine Zyste": behind a word that points, any word may follow."""
_COUNTED = re.compile(
    r"\s*(?:Stunde|Tag|Woche|Monat|Jahr|Minute|Sekunde|Uhr|Ebene|Sequenz|Phase|Tesla|Mal\b|fach|mm\b|cm\b|von\b)",
    re.IGNORECASE,
)


_PAIR = re.compile(r"(\d{1,4})\s*(/|out of|of)\s*(\d{1,4})")
_MANY = ("bilder", "bildern", "images", "imgs", "slices", "schichten", "aufnahmen", "cuts")
_OF_STACK = ("slice", "schicht", "frame")
"""Words for an image by its place in the stack: "slice 3/120" is the third."""
_NEXT_TO, _APART = 3, 20
"""Two numbers that differ by so little are neighbours; by more than that, the second may count all images."""


def _of_pair(word: str, pair: re.Match[str], series: int | None, listed: str) -> tuple[int | None, str]:
    """(series, images) of two numbers behind one image word.

    With "of" it is the first of so many. With a slash: behind a plural ("Bilder 12/13"), and where the numbers are
    neighbours ("Bild 45/46"), two images. Else "Bild 3/145" is image 145 of series 3 where the first number is one that
    series have (of one digit, or as 201) and neither a series is named beside it nor the word counts a stack ("slice
    3/120"); "Bild 12/210" is image 12 of 210 where they are far apart. `rrg.reports.link` asks the slices.
    """
    first, second = int(pair[1]), int(pair[3])
    if "of" in pair[2]:
        return series, pair[1]
    word = word.lower().rstrip(".")
    if word in _MANY or abs(first - second) <= _NEXT_TO:
        return series, listed
    if series is None and not word.startswith(_OF_STACK) and _names_series(first, second):
        return first, pair[3]
    return series, pair[1] if second > first + _APART else listed


def _names_series(first: int, second: int) -> bool:
    return first <= _ONE_DIGIT < second or PACS_SERIES.fullmatch(str(first)) is not None


_ONE_DIGIT = 9
_WRITTEN_PAIR = re.compile(rf"{IMAGE}{NO}(\d{{1,4}})\s*/\s*(\d{{1,4}})", re.IGNORECASE)


def open_pair(written: str) -> tuple[int, int] | None:
    """The two numbers of "Bild 3/145" as a whole reference; None for any other. Either may name the series."""
    match = _WRITTEN_PAIR.fullmatch(written)
    if match is None or written.lower().startswith(_MANY) or abs(int(match[1]) - int(match[2])) <= _NEXT_TO:
        return None
    return int(match[1]), int(match[2])


def seen_on(text: str, start: int, end: int) -> Iterator[Found]:
    """Two numbers behind a word that points; no clock time."""
    for match in SEEN_ON.finditer(text, start, end):
        images, open_end = numbers(match["images"])
        series, least = int(match["series"]), int(re.split(r"\D", match["images"])[0])
        clock = match["sep"] == ":" and len(match["series"]) == len(match["images"]) == 2 and series < 24 and least < 60
        if images and not clock and (match["sep"] == ":" or least > max(series, LAST_YEAR)):
            yield Found(match.span("whole"), series, images, open_end, bool(DATED.match(text, match.end(), end)), "")


def series_only(text: str, places: Sequence[int], end: int) -> Iterator[Found]:
    """A series without images, which is carried on."""
    for match in matches_at(SERIES_ONLY, text, places, end):
        yield Found(match.span(), int(match["series"]), (), False, bool(DATED.match(text, match.end(), end)), "")


def series_list(matches: Matches, text: str, start: int, end: int) -> Iterator[Found]:
    """A series and its images as numbers alone."""
    for match in matches:
        images, open_end = numbers(match["images"] or match["images2"] or match["images3"])
        if images and (match["images2"] is None or images[0] >= _PLAIN_IMAGE):
            dated = bool(DATED.match(text, match.end(), end))
            series = int(match["series"] or match["series2"] or match["series3"])
            yield Found(match.span(), series, images, open_end, dated, "")


def both_named(matches: Matches, text: str, start: int, end: int) -> Iterator[Found]:
    """A slash needs both words ("series/image 3/45"): "image 3/45" is the third of 45."""
    for match in matches:
        if "/" in match["colon"] and match[0].lower().startswith(("im", "bild", "sl")):
            continue
        images, open_end = numbers(match["images"])
        if images:
            dated = bool(DATED.match(text, match.end(), end))
            yield Found(match.span(), int(match["series"]), images, open_end, dated, "")


_PLAIN_IMAGE = 6
""" "series 3/5" may be the third of five series."""
