"""Dates, in German and English, and ages over 89. Clock times and years alone stay.

A date needs a day and a month that exist, or a month and a year. What looks like one beside a vertebra, a dose or a
series is none: "BWK 10/11/12", "1-0-1", "Th 11/12", "Serie 3/12".
"""

import re
from collections.abc import Iterator

from rrg.reports.phi_spans import Spot

_DE_MONTH = (
    r"(?:Januar|Jänner|Jan|Februar|Feber|Feb|März|Maerz|Mrz|April|Apr|Mai|Juni|Jun|Juli|Jul|August|Aug|"
    r"September|Sept|Sep|"
    r"Oktober|Okt|November|Nov|Dezember|Dez)"
)
_EN_MONTH = (
    r"(?:January|Jan|February|Feb|March|Mar|April|Apr|May|June|Jun|July|Jul|August|Aug|September|Sept|Sep|October|Oct|"
    r"November|Nov|December|Dec)"
)
_MONTH = rf"(?:{_DE_MONTH[3:-1]}|{_EN_MONTH[3:-1]}|{_DE_MONTH[3:-1].upper()}|{_EN_MONTH[3:-1].upper()})"
_YEAR = r"(?:19|20)\d\d"
_FREE = r"(?<![\w.,/:×x-])(?<!\d\s[.])"
_UNIT = r"(?!\s?(?:mm|cm|ml|mg|kg|g/|µ|%|HE\b|HU\b|mmol|mSv|Gy|°|IE\b|IU\b))"
_AFTER = rf"(?![\w/])(?![.,:]\d){_UNIT}"
_CUE = (
    r"(?:am|vom|v\.|bis|bis zum|zum|ab|seit|den|dem|der|des|von|im|in|um|und|u\.|ED|EM|OP|Op|geb\.|gest\.|Ex|vor|nach|"
    r"on|from|of|since|until|till|to|dated|and|the|prior|Datum:?|Date:?)"
)

_FULL = re.compile(
    rf"{_FREE}(?P<d>\d{{1,2}})\s?\.\s?(?P<m>\d{{1,2}})\s?\.\s?(?P<y>{_YEAR}|\d\d)(?!\d){_AFTER}"
    rf"|{_FREE}(?P<d4>\d{{1,2}})\.(?P<m4>\d{{1,2}})\s(?P<y4>{_YEAR}){_AFTER}"
    rf"|{_FREE}(?P<y2>{_YEAR})(?P<s2>[-/.])(?P<m2>\d{{1,2}})(?P=s2)(?P<d2>\d{{1,2}})(?:(?=[T ]\d\d:)|(?!\d){_AFTER})"
    rf"|{_FREE}(?P<d3>\d{{1,2}})/(?P<m3>\d{{1,2}})/(?P<y3>{_YEAR}|\d\d)(?!\d){_AFTER}"
    rf"|{_FREE}(?P<d5>\d{{1,2}})-(?P<m5>\d{{1,2}})-(?P<y5>{_YEAR})(?!\d){_AFTER}"
)
_NAMED = re.compile(
    rf"(?<![\w.,/])\d{{1,2}}(?:\.|st|nd|rd|th)?\s?(?:of\s)?(?:-|(?<=\d)\s|(?<=[.a-z])\s?){_MONTH}\b\.?"
    rf"(?:(?:,?\s?|-){_YEAR}\b|\s['’]?\d\d\b(?!\s?[:.,/]\d)(?!\s?(?:Uhr|mm|cm|%|HU|HE)))?"
    rf"|\b{_MONTH}\.?\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s{_YEAR}\b|(?=\s?[,;.)\n]|\s?\Z|\s(?:and|at|in|showed|was|"
    rf"CT|MRI|study)\b))"
    rf"(?!\s?(?:mm|cm|%|HU|HE))"
    rf"|\b{_MONTH}\.?(?:,?\s|/|-){_YEAR}\b|\b{_MONTH}\.?\s['’]\d\d\b"
    rf"|(?<=\b[Ii]m ){_DE_MONTH}\s\d\d\b(?!\s?(?:Uhr|mm|cm|%|HU|HE)|[:.,]\d)"
    rf"|(?:\b[IVQ1-4]{{1,3}}\.?\s?(?:Quartal|quarter)\s|\bQ[1-4][\s/]|\bKW\s?\d{{1,2}}[\s/]){_YEAR}\b"
)
_MONTH_YEAR = re.compile(
    rf"(?<![\w.,/:×-])(?:0?[1-9]|1[0-2])\s?/\s?{_YEAR}(?!\d){_AFTER}"
    rf"|(?<![\w.,/:×-])(?:0[1-9]|1[0-2])\.{_YEAR}(?!\d){_AFTER}"
    rf"|(?:(?<=\()|(?<![\w.,/:×-]))0[1-9]/\d\d(?!\d){_AFTER}"
    rf"|^[ ]*(?P<line>1[0-2]/\d\d)(?!\d){_AFTER}(?=:?[ ]+[A-ZÄÖÜ])(?!:?[ ]+(?:LK|Lymph|Tabl|Kaps|Punkt|Rippe|Wirbel))"
    rf"|\b(?:ED:?|im|ab|am|OP|bis|von|vom|Ex|seit|since|until|from)\s(?P<date>(?:0?[1-9]|1[0-2])/\d\d)(?!\d){_AFTER}",
    re.MULTILINE,
)
_SHORT = re.compile(rf"(?<![\w.,/:×-])(?P<d>\d{{1,2}})\.\s?(?P<m>\d{{1,2}})\.(?!\s?\d|\w){_UNIT}")
_CUED = re.compile(rf"(?:(?<!\w){_CUE}\s{{1,2}}|[-–/(]\s?|\n[ ]*)\Z")
_RANGE_AHEAD = re.compile(r"\s?(?:-|–|/|bis(?: zum)?|und|u\.|,)\s?\d{1,2}\.")
_FIRST_OF_RANGE = re.compile(
    r"(?<![\w.,/])(?P<d>\d{1,2})\.(?:\s?(?P<m>\d{1,2})\.?)?\s{0,2}(?:-|–|/|bis(?:\szum)?|und|u\.|,)\s{0,2}\Z"
)
_COMPACT = re.compile(rf"(?<![\w.,/-]){_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?![\w,/-]|\.\d)")
_NO_DATE = re.compile(
    r"(?:\b(?:[BHL]W[KS]?|[BHL]WS|Th|T|C|L|S|SWK|Segmente?n?|Seg\.?|Rippen?n?|ribs?|levels?|Serien?|Se\.?|"
    r"Ser\.?|series|"
    r"Bild(?:er)?|images?|im\.?|IMA|Version|Vers\.?|Nr\.?|Kapitel|vertebrae?|Wirbel\w*|Zähne|Zahn|Regio|Grad)\s?)\Z"
)
_BORN = re.compile(
    rf"(?:\bgeb\.?|\bgeboren|\bGeb\.?-?[Dd]atum|\bGeburtsdatum|\bGeb|\bborn|\bDOB|\bD\.O\.B\.?|\b[Dd]ate of birth|"
    rf"\bBirth\s?date|\bJahrgang|\bJg\.?|(?<!\*)\*(?!\*))(?:\sam|\son|\sin)?\s{{0,2}}[:.]?\s{{0,2}}"
    rf"(?P<date>\d{{1,2}}[.\-/\s]{{1,2}}\d{{1,2}}[.\-/\s]{{1,2}}\d{{2,4}}|{_YEAR}-\d\d-\d\d|\d{{8}}|\d{{6}}|"
    rf"{_YEAR})(?![\w/])"
)
_AGE = re.compile(
    r"(?<![\w.,/:-])(?P<age>9\d|1[0-2]\d)(?=(?:\s?-\s?|\s)?(?:jähr|jaehr)|\s?(?:Jahre?\salt|Lj\.|J\.|LJ)"
    r"|\.\s?Lebensjahr|[-\s]years?[-\s]old|\s?(?:yo|y/o|y\.o\.|yrs?\.?\sold|yr-old|-year-old)\b"
    r"|\s?Jahre?\b(?!\s(?:seit|vor))|\s?[JjYy]\b)"
    r"|(?:\b(?:Alter|Age|[Aa]ged|[Aa]ge|im Alter von|Alter von)\s?:?\s?)(?P<age2>9\d|1[0-2]\d)(?![\w.,/%])"
)


def dates_of(text: str) -> Iterator[Spot]:
    """All dates and birth dates of a text, and the numbers of ages over 89."""
    for match in _BORN.finditer(text):
        yield _spot(text, *match.span("date"), "date.birth")
    for match in _FULL.finditer(text):
        parts = [value for name, value in match.groupdict().items() if value is not None and name != "s2"]
        day, month = (parts[2], parts[1]) if match["y2"] else (parts[0], parts[1])
        if _exists(day, month) and not _NO_DATE.search(text, max(0, match.start() - 16), match.start()):
            yield _spot(text, *match.span(), "date.full")
            first = _FIRST_OF_RANGE.search(text, max(0, match.start() - 24), match.start())
            if first and _exists(first["d"], first["m"] or "1"):
                yield _spot(text, first.start(), first.end("m" if first["m"] else "d") + 1, "date.range")
    for match in _SHORT.finditer(text):
        if not _exists(match["d"], match["m"]):
            continue
        before = text[max(0, match.start() - 12) : match.start()]
        cued = not before or _CUED.search(before) or _RANGE_AHEAD.match(text, match.end())
        if cued and not _NO_DATE.search(before):
            yield _spot(text, *match.span(), "date.short")
    for match in _NAMED.finditer(text):
        yield _spot(text, *match.span(), "date.named")
    for match in _MONTH_YEAR.finditer(text):
        if not _NO_DATE.search(text, max(0, match.start() - 16), match.start()):
            yield _spot(text, *match.span("date" if match["date"] else "line" if match["line"] else 0), "date.month")
    for match in _COMPACT.finditer(text):
        yield _spot(text, *match.span(), "date.compact")
    for match in _AGE.finditer(text):
        yield Spot(*match.span("age" if match["age"] else "age2"), "age.over89")


def _exists(day: str, month: str) -> bool:
    """True for a day and a month, in this order or in the American one of a date with slashes."""
    one, two = int(day), int(month)
    return (1 <= one <= 31 and 1 <= two <= 12) or (1 <= two <= 31 and 1 <= one <= 12)


_NEW_SENTENCE = re.compile(r"\s*\Z|\s*\n|\s+[A-ZÄÖÜ]")


def _spot(text: str, start: int, end: int, rule: str) -> Spot:
    """A full stop that ends the date stays where it ends the sentence too: "in der VU vom 12.03. Die Leber ..."."""
    if text[end - 1] == "." and _NEW_SENTENCE.match(text, end):
        end -= 1
    return Spot(start, end, rule)
