"""The parts that slice references are made of: words for series and images, lists of numbers, dates beside them."""

import re
from typing import NamedTuple

from rrg.records import Span

MOST_IMAGES = 2000
"""A longer range is a typing error: only its two ends count."""

SERIES = r"(?:Serien?[- ]?(?:nummer|nr\.?)?|Ser\.?(?:-?\s?Nr\.?)?|Se\.?|series|Sequenz|sequence|S)"
IMAGE = (
    r"(?:Bild(?:ern|er|es)?|Bild[- ]?(?:nummern?|nr)\.?|B\.?|Im\.?|IMA|Ima\.?|Schicht(?:en)?|Schicht-?nr\.?|Aufnahmen?|"
    r"(?:Schicht|Schnitt|Einzel|Referenz)bild(?:er|ern)?|Schnitte?n?|sl\.?|"
    r"images?|imgs?\.?|im\.?|slices?|cuts?|frames?)"
)
CLEAR_IMAGE = (
    r"(?:Bild(?:ern|er)?|Bild[- ]?(?:nummern?|nr)\.?|IMA|Ima\.?|Schicht(?:en)?|Schicht-?nr\.?|images?|"
    r"imgs?\.?|slices?|frames?)"
)
NO = r"(?:\s*(?:numbers?|nos?|nr)\b\.?)?\s*[:#=]?\s*"
"""What may stand between the word and its number: "image no. 45", "series #3"."""
PLANE = r"(?:(?:axial|ax\.?|transversal|koronar|coronal|cor\.?|sagittal|sag\.?|native?)\w*\s+)?"
SAID_BEFORE = r"(?:previously|prev\.?|prior|formerly|before|zuvor|vormals|VU)"
PLANE_BEHIND = (
    r"(?:\s*,?\s*\(?\b(?:(?:axial|coronal|sagittal|transverse)(?:\s+images)?|images|koronar|transversal|"
    r"ax\.|cor\.|sag\.)\b\)?)?"
)
QUALIFIED = (
    r"(?:(?!(?:images?|slices?|Bild\w*|Schicht\w*|Serie\w*|series|and|und|or|oder|with|mit|but|sowie|also|see|siehe)\b)"
    r"[\w-]+\s+){0,3}?"
)
"""Words that say which series: "on the T2 axial series 5"."""
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
    r"enlarged|calcified|hour|day|week|month|year|minute|second|phase|am|pm|of|in|x|uhr|tesla)\b|\w+s\b)(?:an?\b|[a-z]{2}))"
)
"""Behind the only number of an English image word any word may stand, but what a number may count."""
ENGLISH = ("image", "img", "slice", "frame")
# a number of a list must not go on as a decimal, a date, a size, a count ("3 Herde") or an ordinal ("4. Segment")
NUM = r"\d{1,4}(?!\d)(?![.,]\d)(?!\s*[x×]\s*\d)"
NEXT = (
    r"(?=\*?\s*(?:[),;.:\]/(?!]|\Z|und\b|and\b|u\.|bis\b|to\b|through\b|thru\b|till\b|until\b|oder\b|or\b|sowie\b|&|-|–|ff?\b|of\b|in\b|der\b|"
    r"von\b|aus\b|from\b|des\b|on\b|auf\b|noch\b|nicht\b|the\b|Serie|Ser\b|Se\b|series|ser\b|S\d|vom\b|zeigt|is\b|are\b|"
    r"axial|koronar|coronal|sagittal|transversal|markiert|gezeigt|gekennzeichnet|angezeichnet|annotiert|gemessen|zu\s+sehen|"
    r"sichtbar|erkennbar|abgebildet|gesehen|bereits\b|exemplarisch|beispielhaft|links\b|rechts\b|sowie\b|nachweisbar|"
    r"im\b|am\b|mit\b|with\b|gut\b|abgrenzbar|dargestellt|shows?\b|siehe|vgl|cf\b|aktuell|current|zuvor|previously|[}|]|\+(?!\d)|"
    rf"{_GOES_ON})|[\"']|"
    r"\s+(?!(?:Tesla|Stunde|Tag|Woche|Monat|Jahr|Minute|Sekunde|Uhr|Ebene|Sequenz|Phase|Prozent)\w*)(?-i:[A-ZÄÖÜ][a-zäöüß]))"
)
SEP = r"\s*(?:,?\s*(?:und|and|u\.|oder|or|sowie|&)|,|/|;)\s*"
TO = r"\s*(?:-|–|bis(?:\s+(?:einschlie(?:ß|ss)lich|einschl\.|inkl(?:usive|\.)))?|to|through|thru|till|until)\s*"
OPEN = (
    r"(?:\s?ff?\b\.?|\s?\+(?!\s?\d)|,?(?:\s+and)?\s+(?:onwards?|upwards?|beyond|thereafter)\b|"
    r",?\s+(?:and|und|sowie)\s+(?:(?:the|all|on)\s+)*(?:following|subsequent|folgende[nr]?|successive|next)\b"
    r"(?:\s+(?:images?|slices?|frames?|ones?|Bilder[n]?|Schichten))?)"
)
"""What says that more images follow: "45 ff", "45 onwards", "45 and following"."""
MORE = rf"{OPEN}?"
_AGAIN = r"(?:Bild|image|Im\.|IMA)\s+"
_TO_AGAIN = rf"{TO}(?:(?:Bild|Schicht|image|slice|frame|img\.?|im\.?)\s+)?"
LIST = (
    rf"(?:\d{{1,4}}(?:,\d{{1,4}}){{1,20}}(?!\d|[.,]\d){NEXT}|"
    rf"{NUM}\s+(?:out\s+)?of\s+\d{{2,4}}(?!\d|[.,]\d){NEXT}|"
    rf"{NUM}{MORE}{NEXT}(?:(?:{_TO_AGAIN}|{SEP}){NUM}{MORE}{NEXT})*|{NUM}{OPEN}(?!\w))\*?(?!\s*{_UNIT}(?<=[\d%]))"
)
LISTED = rf"(?:{NUM}{TO}{NUM}(?!{SEP}\d){_LOOSE}|{LIST}|{NUM}{_LOOSE})"
NAMED_LIST = rf"(?>{LIST}(?!{SEP}{_AGAIN}\d)|{NUM}{NEXT}(?:{SEP}{_AGAIN}{NUM}{NEXT}){{1,9}})"
ORDINAL_AHEAD = r"(?!\.\s+\w)"
WHEN = rf"(?:\s*(?:vom|from|of|on|am)\s+(?:{_DATE}))?"

_NUMBERS = re.compile(
    r"(?P<number>\d{1,4})(?P<more>" + OPEN + r")?|(?P<to>-|–|bis|to\b|through|thru|till|until)", re.IGNORECASE
)
_MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)"
)
_DAY = (
    rf"(?:{_DATE}|\d{{1,2}}/(?:19|20)\d\d\b|(?:\d{{1,2}}\s+)?{_MONTHS}\.?\s+(?:\d{{1,2}},?\s+)?\d{{4}}|(?:19|20)\d\d\b)"
)
_STUDY = r"(?:CTA?|MRI?|MRA|PET(?:[-/]CT)?|scan|study|exam(?:ination)?|angiogram)"
_LABELLED_BEFORE = re.compile(
    r"(?:\b(?:prior|previous|previously|formerly|old|zuvor|alt|vorher|VU|Vorbefund|Voraufnahme|Voruntersuchung)\s*:|"
    r"[(\[]\s*(?:then|at that time|dort|damals|seinerzeit|dazumal|previously|formerly|zuvor)[,:]?)\s*\Z",
    re.IGNORECASE,
)
"""A label of an earlier study right in front: "prior: series 12, image 81", "(then series 1, image 5)"."""
DATED = re.compile(
    rf"\s*,?\s*(?:am|vom|from|of|on|dated)\s+(?>(?:{_DATE})|(?:the\s+)?(?:[a-z]+\s+)?{_STUDY}\s+"
    rf"(?:(?:of|from|dated|on|in|performed\s+on)\s+)?{_DAY})(?!(?<=[\d\]])\.?\s*(?:noch\s+|still\s+)?\d+(?:[.,]\d+)?\s*(?:mm|cm)\b)",
    re.IGNORECASE,
)
_DATED_BEFORE = re.compile(
    rf"(?<!aktuellen )(?<!heutigen )(?<!current )\b(?:dated|(?:{_STUDY}|MRT|VU|Voruntersuchung|Voraufnahme)\s+"
    rf"(?:of|from|on|dated|vom|am|v\.))\s+{_DAY}\s*[,:(]?\s*(?:(?:on|auf|in)\s+)?\Z|"
    rf"\b(?:am|on)\s+(?:{_DATE})\s*,?\s*(?:on|auf|in)\s+\Z|"
    rf"\b(?:zum\s+Vergleich|vergleiche|vgl\.|compare|cf\.?)\s+(?:mit\s+|with\s+)?{_DAY}\s*[,:(]?\s*\Z",
    re.IGNORECASE,
)


def dated_before(text: str, start: int, at: int) -> bool:
    """True when a date or a label of an earlier study stands in front of `at`."""
    first = max(start, at - 60)
    if _DIGIT.search(text, first, at) and _DATED_BEFORE.search(text, first, at):
        return True
    near = text[max(start, at - 20) : at]
    return (":" in near or "(" in near or "[" in near) and _LABELLED_BEFORE.search(text, first, at) is not None


_DIGIT = re.compile(r"\d|\[DATE")


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
