"""Slice references: "(Serie 3, Bild 45)", "Bilder 45, 47 und 50 der Serie 2", "(3:12-14)", "(IMA 12)"."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rrg.records import Span

MOST_IMAGES = 2000
"""A longer range is a typing error: only its two ends count."""

_SERIES = r"(?:Serien?[- ]?(?:nummer|nr\.?)?|Ser\.?|Se\.?|series|S)"
_IMAGE = (
    r"(?:Bild(?:ern|er|es)?|Bild[- ]?(?:nummern?|nr)\.?|B\.?|Im\.?|IMA|Ima\.?|Schicht(?:en)?|Schicht-?nr\.?|Aufnahmen?|"
    r"images?|imgs?\.?|im\.?|slices?|cuts?|frames?)"
)
_CLEAR_IMAGE = (
    r"(?:Bild(?:ern|er)?|Bild[- ]?(?:nummern?|nr)\.?|IMA|Ima\.?|Schicht(?:en)?|Schicht-?nr\.?|images?|"
    r"imgs?\.?|slices?|frames?)"
)
_NO = r"(?:\s*(?:numbers?|nos?|nr)\b\.?)?\s*[:#=]?\s*"
"""What may stand between the word and its number: "image no. 45", "series #3"."""
_PLANE = r"(?:(?:axial|ax\.?|transversal|koronar|coronal|cor\.?|sagittal|sag\.?|native?)\w*\s+)?"
_SAID_BEFORE = r"(?:previously|prev\.?|prior|formerly|before|zuvor|vormals|VU)"
_PLANE_BEHIND = r"(?:\s*\(?(?:axial|coronal|sagittal|axial images|coronal images|sagittal images|images)\)?)?"
_UNIT = r"(?:mm|cm|ml|%|HE|HU|Uhr|o'clock|am\b|pm\b|a\.m|p\.m|h\b|s\b|min\b|kg|mg|Jahre|years|°|\w)"
_DATE = r"\d{1,2}\.\s?\d{1,2}\.(?:\s?\d{2,4})?|\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}|\[DATE\]"
_GOES_ON = (
    r"(?:at|near|within|which|that|where|but|without|to|for|by|as|was|were|has|have|had|likely|probably|possibly|unchanged|"
    r"stable|compar\w+|correspond\w+|consistent|suggest\w*|again|also|there|it|now|may|might|could|would|will|only|best|"
    r"measur\w+|demonstrat\w+|represent\w*|appear\w*|contain\w*|reveal\w*|showing|shown|seen|visible|reflect\w*|abut\w*|"
    r"extend\w*|involv\w*|remain\w*|grew|grown|increas\w*|decreas\w*|resolv\w*|persist\w*|indicat\w*|exhibit\w*|if|"
    r"when|while|whereas|although|though|because|due|since|per|via|after|before|during|than|versus|vs|not|no|among|along|"
    r"adjacent|around|above|below|behind|prev|prior|previous|formerly|currently|inclusive|respectively|for)\b"
)
"""English words that a sentence goes on with behind a number of an image, and that no number counts."""
_LOOSE = (
    r"(?=\s+(?!(?:mm|cm|ml|mg|kg|sec|min|ms|kv|hu|thick|small|large|tiny|other|further|additional|more|separate|simple|new|"
    r"enlarged|calcified|hour|day|week|month|year|minute|second|phase|am|pm|of|in|x|uhr)\b|\w+s\b)(?:an?\b|[a-z]{2}))"
)
"""Behind the only number of an English image word any word may stand, but what a number may count."""
_ENGLISH = ("image", "img", "slice", "frame")
# a number of a list must not go on as a decimal, a date, a size, a count ("3 Herde") or an ordinal ("4. Segment")
_NUM = r"\d{1,4}(?!\d)(?![.,]\d)(?!\s*[x×]\s*\d)"
_NEXT = (
    r"(?=\*?\s*(?:[),;.:\]/(?!]|\Z|und\b|and\b|u\.|bis\b|to\b|through\b|thru\b|till\b|until\b|oder\b|or\b|sowie\b|&|-|–|ff?\b|of\b|in\b|der\b|"
    r"von\b|aus\b|from\b|des\b|on\b|auf\b|noch\b|nicht\b|the\b|Serie|Ser\b|Se\b|series|ser\b|S\d|vom\b|zeigt|is\b|are\b|"
    r"im\b|am\b|mit\b|with\b|gut\b|abgrenzbar|dargestellt|shows?\b|siehe|vgl|cf\b|aktuell|current|zuvor|previously|[}|]|\+(?!\d)|"
    rf"{_GOES_ON})|[\"']|"
    r"\s+(?!(?:Stunde|Tag|Woche|Monat|Jahr|Minute|Sekunde|Uhr|Ebene|Sequenz|Phase|Prozent)\w*)(?-i:[A-ZÄÖÜ][a-zäöüß]))"
)
_SEP = r"\s*(?:,?\s*(?:und|and|u\.|oder|or|sowie|&)|,|/|;)\s*"
_TO = r"\s*(?:-|–|bis|to|through|thru|till|until)\s*"
_OPEN = (
    r"(?:\s?ff?\b\.?|\s?\+(?!\s?\d)|,?(?:\s+and)?\s+(?:onwards?|upwards?|beyond|thereafter)\b|"
    r",?\s+(?:and|und|sowie)\s+(?:(?:the|all|on)\s+)*(?:following|subsequent|folgende[nr]?|successive|next)\b"
    r"(?:\s+(?:images?|slices?|frames?|ones?|Bilder[n]?|Schichten))?)"
)
"""What says that more images follow: "45 ff", "45 onwards", "45 and following"."""
_MORE = rf"{_OPEN}?"
_AGAIN = r"(?:Bild|image|Im\.|IMA)\s+"
_TO_AGAIN = rf"{_TO}(?:(?:Bild|Schicht|image|slice|frame|img\.?|im\.?)\s+)?"
LIST = (
    rf"(?:\d{{1,4}}(?:,\d{{1,4}}){{1,20}}(?!\d|[.,]\d){_NEXT}|"
    rf"{_NUM}\s+(?:out\s+)?of\s+\d{{2,4}}(?!\d|[.,]\d){_NEXT}|"
    rf"{_NUM}{_MORE}{_NEXT}(?:(?:{_TO_AGAIN}|{_SEP}){_NUM}{_MORE}{_NEXT})*|{_NUM}{_OPEN}(?!\w))\*?(?!\s*{_UNIT}(?<=[\d%]))"
)
_LISTED = rf"(?:{LIST}|{_NUM}{_LOOSE})"
_NAMED_LIST = rf"(?>{LIST}(?!{_SEP}{_AGAIN}\d)|{_NUM}{_NEXT}(?:{_SEP}{_AGAIN}{_NUM}{_NEXT}){{1,9}})"
_ORDINAL_AHEAD = r"(?!\.\s+\w)"
_WHEN = rf"(?:\s*(?:vom|from|of|on|am)\s+(?:{_DATE}))?"

_SERIES_IMAGE = re.compile(
    rf"(?<![\w.])(?P<series_word>{_SERIES}){_NO}(?P<series>\d{{1,6}})(?!\d)(?![.,]\d)(?P<when>{_WHEN})"
    rf"\s*(?:[,;:/(\-–|]|:\s*)?\s*(?:(?:at|on|auf|an)\s+)?{_PLANE}(?P<image_word>{_IMAGE}){_NO}(?P<images>{_LISTED}){_ORDINAL_AHEAD}",
    re.IGNORECASE,
)
_IMAGE_SERIES = re.compile(
    rf"(?<![\w.])(?P<image_word>{_IMAGE}){_NO}(?P<images>{_NAMED_LIST})(?:\s+(?:von|of)\s+\d{{2,4}}(?![\d.]))?\s*[,;:/(\-–]?\s*"
    rf"(?:(?:of|in|der|in der|von|aus|aus der|on|auf|from|auf der)\s+)?(?:(?:the|der)\s+)?{_PLANE}"
    rf"(?:(?:[a-z][\w-]*\s+){{0,3}}(?:series|sequence|images?|reconstructions?|reformats?|scan|phase|stack|acquisition|window)"
    rf"\s*[,(]\s*)?"
    rf"(?P<series_word>{_SERIES}){_NO}(?P<series>\d{{1,6}})(?!\d)(?![.,]\d)",
    re.IGNORECASE,
)
_COMPACT = re.compile(
    r"(?<![\w.])S\s?:?\s?(?P<series>\d{1,4})\s?[/,;:-]?\s?[BI]\s?:?\s?"
    r"(?P<images>\d{1,4}(?:\s?[-–]\s?\d{1,4})?)(?!\w|[.,]\d)"
)
_SERIES_LIST = re.compile(
    rf"(?<![\w.])(?P<series_word>Serie|Ser\.?|Se\.?|series)(?:{_NO}(?P<series>\d{{1,4}}){_PLANE_BEHIND}\s*:\s*"
    rf"(?P<images>{LIST})(?=\s*(?:[)\];]|[.,](?!\d)|\Z))|{_NO}(?P<series2>\d{{1,4}})\s?/\s?(?P<images2>{_NUM})"
    r"(?=\s*(?:[)\];]|[.,](?!\d)|\Z)))",
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
    rf"(?:(?<=\bon )|(?<=\bsee )|(?<=\bat )|(?<=\bof )|(?<=, ))(?P<image_word>im)\.?\s?(?P<images>{LIST})"
    r"(?=\s*(?:[)\],;:]|\.\s*\Z|\.\s+[A-Z]|\Z))",
    re.IGNORECASE,
)
""" "on im 71/120"."""
_IMAGE_ONLY = re.compile(
    rf"(?<![\w.])(?P<image_word>{_CLEAR_IMAGE}){_NO}(?P<images>{_LISTED}){_ORDINAL_AHEAD}", re.IGNORECASE
)
_IMAGE_BRACKET = re.compile(
    rf"(?<=[(\[])\s*(?:(?:s\.|siehe|see|vgl\.|cf\.?|z\.\s?B\.|e\.g\.,?|exemplarisch)\s*)?"
    rf"(?P<image_word>{_IMAGE}){_NO}(?P<images>{LIST})(?=\s*[)\],;])",
    re.IGNORECASE,
)
_SERIES_ONLY = re.compile(
    rf"(?<![\w.])(?:Serien?[- ]?(?:nr\.?)?|series|Ser\.?|Se\.?){_NO}(?P<series>\d{{1,6}})(?!\d)(?![.,]\d)"
    r"(?!\s*(?:mm|cm|Aufnahmen|Bilder|images))",
    re.IGNORECASE,
)
_BRACKET = re.compile(r"[(\[]([^()\[\]]{3,80})[)\]]")
_MM = r"\d{1,3}(?:[.,]\d)?(?:\s*x\s*\d{1,3}(?:[.,]\d)?){0,2}\s*(?:mm|cm)"
_INTRO = re.compile(
    r"\s*(?:(?:s\.|siehe|see\b|vgl\.|cf\.?|z\.\s?B\.|e\.g\.,?|eg|for example,?|exemplarisch|"
    r"(?:best\s+)?(?:seen|shown|marked|annotated|demonstrated|visualized)(?:\s+best)?\s+(?:on|at|in)|"
    r"ax(?:ial|\.)?|cor(?:onal|\.)?|sag(?:ittal|\.)?|"
    rf"{_MM}\s*[,;]|{_SAID_BEFORE}(?:\s+on)?|on|at)\s*)?",
    re.IGNORECASE,
)
_BARE = re.compile(
    rf"(?P<series>\d{{1,3}})(?P<sep>\s*[:;]\s*|/|\.|,\s+)"
    rf"(?P<images>\d{{1,4}}(?!\d)(?:(?:{_TO}|{_SEP})\d{{1,4}}(?!\d|\s?[:/]\s?\d|[.,]\d|\s?(?:mm|cm|x)\b)|{_OPEN})*)\*?"
    rf"(?=\s*(?:;|\Z|,\s*{_MM}\s*\Z|(?:,?\s*(?:\band\b|\bund\b|&)|,)\s*(?:{_SAID_BEFORE}\s+)?\d{{1,3}}\s?[:/]))",
    re.IGNORECASE,
)
_NOT_A_REFERENCE = re.compile(
    r"\b(?:Segment\w*|Seg\.?|Grad\w*|Grade|Score|Stadium|Stage|[BLH]WK|\w*RADS|Gleason|Kraftgrad\w*|Kraft|Janda|Verhältnis|"
    r"ratio|um|at|Uhr|TNM|Bosniak|Ratio|c?p?y?N[0-3]\w?|Skala|scale|[Pp]ain|[Vv]isi?on|[Vv]isus|acuity|Visusminderung|positive|positiv|befallen|involved|(?:[Gg]rade|[Ss]core|Gleason|[Pp]ain)\s\d{1,2}|APGAR|Apgar|GCS|VAS|NRS|Höhe|Level|level|\bL|\bC|\bTh|\bT)\s*\Z"
)
_NUMBERS = re.compile(
    r"(?P<number>\d{1,4})(?P<more>" + _OPEN + r")?|(?P<to>-|–|bis|to\b|through|thru|till|until)", re.IGNORECASE
)
_MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)"
)
_DAY = rf"(?:{_DATE}|(?:\d{{1,2}}\s+)?{_MONTHS}\.?\s+(?:\d{{1,2}},?\s+)?\d{{4}}|(?:19|20)\d\d\b)"
_STUDY = r"(?:CTA?|MRI?|MRA|PET(?:[-/]CT)?|scan|study|exam(?:ination)?|angiogram)"
_LABELLED_BEFORE = re.compile(
    r"\b(?:prior|previous|previously|formerly|old|zuvor|alt|vorher|VU|Vorbefund|Voraufnahme|Voruntersuchung)\s*:\s*\Z",
    re.IGNORECASE,
)
"""A label of an earlier study right in front: "prior: series 12, image 81"."""
_DATED = re.compile(
    rf"\s*,?\s*(?:am|vom|from|of|on|dated)\s+(?:(?:{_DATE})|(?:the\s+)?(?:[a-z]+\s+)?{_STUDY}\s+"
    rf"(?:(?:of|from|dated|on|in|performed\s+on)\s+)?{_DAY})",
    re.IGNORECASE,
)
_DATED_BEFORE = re.compile(
    rf"\b(?:dated|{_STUDY}\s+(?:of|from|on|dated))\s+{_DAY}\s*[,:(]?\s*(?:on\s+)?\Z", re.IGNORECASE
)


_SIZE_LEFT = re.compile(rf"{_MM}\s*\Z")
_BETWEEN = re.compile(rf"\s*(?:[;,]?\s*(?:and\b|und\b|&)|[;,])?\s*(?:{_SAID_BEFORE}\s+)?", re.IGNORECASE)
_DATE_WORD = re.compile(
    r"(?:\b(?:ab|bis|until|till|im|Jahr|Monat|CT|MRT|MRI|OP|VU|PET|seit|vom|von|ED|since|dated|from|in|surgery|scan|study|therapy|Chemo\w*|Bestrahlung|EVAR|"
    r"Erstdiagnose|Implantation|diagnosed)|Vor\w*|\w*ektomie|\w*ectomy|\w*resektion|\w*therapie|\w*karzinom|\w*carcinoma|[Zz]\.\s?n\.\s?\w+)\s*\Z"
)
"""What a month stands behind: "Z. n. Nephrektomie (4/18)"."""


class Found(NamedTuple):
    """A reference as written."""

    span: Span
    series: int | None
    """As written; None: to be carried over."""
    images: tuple[int, ...]
    """Empty: the series alone is named."""
    open_end: bool
    dated: bool
    """A date stands with it: an earlier study."""
    rule: str


def references_of(text: str, start: int, end: int) -> list[Found]:
    """References in ``text[start:end]``, in text order, without overlap; the surest rules first."""
    if not (_DIGIT if _ADDED else _WORTH).search(text, start, end):
        return []
    found: list[Found] = []
    taken: list[Span] = []
    for rule, matches in (*_ADDED, *_RULES):
        for one in matches(text, start, end):
            first, last = one.span
            if not any(first < b and a < last for a, b in taken):
                taken.append(one.span)
                found.append(one._replace(rule=rule))
    return sorted(found, key=lambda one: one.span)


_DIGIT = re.compile(r"\d")
_WORTH = re.compile(
    r"(?:[Ss]er|SER|[Ss]e\b|SE\b|\bS\s?\d|[Bb]il|BILD|\b[Bb]\.|[Ii]m\b|[Ii]m[ag]|IM|[Ss]chicht|[Aa]ufnahm|[Ss]lice|SLICE|[Ff]rame|\b[Cc]uts?\b)"
    r"[^\d\n]{0,40}\d|[(\[][^\d()\[\]]{0,20}\d"
)
"""What every reference of ours has; added patterns may look different."""


def _written(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[Found]:
    for match in pattern.finditer(text, start, end):
        parts = match.groupdict()
        if not _plausible(parts.get("series_word"), parts.get("image_word")) or not _loosely(parts, text, match.end()):
            continue
        if pattern is _SERIES_IMAGE and _OWNED.search(text, max(start, match.start() - 60), match.start()):
            continue
        listed = _of_total(parts.get("image_word"), parts["images"])
        if _BETWEEN_TWO.search(text, max(start, match.start() - 12), match.start()):
            listed = _AND_TWO.sub(" - ", listed)
        images, open_end = numbers(listed)
        if not images:
            continue
        first = max(start, match.start() - 60)
        series = int(parts["series"]) if parts.get("series") else None
        dated = bool(parts.get("when") or _DATED.match(text, match.end(), end))
        dated = dated or _DATED_BEFORE.search(text, first, match.start()) is not None
        dated = dated or _LABELLED_BEFORE.search(text[max(start, match.start() - 25) : match.start()]) is not None
        yield Found((_skip_space(text, match.start()), match.end()), series, images, open_end, dated, "")


def _plausible(series_word: str | None, image_word: str | None) -> bool:
    """ "im" alone is the German "in the": as an image word it needs a series word, or a full stop."""
    if series_word is None or image_word is None:
        return True
    return not (series_word in ("s", "S") and image_word.lower() in ("im", "b", "aufnahme"))


_LOOSE_END = re.compile(_NEXT, re.IGNORECASE)
_BETWEEN_TWO = re.compile(r"\b(?:between|zwischen)\s+(?:den\s+|the\s+)?\Z", re.IGNORECASE)
_AND_TWO = re.compile(r"\s+(?:and|und)\s+")


_OWNED = re.compile(rf"\b{_IMAGE}{_NO}{LIST}\s+(?:of|in|on|from|der|von|aus)\s+(?:the\s+|der\s+)?\Z", re.IGNORECASE)
""" "image 12 on series 4, image 30 on series 5": each series is of the image in front."""


def _loosely(parts: dict[str, str | None], text: str, end: int) -> bool:
    """Any word may follow an English image word with its number; the others need one that we know."""
    word, listed = parts.get("image_word"), parts.get("images")
    if word is None or listed is None or not listed.isdecimal():
        return True
    return word.lower().startswith(_ENGLISH) or _LOOSE_END.match(text, end) is not None


_TOTAL = re.compile(r"(\d{1,4})\s*(?:/|out of|of)\s*(\d{2,4})\Z")
_MANY = ("bilder", "bildern", "images", "imgs", "slices", "schichten", "aufnahmen", "cuts")
_APART = 20
"""A second number that is so much larger is how many images there are."""


def _of_total(word: str | None, listed: str) -> str:
    """ "Bild 12/210" is image 12 of 210; "Bilder 12/13" and "Bild 12/13" are two images."""
    match = _TOTAL.match(listed.strip())
    if match is None or word is None or word.lower().rstrip(".") in _MANY:
        return listed
    return match[1] if "of" in listed or int(match[2]) > int(match[1]) + _APART else listed


def _skip_space(text: str, at: int) -> int:
    while text[at].isspace():
        at += 1
    return at


def _bare(text: str, start: int, end: int) -> Iterator[Found]:
    """Numbers alone, in brackets only: "(4:38)", "(3; 47)", "(4/123)", "(3.47)". The lowest confidence."""
    for bracket in _BRACKET.finditer(text, start, end):
        inside = bracket[1]
        intro = _INTRO.match(inside)
        at = intro.end() if intro else 0
        before = text[max(start, bracket.start() - 30) : bracket.start()]
        if _NOT_A_REFERENCE.search(before) or "Uhr" in text[bracket.end() : bracket.end() + 5]:
            continue
        parts: list[Found] = []
        while at < len(inside):
            match = _BARE.match(inside, at)
            if match is None or not _is_bare_reference(match, dated=_DATE_WORD.search(before) is not None):
                parts = []
                break
            images, open_end = numbers(match["images"])
            if not images:
                parts = []
                break
            origin = bracket.start(1)
            span = (origin + match.start(), origin + match.end())
            dated = bool(_DATED.match(text, bracket.end(), end))
            parts.append(Found(span, int(match["series"]), images, open_end, dated, ""))
            after = _BETWEEN.match(inside, match.end())
            at = after.end() if after else len(inside)
            at = len(inside) if _SIZE_LEFT.match(inside, at) else at
        yield from parts


_LONG_SERIES = 3
"""Digits of numbers such as 201, which no ratio has."""


LAST_YEAR = 35
"""Of two digits: "(2/18)" may be February 2018 or nodes 2 of 18 and is no reference on its own, "(3/45)" is one."""


def _is_bare_reference(match: re.Match[str], *, dated: bool) -> bool:
    """Refuse dates ("04/2018", "2/18"), clock times, ratios ("2:1"), pressures ("120/80") and decimals."""
    series, sep, images = match["series"], match["sep"].strip(), match["images"]
    first = re.match(r"\d+", images)
    image = int(first.group()) if first else 0
    if series.startswith("0") or images.startswith("0"):
        return False
    if sep == ":":
        clock = len(series) == len(images) == 2 and int(series) < 24 and image < 60
        return (image > 1 or len(series) == _LONG_SERIES) and not clock
    if sep == "/":
        month = int(series) <= 12 and (1900 <= image < 2100 or 10 <= image < LAST_YEAR or (image < 100 and dated))
        return image >= 10 and image > int(series) and not month
    if sep == ".":
        return 10 <= image < 1000 and len(images) <= 3
    return image >= 10 if sep == "," else image > 2


def numbers(listed: str) -> tuple[tuple[int, ...], bool]:
    """Image numbers of a list with ranges; "145-52" means 145-152. Zero is no image. True when "ff" follows."""
    found: list[int] = []
    open_end = ranged = False
    for part in _NUMBERS.finditer(listed):
        if part["to"]:
            ranged = True
            continue
        number = int(part["number"])
        if ranged and found:
            low = found[-1]
            if number < low and len(part["number"]) < len(str(low)):
                number = int(str(low)[: -len(part["number"])] + part["number"])
            step = 1 if number >= low else -1
            if abs(number - low) <= MOST_IMAGES:
                found.extend(range(low + step, number, step))
        ranged = False
        open_end = open_end or bool(part["more"])
        found.append(number)
    return tuple(dict.fromkeys(number for number in found if number > 0)), open_end


def _series_only(text: str, start: int, end: int) -> Iterator[Found]:
    for match in _SERIES_ONLY.finditer(text, start, end):
        yield Found(match.span(), int(match["series"]), (), False, bool(_DATED.match(text, match.end(), end)), "")


def _series_list(text: str, start: int, end: int) -> Iterator[Found]:
    for match in _SERIES_LIST.finditer(text, start, end):
        images, open_end = numbers(match["images"] or match["images2"])
        if images and (match["images"] or images[0] >= _PLAIN_IMAGE):
            dated = bool(_DATED.match(text, match.end(), end))
            yield Found(match.span(), int(match["series"] or match["series2"]), images, open_end, dated, "")


def _both_named(text: str, start: int, end: int) -> Iterator[Found]:
    """A slash needs both words ("series/image 3/45"): "image 3/45" is the third of 45."""
    for match in _BOTH_NAMED.finditer(text, start, end):
        if "/" in match["colon"] and match[0].lower().startswith(("im", "bild", "sl")):
            continue
        images, open_end = numbers(match["images"])
        if images:
            dated = bool(_DATED.match(text, match.end(), end))
            yield Found(match.span(), int(match["series"]), images, open_end, dated, "")


_PLAIN_IMAGE = 6
""" "series 3/5" may be the third of five series."""
_Matches = Callable[[str, int, int], Iterator[Found]]


def _by(pattern: re.Pattern[str]) -> _Matches:
    return functools.partial(_written, pattern)


_RULES: tuple[tuple[str, _Matches], ...] = (
    ("both-named", _both_named),
    ("series-image", _by(_SERIES_IMAGE)),
    ("image-series", _by(_IMAGE_SERIES)),
    ("compact", _by(_COMPACT)),
    ("image-bracket", _by(_IMAGE_BRACKET)),
    ("image", _by(_IMAGE_ONLY)),
    ("im", _by(_IM)),
    ("series-list", _series_list),
    ("bare", _bare),
    ("series", _series_only),
)
WINDOW = 160
"""Characters that an added pattern sees at once: what a reference needs, and what bounds its time."""
_ADDED: list[tuple[str, _Matches]] = []


def add_patterns(patterns: Sequence[str]) -> None:
    """A clinic's own patterns, checked by `rrg.reports.patterns`; they take the place of earlier ones and go first."""
    _ADDED[:] = [
        (f"added-{number}", functools.partial(_windowed, re.compile(pattern, re.IGNORECASE)))
        for number, pattern in enumerate(patterns, 1)
    ]


def _windowed(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[Found]:
    at = start
    while at < end:
        stop = min(at + WINDOW, end)
        match = pattern.search(text, at, stop)
        if match is None or match.end() == match.start():
            at = stop if stop == end else at + WINDOW // 2
        elif match.end() == stop < end and match.start() > at:
            at = match.start()  # it may go on behind the window
        else:
            images, open_end = numbers(match["images"] or "")
            series = match.groupdict().get("series") or ""
            if images and (series.isdecimal() or not series):
                dated = bool(_DATED.match(text, match.end(), end))
                first = _skip_space(text, match.start())
                yield Found((first, match.end()), int(series) if series else None, images, open_end, dated, "")
            at = match.end()
