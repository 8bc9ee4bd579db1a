"""Slice references: "(Serie 3, Bild 45)", "Bilder 45, 47 und 50 der Serie 2", "(3:12-14)", "(IMA 12)"."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from rrg.reports.references_added import ADDED, skip_space, windowed
from rrg.reports.references_bare import LAST_YEAR, PACS_SERIES, bare, introduced
from rrg.reports.references_words import (
    CLEAR_IMAGE,
    DATED,
    ENGLISH,
    IMAGE,
    LIST,
    LISTED,
    NAMED_LIST,
    NEXT,
    NO,
    NUM,
    ORDINAL_AHEAD,
    PLANE,
    PLANE_BEHIND,
    QUALIFIED,
    SEP,
    SERIES,
    TO,
    WHEN,
    Found,
    dated_before,
    numbers,
)

_SERIES_IMAGE = re.compile(
    rf"(?<![\w.])(?P<series_word>{SERIES}){NO}(?P<series>\d{{1,6}})(?!\d)(?![.,]\d)(?P<when>{WHEN})"
    rf"\s*(?:[,;:/(\-–|]|:\s*)?\s*(?:(?:at|on|auf|an)\s+)?{PLANE}(?P<image_word>{IMAGE}){NO}(?P<images>{LISTED}){ORDINAL_AHEAD}",
    re.IGNORECASE,
)
_IMAGE_SERIES = re.compile(
    rf"(?<![\w.])(?P<image_word>{IMAGE}){NO}(?P<images>{NAMED_LIST})(?:\s+(?:von|of)\s+\d{{2,4}}(?![\d.]))?"
    rf"{PLANE_BEHIND}\s*[,;:/(\-–]?\s*"
    rf"(?:(?:of|in|der|in der|von|aus|aus der|on|auf|from|auf der)\s+(?:(?:the|der)\s+)?{QUALIFIED})?{PLANE}"
    rf"(?:(?:[a-z][\w-]*\s+){{0,3}}(?:series|sequence|images?|reconstructions?|reformats?|scan|phase|stack|acquisition|window)"
    rf"\s*[,(]\s*)?"
    rf"(?P<series_word>{SERIES}){NO}(?P<series>\d{{1,6}})(?!\d)(?![.,]\d)(?P<onwards>\s+(?:and\s+)?(?:on|up)wards?\b)?",
    re.IGNORECASE,
)
_COMPACT = re.compile(
    r"(?:(?<![\w.])S|(?<=[(\[])s)\.?\s?:?\s?(?P<series>\d{1,4})\s?[/,;:-]?\s?[BIbi]\.?\s?:?\s?"
    r"(?P<images>\d{1,4}(?:\s?[-–]\s?\d{1,4})?)(?!\w|[.,]\d)"
)
""" "S4 B123", "s3, i45"; small letters right behind a bracket only."""
_COMPACT_BACK = re.compile(
    r"(?<![\w.])[BI]\.?\s?:?\s?(?P<images>\d{1,4}(?:\s?[-–]\s?\d{1,4})?)\s?[/,;-]?\s?S\.?\s?:?\s?(?P<series>\d{1,4})"
    r"(?!\w|[.,]\d)"
)
_NUMBER_IMAGE = re.compile(
    rf"(?<=[(\[])\s*(?P<series>\d{{1,4}})\s*[,;:/]?\s*(?P<image_word>{IMAGE}){NO}(?P<images>{LIST})(?=\s*[)\],;])",
    re.IGNORECASE,
)
""" "(3, im 45)"."""
_SERIES_LETTER = re.compile(
    rf"(?<=[(\[])\s*S\.?\s?(?P<series>\d{{1,4}})\s?[/:]\s?(?P<images>(?=\d\d){LIST})(?=\s*[)\],;])"
)
""" "(S3/45)"; "(S1/2)" is a level of the sacrum."""
_SEEN_ON = re.compile(
    r"\b(?:seen|shown|marked|annotated|demonstrated|visuali[sz]ed|appreciated|see|siehe|vgl\.)\s+(?:best\s+)?(?:on\s+|auf\s+)?"
    rf"(?P<whole>(?P<series>\d{{1,3}})(?P<sep>[:/])(?P<images>\d{{1,4}}(?:{TO}\d{{1,4}})?))(?![\w/:]|[.,]\d|\s*(?:[ap]\.?m\b|Uhr))",
    re.IGNORECASE,
)
""" "best seen on 3:45": numbers alone need a word that points."""
_FURTHER_IMAGE = re.compile(
    rf"\s*(?:,?\s*(?:and|und|sowie|&|u\.)|[,;])\s*(?:(?:on|auf|in)\s+)?(?P<images>{NUM}(?:{SEP}{NUM}|{TO}{NUM})*)\s*\("
    rf"\s*(?P<series_word>{SERIES}){NO}(?P<series>\d{{1,6}})\s*\)",
    re.IGNORECASE,
)
""" "images 45 (series 3) and 12 (series 4)": what the first image word is said for, too."""
_FURTHER_SERIES = re.compile(
    rf"\s*\)?\s*(?:,?\s*(?:and|und|sowie|&|u\.)|[,;])\s*(?:(?:on|auf|in)\s+)?(?P<series>\d{{1,6}})\s*\("
    rf"\s*(?P<image_word>{IMAGE}){NO}(?P<images>{LIST})\s*\)",
    re.IGNORECASE,
)
""" "series 3 (image 45) and 4 (image 12)"."""
_SERIES_LIST = re.compile(
    rf"(?<![\w.])(?P<series_word>Serie|Ser\.?|Se\.?|series)(?:{NO}(?P<series>\d{{1,4}}){PLANE_BEHIND}\s*:\s*"
    rf"(?P<images>{LIST})(?=\s*(?:[)\];]|[.,](?!\d)|\Z))|{NO}(?P<series2>\d{{1,4}})\s?/\s?(?P<images2>{NUM})"
    rf"(?=\s*(?:[)\];]|[.,](?!\d)|\Z))|{NO}(?P<series3>\d{{1,4}}){PLANE_BEHIND}\s*[,/]?\s*(?:#|(?:Nr|No)\.?)\s*(?P<images3>{LIST}))",
    re.IGNORECASE,
)
""" "series 4: 12, 15, 18", "series 3/45": the second number is of images."""
_BOTH_NAMED = re.compile(
    rf"(?<![\w.])(?:(?:series|ser\.?|se\.?|Serie)\s?[/:,-]\s?)?(?P<image_word>images?|imgs?\.?|im\.?|Bild|slices?)"
    rf"(?:\s*[:=]\s*|\s+)(?P<series>\d{{1,4}})(?P<colon>\s?:\s?|\s?/\s?)(?P<images>{LIST})",
    re.IGNORECASE,
)
""" "image 3:45", "series/image 3/45"."""
_IM = re.compile(
    rf"(?:(?<=\bon )|(?<=\bauf )|(?<=\bsee )|(?<=\bat )|(?<=\bof )|(?<=, ))(?P<image_word>im)\.?\s?(?P<images>{LIST})"
    r"(?=\s*(?:[)\],;:]|\.\s*\Z|\.\s+[A-Z]|\Z))",
    re.IGNORECASE,
)
""" "on im 71/120"."""
_IMAGE_ONLY = re.compile(
    rf"(?<![\w.])(?P<image_word>{CLEAR_IMAGE}){NO}(?P<images>{LISTED}){ORDINAL_AHEAD}", re.IGNORECASE
)
_IMAGE_BRACKET = re.compile(
    rf"(?<=[(\[])\s*(?:(?:s\.|siehe|see|vgl\.|cf\.?|z\.\s?B\.|e\.g\.,?|exemplarisch)\s*)?"
    rf"(?P<image_word>{IMAGE}){NO}(?P<images>{LIST})(?=\s*[)\],;])",
    re.IGNORECASE,
)
_SERIES_ONLY = re.compile(
    rf"(?<![\w.])(?:Serien?[- ]?(?:nr\.?)?|series|Ser\.?|Se\.?){NO}(?P<series>\d{{1,6}})(?!\d)(?![.,]\d)"
    r"(?!\s*(?:mm|cm|Aufnahmen|Bilder|images))",
    re.IGNORECASE,
)


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
        if places[kind] and take(rule, read(_matches(pattern, text, places[kind], end), text, start, end)):
            places = untaken()
    if paired:
        take("seen-on", _seen_on(text, start, end))
    if anchors and anchors["brackets"]:
        take("bare", bare(text, start, end))
    if anchors and anchors["series"]:
        take("series", _series_only(text, anchors["series"], end))
    return sorted(found, key=lambda one: one.span)


_PAIR_OF_NUMBERS = re.compile(r"\d[:/]\d")
_Matches = Iterable[re.Match[str]]


def _matches(pattern: re.Pattern[str], text: str, places: Sequence[int], end: int) -> Iterator[re.Match[str]]:
    """What a pattern matches at one of the places, each behind the one before."""
    last = -1
    for at in places:
        if at >= last and (match := pattern.match(text, at, end)) is not None:
            last = match.end()
            yield match


def _written(matches: _Matches, text: str, start: int, end: int) -> Iterator[Found]:
    for match in matches:
        found = _read(match, text, start, end)
        if found is None:
            continue
        yield found
        further = (
            _FURTHER_IMAGE if match.re is _IMAGE_SERIES else _FURTHER_SERIES if match.re is _SERIES_IMAGE else None
        )
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
    if match.re is _SERIES_IMAGE and _belongs_to_image(text, start, match.start()):
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


def _seen_on(text: str, start: int, end: int) -> Iterator[Found]:
    for match in _SEEN_ON.finditer(text, start, end):
        images, open_end = numbers(match["images"])
        series, least = int(match["series"]), int(re.split(r"\D", match["images"])[0])
        clock = match["sep"] == ":" and len(match["series"]) == len(match["images"]) == 2 and series < 24 and least < 60
        if images and not clock and (match["sep"] == ":" or least > max(series, LAST_YEAR)):
            yield Found(match.span("whole"), series, images, open_end, bool(DATED.match(text, match.end(), end)), "")


def _series_only(text: str, places: Sequence[int], end: int) -> Iterator[Found]:
    for match in _matches(_SERIES_ONLY, text, places, end):
        yield Found(match.span(), int(match["series"]), (), False, bool(DATED.match(text, match.end(), end)), "")


def _series_list(matches: _Matches, text: str, start: int, end: int) -> Iterator[Found]:
    for match in matches:
        images, open_end = numbers(match["images"] or match["images2"] or match["images3"])
        if images and (match["images2"] is None or images[0] >= _PLAIN_IMAGE):
            dated = bool(DATED.match(text, match.end(), end))
            series = int(match["series"] or match["series2"] or match["series3"])
            yield Found(match.span(), series, images, open_end, dated, "")


def _both_named(matches: _Matches, text: str, start: int, end: int) -> Iterator[Found]:
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
_Reader = Callable[[_Matches, str, int, int], Iterator[Found]]
_RULES: tuple[tuple[str, _Kind, re.Pattern[str], _Reader], ...] = (
    ("both-named", "both", _BOTH_NAMED, _both_named),
    ("series-image", "series", _SERIES_IMAGE, _written),
    ("image-series", "image", _IMAGE_SERIES, _written),
    ("compact", "series", _COMPACT, _written),
    ("compact-back", "image", _COMPACT_BACK, _written),
    ("number-image", "brackets", _NUMBER_IMAGE, _written),
    ("series-letter", "brackets", _SERIES_LETTER, _written),
    ("image-bracket", "brackets", _IMAGE_BRACKET, _written),
    ("image", "image", _IMAGE_ONLY, _written),
    ("im", "image", _IM, _written),
    ("series-list", "series", _SERIES_LIST, _series_list),
)
"""Rule, where its pattern begins, the pattern, and what reads a match: the surest first."""
