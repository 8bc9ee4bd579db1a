"""Vertebrae and ribs by number: "BWK 11/12", "L4/5", "Th 3-5", "3.-5. Rippe rechts", "left ribs 4 to 6"."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rrg.anatomy import LABELS
from rrg.records import Lang, Span

_REGION = {"H": "C", "C": "C", "B": "T", "T": "T", "L": "L", "S": "S"}
_LAST = {"C": 7, "T": 12, "L": 5, "S": 1}
_ORDER = [f"{region}{number}" for region in "CTLS" for number in range(1, _LAST[region] + 1)]
_RANGE = r"(?:\s*(?:-|–|bis|to|through)\s*)"
_SLASH = r"(?:\s*/\s*)"
_AND = r"(?:\s*(?:,|und|and|&|u\.|sowie|oder|or)\s*)"

_NAMED = re.compile(
    r"\b(?P<region>[HBL](?:W(?:K|S)|wirbel)|SWK|(?:Hals|Brust|Lenden|Sakral)wirbel(?:körper[sn]?|[sn])?|"
    r"(?:[Cc]ervical|[Tt]horacic|[Ll]umbar)\s+vertebra[el]?(?:\s+bod(?:y|ies))?)[\s-]*"
    rf"(?P<list>\d{{1,2}}(?:(?:(?:{_RANGE}|{_SLASH})(?:[HBLS]W[KS]\s*)?|{_AND})\d{{1,2}}(?!\s*(?:mm|cm|[.,]\d)))*)(?![\d.,]*\d|\s*(?:mm|cm))"
)
_ORDINAL = re.compile(
    r"(?<![\d.,])(?P<list>\d{1,2}(?:\.|st|nd|rd|th)(?:\s*(?:-|–|/|,|und|and|bis|to)\s*\d{1,2}(?:\.|st|nd|rd|th))*)\s*"
    r"(?P<region>[HBL]WK|SWK|(?:Hals|Brust|Lenden)wirbel(?:körper[sn]?|[sn])?|"
    r"(?:cervical|thoracic|lumbar)\s+vertebra[el]?(?:\s+bod(?:y|ies))?)\b"
)
_SPELLED_LEVEL = re.compile(
    r"\b(?P<number>[Ee]rst|[Zz]weit|[Dd]ritt|[Vv]iert|[Ff]ünft|[Ss]echst|[Ss]iebt|[Ss]iebent|[Aa]cht|[Nn]eunt|[Zz]ehnt|[Ee]lft|"
    r"[Zz]wölft)e[rsnm]?\s+(?P<region>[HBL]WK|(?:Hals|Brust|Lenden)wirbel(?:körper[sn]?|[sn])?)\b"
    r"|\b(?P<number2>(?:[Ff]ir|[Ss]econ|[Tt]hir|[Ff]our|[Ff]if|[Ss]ix|[Ss]even|[Ee]igh|[Nn]in|[Tt]en|[Ee]leven|[Tt]welf)"
    r"(?:st|d|th))\s+(?P<region2>(?:cervical|thoracic|lumbar)\s+vertebra(?:l\s+body)?)\b"
)
_GERMAN = ["erst", "zweit", "dritt", "viert", "fünft", "sechst", "siebt", "acht", "neunt", "zehnt", "elft", "zwölft"]
_BARE = re.compile(
    rf"(?P<list>[CTLS](?<![\w/.-].)(?:(?<=T)[hH])?\s?(?!0)\d{{1,2}}(?:(?:(?:{_RANGE}|{_SLASH})(?:(?:C|T[hH]|T|L|S)\s?)?|{_AND})\d{{1,2}}"
    r"(?!\s*(?:mm|cm|x|[.,]\d)))*)(?![\w]|[.,]\d)(?P<word>\s+vertebra(?:l\s+bod(?:y|ies)|e)?\b)?"
)
_LEVEL = re.compile(
    r"(?P<named>[HBLS])W[KS]|(?P<region>C|T[hH]|T|L|S)?\s?(?P<number>\d{1,2})|(?P<range>-|–|bis|to|through)|(?P<slash>/)"
)
_VERTEBRAL = re.compile(
    r"(?:vertebra\w*|level|levels|at|of|Höhe|Wirbel\w*|Segment\w*|Etage|disc|disk|spine|Bandscheibe\w*|from|in|NPP|BSV)"
    r"\s+\Z",
    re.I,
)
_AFTER = re.compile(
    r"\s*(?:vertebra\w*|vertebral|level|body|compression|superior|inferior|endplate|Wirbel\w*|fracture)"
)
_TNM = re.compile(
    r"\s*[,]?\s*[cpyr]*[NM]\s?[0-3Xx]|[a-d](?![\w])|-?\s?(?:[Ww]eighted|[Ww]\b|[Ww]i\b|gewichtet|[Ss]ignal|hyper|hypo|FLAIR|TSE|STIR|Bild|Sequenz)"
)

_SPELLED_RIB = (
    r"(?:[Ff]irst|[Ss]econd|[Tt]hird|[Ff]ourth|[Ff]ifth|[Ss]ixth|[Ss]eventh|[Ee]ighth|[Nn]inth|[Tt]enth|[Ee]leventh|"
    r"[Tt]welfth)"
)
_RIB = re.compile(
    r"(?<![\d.,])(?P<list>\d{1,2}\.(?:\s*(?:-|–|/|,|und|bis|u\.)\s*\d{1,2}\.)*)\s*Rippen?\b"
    r"|\bRippen?\s+(?P<list2>\d{1,2}(?:\s*(?:-|–|/|,|und|bis)\s*\d{1,2})*)(?![\d.,]*\d|\s*(?:mm|cm))"
    r"|\b[Rr]ibs?\s+(?P<list3>\d{1,2}(?:\s*(?:-|–|/|,|,?\s*and|to|through)\s*\d{1,2})*)(?![\d.,]*\d|\s*(?:mm|cm))"
    r"|(?<![\d.,])(?P<list4>\d{1,2}(?:st|nd|rd|th)(?:\s*(?:-|–|/|,|,?\s*and|to|through)\s*\d{1,2}(?:st|nd|rd|th))*)\s+ribs?\b"
    r"|\b(?P<list5>(?:[Ff]ir|[Ss]econ|[Tt]hir|[Ff]our|[Ff]if|[Ss]ix|[Ss]even|[Ee]igh|[Nn]in|[Tt]en|[Ee]leven|[Tt]welf)"
    r"(?:st|d|th))\s+ribs?\b"
    rf"|\b(?P<list7>{_SPELLED_RIB}(?:\s*(?:-|–|/|,?\s*and|,|to|through)\s*{_SPELLED_RIB})+)\s+(?:(?:left|right)\s+)?ribs?\b"
    r"|(?<![\d.,])(?P<list8>\d{1,2}(?:st|nd|rd|th)(?:\s*(?:-|–|/|,?\s*and|,|to|through)\s*\d{1,2}(?:st|nd|rd|th))*)"
    r"\s+(?:left|right)\s+ribs?\b"
)
_ROMAN = r"(?:VIII|VII|VI|IV|IX|XII|XI|X|V|III|II|I)"
_RIB_COMPOUND = re.compile(
    r"\b(?P<stem>Rippen)(?:serien|stück)?(?:fraktur(?:en)?|br[uü]che?n?|kontusion(?:en)?|prellung(?:en)?|metastasen?|"
    r"osteolysen?|läsion(?:en)?|infraktion(?:en)?|fissur(?:en)?|anteile?n?|sinterung(?:en)?)\s+"
    r"(?:(?:li\.?|re\.?|links|rechts|linksseitig|rechtsseitig|bds\.?)\s+)?"
    r"(?P<list6>\d{1,2}(?!\d)\.?(?:\s*(?:-|–|/|,|und|u\.|bis|sowie)\s*\d{1,2}\.?)*(?!\d|[.,]\d|\s*(?:mm|cm|x\b))|"
    rf"{_ROMAN}(?:\s*(?:-|–|/|,|und|u\.|bis|sowie)\s*{_ROMAN})*(?!\w))"
)
_RIB_ROMAN = re.compile(
    rf"(?<![\w.])(?P<list7>{_ROMAN}\.?(?:\s*(?:-|–|/|,|und|u\.|bis|sowie)\s*{_ROMAN}\.?)*)\s+Rippen?\b"
    rf"|\b(?:Rippen?|Costae?)\s+(?P<list8>{_ROMAN}(?:\s*(?:-|–|/|,|und|u\.|bis|sowie)\s*{_ROMAN})*)(?!\w)"
)
_SPELLED = ["fir", "secon", "thir", "four", "fif", "six", "seven", "eigh", "nin", "ten", "eleven", "twelf"]
_SPELLED_WORD = re.compile(
    r"\b(fir|secon|thir|four|fif|six|seven|eigh|nin|ten|eleven|twelf)(?:st|d|th)\b", re.IGNORECASE
)
_RIB_PART = re.compile(r"(?P<number>\d{1,2}|[IVX]+)|(?P<range>-|–|bis|to|through)")
_VALUES = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10, "XI": 11}
_VALUES |= {"XII": 12}
RIBS = 12


class Level(NamedTuple):
    """A place on the spine or a rib, by number."""

    span: Span
    classes: tuple[str, ...]
    """Vertebrae (a disc by both its neighbours), or ribs of both sides: the side is found later."""
    rule: str
    levels: tuple[str, ...] = ()
    """``L4``, ``R5``."""


def levels_of(text: str, start: int, end: int, lang: Lang) -> list[Level]:
    """Numbered vertebrae, disc levels and ribs in ``text[start:end]``, rule by rule."""
    part = text[start:end]
    patterns: list[tuple[re.Pattern[str], str]] = []
    if "irbel" in part or "ertebra" in part or "WK" in part or "WS" in part:
        patterns += _OF_VERTEBRAE
    if _BARE_AT.search(part):
        patterns += _OF_LEVELS
    if "rib" in part or "Rib" in part or "Ripp" in part or "Costa" in part:
        patterns += _OF_RIBS
    return list(_levels(patterns, text, start, end, lang)) if patterns else []


def _levels(
    patterns: Sequence[tuple[re.Pattern[str], str]], text: str, start: int, end: int, lang: Lang
) -> Iterator[Level]:
    taken: list[Span] = []
    for pattern, rule in patterns:
        for match in pattern.finditer(text, start, end):
            span = match.span()
            if any(span[0] < last and first < span[1] for first, last in taken):
                continue
            if rule == "rib-compound":
                parts = [part for part in match.groups() if part]
                span = match.span("stem")
                classes = _ribs(parts[-1])
                named = tuple(dict.fromkeys(f"R{name.rpartition('_')[2]}" for name in classes))
            elif rule == "rib":
                classes = _ribs(next(part for part in match.groups() if part))
                named = tuple(dict.fromkeys(f"R{name.rpartition('_')[2]}" for name in classes))
                own = next((side for side in ("left", "right") if f" {side} " in match[0]), None)
                classes = tuple(name for name in classes if own is None or f"_{own}_" in name)
            else:
                named = _named(match, rule, text, start, end, lang)
                classes = tuple(f"vertebrae_{each}" for each in named)
            if classes:
                taken.append(span)
                yield Level(span, classes, rule, named)


def _named(match: re.Match[str], rule: str, text: str, start: int, end: int, lang: Lang) -> tuple[str, ...]:
    """The levels that a match names, from above; none when one of them does not exist."""
    if rule == "vertebra-spelled":
        return _spelled(match)
    if rule == "level":
        if match[0][0] == "T" and _HORMONES.search(text, start, end):
            return ()
        return tuple(_walk(None, match["list"])) if _is_level(match, text, start, end, lang) else ()
    return tuple(_walk(_REGION[match["region"][0].upper()], match["list"]))


_HORMONES = re.compile(r"\b(?:TSH|TRH|f?T[34][-\s]?(?:Wert|Spiegel)|fT[34])|[Tt]hyroxin|[Tt]hyroid function")
""" "TSH, T3 und T4": hormones of the thyroid."""
_OF_VERTEBRAE = ((_NAMED, "vertebra"), (_ORDINAL, "vertebra-ordinal"), (_SPELLED_LEVEL, "vertebra-spelled"))
_OF_LEVELS = ((_BARE, "level"),)
_OF_RIBS = ((_RIB, "rib"), (_RIB_ROMAN, "rib"), (_RIB_COMPOUND, "rib-compound"))
_BARE_AT = re.compile(r"[CTLS][hH]?\s?\d")
"""What a text has at least where a bare level stands."""


def _spelled(match: re.Match[str]) -> tuple[str, ...]:
    """ "Erster Lendenwirbelkörper", "first lumbar vertebra"."""
    if match["number"]:
        number, region = _GERMAN.index(match["number"].lower().replace("siebent", "siebt")) + 1, match["region"]
        return tuple(_walk(_REGION[region[0].upper()], str(number)))
    number = _SPELLED.index(re.sub(r"(?:st|d|th)\Z", "", match["number2"].lower())) + 1
    region = {"c": "C", "t": "B", "l": "L"}[match["region2"][0]]
    return tuple(_walk(_REGION[region], str(number)))


def _is_level(match: re.Match[str], text: str, start: int, end: int, lang: Lang) -> bool:
    """Keep "L4/5" and "C5"; refuse T2 (sequence, TNM) and S1 (segment, series) without a word of the spine."""
    before, after = text[max(start, match.start() - 40) : match.start()], text[match.end() : min(end, match.end() + 40)]
    if match["word"]:
        return True
    if _ROOT_BEFORE.search(before) or _ROOT_AFTER.match(after):
        return False
    if _TNM.match(after) or re.search(
        r"\b(?:Hepatitis|Typ|LK|Level|Vitamin|Station|complement|Komplement\w*|Serum|factor|Faktor)\s*\Z",
        before,
    ):
        return False
    found = match["list"]
    if found[0] == "S" and re.search(r"\b(?:Segment\w*|segments?|Seg\.?)\s*\Z", before):
        return False
    if (
        found.startswith("L")
        or found.startswith(("Th", "TH"))
        or ("/" in found and re.search(r"[A-Z].*[A-Z]|^[CT]\s?\d+/", found))
    ):
        return True
    if found[0] == "C" and len(found) > 1:
        return True
    return bool(_VERTEBRAL.search(before) or _AFTER.match(after) or _listed(text, match, start, end))


def _listed(text: str, match: re.Match[str], start: int, end: int) -> bool:
    """ "T6 and T7", "T1, T2 and T3": a list of thoracic levels that are not all names of MR sequences."""
    first, last = match.start(), match.end()
    if (behind := _LIST_ON.match(text, last, min(end, last + 60))) is not None:
        last = behind.end()
    window = text[max(start, first - 60) : first]
    if (ahead := _LIST_BACK.search(window)) is not None:
        first -= len(window) - ahead.start()
    levels = _THORACIC.findall(text[first:last])
    return len(levels) > 1 and any(int(level) > _SEQUENCES for level in levels) and not _TNM.match(text[last:end][:40])


_LIST_ON = re.compile(r"(?:\s*(?:,|and|und|or|oder|&|sowie)\s*T[hH]?\s?\d{1,2}(?:\s*[-–/]\s*\d{1,2})?)+")
_LIST_BACK = re.compile(r"(?:T[hH]?\s?\d{1,2}(?:\s*[-–/]\s*\d{1,2})?\s*(?:,|and|und|or|oder|&|sowie)\s*)+\Z")
_THORACIC = re.compile(r"T[hH]?\s?(\d{1,2})")
_SEQUENCES = 2
"""T1 and T2 are weightings of MR as well."""
_ROOT_BEFORE = re.compile(r"(?:[Ww]urzeln?|[Ss]pinalnerv\w*|nerve\s+roots?|\broots?)\s+\Z")
_ROOT_AFTER = re.compile(
    r"[\s-]*(?:nerve|roots?\b|Wurzel\w*|Nervenwurzel\w*|Spinalnerv|Syndrom|dermatom|radikul|radicul)", re.I
)


def _walk(region: str | None, listed: str) -> list[str]:
    """Levels of a list. Empty when one of them does not exist."""
    found: list[str] = []
    ranged = False
    for part in _LEVEL.finditer(listed):
        if part["range"]:
            ranged = True
        elif part["slash"]:
            continue
        elif part["named"]:
            region = _REGION[part["named"]]
        else:
            region = _REGION[part["region"][0]] if part["region"] else region
            level = f"{region}{int(part['number'])}"
            if level not in _ORDER and found and part["region"] is None:  # L5/1 stands for L5/S1
                level = {"L": "S", "C": "T", "T": "L"}.get(region or "", "") + str(int(part["number"]))
            if level not in _ORDER:
                return []
            if ranged and found:
                first, last = _ORDER.index(found[-1]), _ORDER.index(level)
                found.extend(_ORDER[first + 1 : last])
            ranged = False
            found.append(level)
    return list(dict.fromkeys(found))


def _ribs(listed: str) -> tuple[str, ...]:
    listed = _SPELLED_WORD.sub(lambda each: str(_SPELLED.index(each[1].lower()) + 1), listed)
    spelled = re.sub(r"(?:st|nd|rd|th|d)\Z", "", listed.lower())
    numbers: list[int] = []
    if spelled in _SPELLED:
        numbers = [_SPELLED.index(spelled) + 1]
    else:
        ranged = False
        for part in _RIB_PART.finditer(listed):
            if part["range"]:
                ranged = True
            else:
                written = part["number"]
                number = _VALUES.get(written, 0) or (int(written) if written.isdecimal() else 0)
                if ranged and numbers:
                    numbers.extend(range(numbers[-1] + 1, number))
                ranged = False
                numbers.append(number)
    if not numbers or not all(1 <= number <= RIBS for number in numbers):
        return ()
    names = (f"rib_{side}_{number}" for number in dict.fromkeys(numbers) for side in ("left", "right"))
    return tuple(name for name in names if name in LABELS)
