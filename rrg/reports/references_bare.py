"""References of numbers alone, in brackets: "(4:38)", "(3; 47)", "(4/123)", "(3.47)"."""

import re
from collections.abc import Iterator

from rrg.reports.references_words import DATED, OPEN, SAID_BEFORE, SEP, TO, Found, numbers

_BRACKET = re.compile(r"[(\[]([^()\[\]]{3,80})[)\]]")
_MM = r"\d{1,3}(?:[.,]\d)?(?:\s*x\s*\d{1,3}(?:[.,]\d)?){0,2}\s*(?:mm|cm)"
_PLANE = r"(?:ax(?:ial|\.)?|cor(?:onal|\.)?|kor(?:onar|\.)?|sag(?:ittal|\.)?|trans(?:versal|verse)?\.?):?"
_ARROW = r"(?:arrow(?:head)?s?|Pfeile?|markiert|marked|annotated|key image)"
_INTRO = re.compile(
    r"\s*(?:(?:s\.|siehe|see\b|vgl\.|cf\.?|z\.\s?B\.|e\.g\.,?|eg|for example,?|exemplarisch|"
    r"(?:best\s+)?(?:seen|shown|marked|annotated|demonstrated|visualized)(?:\s+best)?\s+(?:on|at|in)|"
    rf"{_PLANE}|{_ARROW}\s*[,;:]?|"
    rf"{_MM}\s*[,;]|{SAID_BEFORE}(?:\s+on)?|on|at)\s*)?",
    re.IGNORECASE,
)
_BARE = re.compile(
    rf"(?P<series>\d{{1,4}})(?P<sep>\s*[:;]\s*|/|\.|,\s+|-)"
    rf"(?P<images>(?<=\d:)\d{{1,4}}(?:/\d{{1,4}}){{2,9}}(?![\d/])|"
    rf"\d{{1,4}}(?!\d)(?:(?:{TO}|{SEP})\d{{1,4}}(?!\d|\s?[:/]\s?\d|[.,]\d|\s?(?:mm|cm|x)\b)|{OPEN})*)\*?"
    rf"(?=\s*(?:;|\Z|,\s*(?:{_MM}|{_ARROW})\s*\Z|(?:,?\s*(?:\band\b|\bund\b|&)|,)\s*(?:(?:{SAID_BEFORE}|{_PLANE})\s+)?\d{{1,3}}\s?[:/]))",
    re.IGNORECASE,
)
_NOT_A_REFERENCE = re.compile(
    r"\b(?:Segment\w*|Seg\.?|Rippen?|[Rr]ibs?|Wirbel\w*|[Vv]ertebra\w*|[Ss]egments?|[Nn]orm\w*|[Rr]ange|[Rr]eferenz\w*|HU|HE|Seiten?|[Pp]ages?|Grad\w*|Grade|Score|Stadium|Stage|[BLH]WK|\w*RADS|Gleason|Kraftgrad\w*|Kraft|Janda|Verhältnis|"
    r"ratio|um|at|Uhr|TNM|Bosniak|Ratio|c?p?y?N[0-3]\w?|Skala|scale|[Pp]ain|[Vv]isi?on|[Vv]isus|acuity|Visusminderung|positive|positiv|befallen|involved|(?:[Gg]rade|[Ss]core|Gleason|[Pp]ain)\s\d{1,2}|APGAR|Apgar|GCS|VAS|NRS|Höhe|Level|level|Ki-?67|e?GFR|INR|PSA|CEA|CRP|EF|FEV1|MIB-?1|RR|BP|Blutdruck|[Pp]ressure|\w*[Vv]erdünn\w*|[Dd]ilut\w*|\bL|\bC|\bTh|\bT)\s*\Z"
)
_NODES = re.compile(r"\b(?:[Nn]odes|Lymphknoten|LN|LK)\s*\Z")
_NODES_ALONE = re.compile(r"\s*(?:[Ll]ymph\s)?(?:[Nn]odes|Lymphknoten|LN|LK)\s*\Z")
_COUNTED = re.compile(
    r"\s*(?:(?:were|are|waren|sind)\s+)?(?:negative?|positive?|involved|metasta\w+|tumou?r-?\s?frei|free|befallen)\b",
    re.IGNORECASE,
)
_NOTHING = re.compile(r"\s*[.,;]?\s*\Z")
_NO_NUMBERS_LEFT = re.compile(rf"(?:{_MM}|{_ARROW})\s*\Z", re.IGNORECASE)
_BETWEEN = re.compile(rf"\s*(?:[;,]?\s*(?:and\b|und\b|&)|[;,])?\s*(?:(?:{SAID_BEFORE}|{_PLANE})\s+)?", re.IGNORECASE)
_DATE_WORD = re.compile(
    r"(?:\b(?:ab|bis|until|till|im|Jahr|Monat|CT|MRT|MRI|OP|VU|PET|seit|vom|von|ED|since|dated|from|in|surgery|scan|study|therapy|Chemo\w*|Bestrahlung|EVAR|"
    r"Erstdiagnose|Implantation|diagnosed)|Vor\w*|\w*ektomie|\w*ectomy|\w*resektion|\w*therapie|\w*karzinom|\w*carcinoma|[Zz]\.\s?n\.\s?\w+)\s*\Z"
)
"""What a month stands behind: "Z. n. Nephrektomie (4/18)"."""


def bare(text: str, start: int, end: int) -> Iterator[Found]:
    """Numbers alone, in brackets only. The lowest confidence; those that may be a date or a range have rule `DOUBT`,
    unless a sure one stands in the same bracket.
    """
    for bracket in _BRACKET.finditer(text, start, end):
        parts = _parts(bracket)
        if not parts:
            continue
        before = text[max(start, bracket.start() - 30) : bracket.start()]
        if _NOT_A_REFERENCE.search(before) or "Uhr" in text[bracket.end() : bracket.end() + 5]:
            continue
        if _DATE_WORD.search(before) and any(_dates(text[slice(*part.span)]) for part in parts):
            continue
        if _counts_nodes(text, start, end, bracket):
            continue
        if DATED.match(text, bracket.end(), end):
            parts = [part._replace(dated=True) for part in parts]
        sure = any(part.rule not in (DOUBT, DECIMAL) for part in parts)
        yield from (part._replace(rule="") if sure else part for part in parts)


_ONE_PAIR = rf"\d{{1,4}}[:/]\d{{1,4}}(?:{TO}\d{{1,4}}(?!\d))?"
_PAIRED = re.compile(rf"(?P<series>\d{{1,4}})(?P<sep>[:/])(?P<images>\d{{1,4}}(?:{TO}\d{{1,4}}(?!\d))?)", re.IGNORECASE)
_ENDS = r"(?![\w/:]|[.,]\d|\s*(?:mm|cm|ml|%|Uhr)\b)"
_INTRODUCED = re.compile(
    r"(?:(?<!\w)(?:(?:Bild|Schicht|Serien)?referenz(?:en|bild(?:er)?)?|Schlüsselbild(?:er)?|key\s+(?:images?|slices?)|"
    r"(?:image\s+)?references?|Ref\.)\s*:?\s*"
    rf"(?P<named>{_ONE_PAIR}(?:(?:\s*[,;]\s*|\s+(?:und|and)\s+){_ONE_PAIR})*)"
    rf"|(?<=[mc]m),\s+(?P<sized>{_ONE_PAIR})(?=\s*(?:[.;)](?!\d)|\Z))){_ENDS}",
    re.IGNORECASE,
)
""" "Bildreferenz: 5/88, 4/12"; and, as the last word of a clause, behind a size: "Lipom, 43 x 20 mm, 5/88."."""

_INTRODUCING = re.compile(r"[RrSsKkm](?:ef|chlüssel|ey|(?<=[mc]m),)", re.IGNORECASE)


def introduced(text: str, start: int, end: int) -> Iterator[Found]:
    """Numbers alone outside of brackets that a word for references introduces, or that close a clause behind a size:
    those that may be a date only behind the word.
    """
    if _INTRODUCING.search(text, start, end) is None:
        return
    for match in _INTRODUCED.finditer(text, start, end):
        group = "named" if match["named"] else "sized"
        for pair in _PAIRED.finditer(text, *match.span(group)):
            rule = _rule(pair)
            images, open_end = numbers(pair["images"])
            if images and (rule == "" or (rule is not None and group == "named")):
                yield Found(pair.span(), int(pair["series"]), images, open_end, False, "")


def _counts_nodes(text: str, start: int, end: int, bracket: re.Match[str]) -> bool:
    """Nodes of those removed: "Nodes (3/45) negative", "Lymphknoten (3/45) befallen", "Nodes (3/45)." alone."""
    if not _NODES.search(text, max(start, bracket.start() - 15), bracket.start()):
        return False
    if _COUNTED.match(text, bracket.end(), end):
        return True
    alone = _NODES_ALONE.match(text, start, bracket.start()) is not None
    return alone and _NOTHING.match(text, bracket.end(), end) is not None


_WRITTEN = re.compile(r"(\d{1,2})(/|-)(\d{2})")


def _dates(written: str) -> bool:
    """Numbers that are a month or a range behind the word of an event: "(4/18)", "(4/98)", "(3-24)"."""
    match = _WRITTEN.fullmatch(written)
    return match is not None and (match[2] == "-" or int(match[1]) <= _MONTHS)


def _parts(bracket: re.Match[str]) -> list[Found]:
    """The references of a bracket that holds nothing else; none when it does."""
    inside, origin = bracket[1], bracket.start(1)
    intro = _INTRO.match(inside)
    at = intro.end() if intro else 0
    parts: list[Found] = []
    while at < len(inside):
        match = _BARE.match(inside, at)
        images, open_end = numbers(match["images"]) if match else ((), False)
        rule = _rule(match) if match and images else None
        if match is None or rule is None:
            return []
        span = (origin + match.start(), origin + match.end())
        parts.append(Found(span, int(match["series"]), images, open_end, False, rule))
        after = _BETWEEN.match(inside, match.end())
        at = after.end() if after else len(inside)
        at = len(inside) if _NO_NUMBERS_LEFT.match(inside, at) else at
    return parts


DECIMAL = "bare,?"
"""Rule of numbers that may be a value ("(3.47)", "(3, 47)"): a finding or a size must stand in front."""
DOUBT = "bare?"
"""Rule of numbers that a reader tells from a date or a range by what stands in front: see `rrg.reports.cited`."""
PACS_SERIES = re.compile(r"[2-9]0[1-9]|1\d0[1-9]")
"""Numbers of series that are counted in hundreds: 201, 1101; 400 may be the width of a window."""
LAST_YEAR = 35
"""Of two digits: "(2/18)" may be February 2018 or nodes 2 of 18, "(3/45)" is a reference."""
_MONTHS = 12
_LEAST_OF_RANGE = 20
"""A smaller number behind a hyphen counts ribs, vertebrae, segments, weeks."""


def _rule(match: re.Match[str]) -> str | None:
    """ "" for a reference, `DOUBT`, or None: dates ("04/2018"), clock times, ratios ("2:1"), pressures ("120/80")."""
    series, sep, images = match["series"], match["sep"].strip(), match["images"]
    first = re.match(r"\d+", images)
    image = int(first.group()) if first else 0
    if series.startswith("0") or images.startswith("0"):
        return None
    by_hundreds = PACS_SERIES.fullmatch(series) is not None
    if len(series) > len("999") and not by_hundreds:
        return None
    if sep == ":":
        clock = len(series) == len(images) == 2 and int(series) < 24 and image < 60
        return "" if (image > 1 or len(series) > 2) and not clock else None
    if sep == "/":
        month = int(series) <= _MONTHS
        if month and 1900 <= image < 2100:
            return None
        if month and 10 <= image < LAST_YEAR and image > int(series):
            return DOUBT
        return "" if image >= 10 and (image > int(series) or by_hundreds) else None
    if sep == "-":
        single = images.isdecimal() and image >= _LEAST_OF_RANGE and (int(series) <= 9 or by_hundreds)
        return DOUBT if single else None
    if sep == ".":
        return DECIMAL if 10 <= image < 1000 and len(images) <= 3 else None
    if sep == ",":
        return DECIMAL if image >= 10 else None
    return "" if image > 2 else None
