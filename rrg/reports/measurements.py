"""Sizes in the text, in mm: "1,2 x 0,9 cm", "bis 14 mm", "5-mm"."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rrg.records import Measurement, Span
from rrg.reports.words import word_set

_FIRST = r"\d(?<![\w.,/]\d)\d{0,3}(?:[.,]\d{1,2})?"
"""A number that no number goes on; it begins with its digit, so that the search looks at digits only."""
_NUMBER = r"\d{1,4}(?:[.,]\d{1,2})?"
_VALUE = re.compile(_NUMBER)
_UNIT = r"(?:mm|cm|Millimetern?|Zentimetern?|Centimetern?|millimet(?:er|re)s?|centimet(?:er|re)s?)"
_TIMES = r"\s*(?:x|X|×|\*|mal|by)\s*"
_SIZE = re.compile(
    rf"(?P<low>{_FIRST})(?:\s*(?P<unit1>{_UNIT})?(?P<times>{_TIMES})(?P<b>{_NUMBER})"
    rf"(?:\s*(?P<unit2>{_UNIT})?{_TIMES}(?P<c>{_NUMBER}))?|\s*(?P<range>-|–|bis|to)\s*(?P<high>{_NUMBER}))?"
    rf"[\s-]?(?P<unit>{_UNIT})(?![²³\w^/]|\s*(?:Hg|H2O|/))"
)
_DATE = r"(?:\d{1,2}\.\s?\d{1,2}\.(?:\s?\d{2,4})?|\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}|\d{1,2}/\d{4}|\[DATE\])"
_EARLIER_BEFORE = re.compile(
    r"(?:\b(?:zuvor|vormals|ehemals|früher|zuletzt|vorher|initial|damals|seinerzeit|ursprünglich|VU|Vor-?CT|Vor-?MRT|"
    r"previously|formerly|prior|previous|prev|baseline|initially|was|were|before|originally|earlier|last|vorbefundlich|"
    r"Voruntersuchung|Vorwert|Vorstudie|Vor-?PET(?:-?CT)?|Nadir|(?:compared|relative)\s+(?:to|with)|versus|vs)\b"
    r"|\bprev\."
    r"|\b(?:am|vom|on)\s+" + _DATE + r"(?:\s+noch)?)"
    r"(?:\s*[:=]|\s+(?:noch|mit|bei|von|ca\.|about|measured|measuring|at|was|approximately|still|gemessen|etwa|max\.|bis|up|to))*"
    r"\s*\Z",
    re.IGNORECASE,
)
_EARLIER_AFTER = re.compile(
    r"\s*(?:\([^()]*\)\s*)?(?:(?:before|earlier|on\s+admission|bei\s+Aufnahme)\s*(?=[,;.):]|\Z)|(?:on|in|at)\s+(?:the\s+)?(?:prior|previous|earlier|last|baseline|"
    r"(?:initial\s+)?diagnosis|(?:initial|first|old)\s+(?:CT|MRI?|PET|scan|study|exam\w*|imaging|presentation|staging))\b|"
    r"(?:previously|prev|initially|formerly|originally|baseline)\b|"
    r"(?:in|bei)\s+(?:der|den)\s+(?:letzten\s+)?(?:VU|Vor\w+)|im\s+Vor-?\w+|(?:on|am|vom|im|in)\s+(?:" + _DATE + r"|"
    r"(?:(?:early|late)\s+)?(?:(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+)?(?:19|20)\d\d\b))",
    re.IGNORECASE,
)
_FROM = re.compile(r"\b(?:von|from)\s+(?:vormals\s+|ehemals\s+|zuvor\s+|previously\s+)?\Z", re.IGNORECASE)
_TO_NOW = re.compile(
    r"\s*(?:\([^()]*\)\s*)?,?\s*(?:auf|to|now|jetzt|aktuell|currently)\s+(?:\w+\s+){0,2}\d", re.IGNORECASE
)
_CHANGED = re.compile(
    r"\b(?:changed|increased|decreased|grown|enlarged|unchanged|up|down|smaller|larger)\s+from\s+\Z", re.I
)
_FELL_FROM = re.compile(
    r"\b(?:to|auf)\s+(?:\w+\s+){0,2}"
    + _FIRST
    + r"[^,;.()]{0,20}?"
    + _UNIT
    + r"\s*(?:\([^()]*\)\s*)?,?\s*(?:from|von)\s+\Z",
    re.IGNORECASE,
)
""" "has shrunk to 19 mm (image 66) from 28 mm"."""
_AGAINST = re.compile(_UNIT + r"\s*(?:\([^()]*\)\s*)?,?\s*(?:gegenüber|statt|versus|vs\.?|against)\s+\Z", re.IGNORECASE)
""" "6,5 cm gegenüber 5 cm": the second is the earlier one."""
_FROM_SIZE = re.compile(r"\bfrom\s+\Z", re.IGNORECASE)
_SECTION = re.compile(
    r"\s*(?:dicke|dünne|starke|breite)?\s*(?:[Ss]chicht\w*|slices?\b|sections?\b|collimation|[Kk]ollimation|Rekonstruktion\w*|"
    r"reconstructions?|reformats?|thick\s+(?:slices?|sections?)|Inkrement|increments?|intervals?\b)"
)
_THICKNESS = re.compile(
    r"(?:[Ss]chicht(?:dicke|abstand|stärke)|[Ss]lice\s+(?:thickness|spacing)|[Kk]ollimation|[Cc]ollimation|Inkrement|"
    r"increment)\s*(?:von|of|:|=)?\s*\(?\s*(?:\d+(?:[.,]\d+)?\s*mm\s*(?:versus|vs\.?|und|and|bzw\.|gegenüber|/|,)\s*)?\Z"
)
_LISTED = re.compile(rf"(?<![\w.,/:;+-])(?P<list>{_NUMBER}(?:\s*,\s+{_NUMBER})*),?\s*(?:und|and|bzw\.|sowie|&)\s+\Z")
""" "5 und 7 mm", "4, 6 and 9 mm": what stands in front of the last number of a list has its unit."""
_NUMBERED = re.compile(
    r"\b(?:Seg\w*|Seri\w*|Ser?\.?|Bild\w*|Schicht\w*|im(?:age|g)s?\.?|slices?|frames?|[BHL]WK|Rippen?|ribs?|Wirbel\w*|"
    r"vertebra\w*|Grad\w*|levels?|Höhe|Nr\.?|nos?\.?|Phase|Tag\w*|days?|um|am)\s*\Z",
    re.IGNORECASE,
)
"""Words behind which a number counts: "Segment 5 und 7 mm" has one size."""
_CM = 10.0
LONGEST_MM = 2000.0
"""Longer than a patient: not a size of a finding."""


class Size(NamedTuple):
    """A size as it stands in the text."""

    span: Span
    mm: tuple[float, ...]


def measurements_of(text: str, start: int, end: int) -> Iterator[Size]:
    """Sizes in ``text[start:end]``. A range ("3-4 mm") has both its ends; see `upper_end`."""
    for match in _SIZE.finditer(text, start, end):
        unit = match["unit"]
        if match["high"]:
            values = [(match["low"], unit), (match["high"], unit)]
        else:
            values = [(match["low"], match["unit1"] or match["unit2"] or unit)]
            if match["b"]:
                values.append((match["b"], match["unit2"] or unit))
            if match["c"]:
                values.append((match["c"], unit))
        if _SECTION.match(text, match.end(), end) or _THICKNESS.search(
            text[max(start, match.start() - 40) : match.start()]
        ):
            continue  # of the images, not of the patient
        mm = tuple(round(float(value.replace(",", ".")) * _factor(each), 4) for value, each in values)
        if all(0 < each <= LONGEST_MM for each in mm):
            if not match["times"] and not match["high"]:
                yield from _of_list(text, max(start, match.start() - 40), match.start(), unit)
            yield Size(match.span(), mm)


def _of_list(text: str, start: int, end: int, unit: str) -> Iterator[Size]:
    """The sizes of a list in front of its last one, which alone has a unit."""
    listed = _LISTED.search(text, start, end)
    if listed is None or _NUMBERED.search(text, start, listed.start()):
        return
    for number in _VALUE.finditer(text, *listed.span("list")):
        mm = round(float(number[0].replace(",", ".")) * _factor(unit), 4)
        if 0 < mm <= LONGEST_MM:
            yield Size(number.span(), (mm,))


def _factor(unit: str) -> float:
    return _CM if unit[0] in "cCZz" else 1.0


_TELLING = word_set(
    """zuvor vormals ehemals frueher zuletzt vorher initial damals seinerzeit urspruenglich vu vor previously formerly
    prior previous prev baseline initially was were before originally earlier last vorbefundlich voruntersuchung
    compared
    relative versus vs am vom on von from vorwert vorstudie pet nadir gegenueber statt against"""
)
"""Words without which nothing in front of a size says that it is an earlier one."""


def is_earlier(text: str, span: tuple[int, int], start: int, end: int, before: Iterable[str]) -> bool:
    """True when the words around a size of the sentence ``text[start:end]`` say that it was measured before. `before`:
    the folded words in front of it.
    """
    after = text[span[1] : min(end, span[1] + 120)]
    if not _TELLING.isdisjoint(before):
        written = text[max(start, span[0] - 60) : span[0]]
        if _EARLIER_BEFORE.search(written) or _CHANGED.search(written) or _FELL_FROM.search(written):
            return True
        if _FROM.search(written) and _TO_NOW.match(after):
            return True
        if _AGAINST.search(written):
            return True
    return _EARLIER_AFTER.match(after) is not None


def came_from(text: str, span: tuple[int, int], start: int) -> bool:
    """ "increased from 51 mm": what stands behind the old size need not be of the earlier study."""
    return _FROM_SIZE.search(text[max(start, span[0] - 8) : span[0]]) is not None


def upper_end(text: str, measurement: Measurement) -> Measurement:
    """The size of a finding: of a range ("3-4 mm") its upper end, so that nobody takes it for two dimensions."""
    match = _SIZE.match(text, measurement.span[0])
    if match is None or not match["high"]:
        return measurement
    return dataclasses.replace(measurement, value_mm=measurement.value_mm[-1:])
