"""Addresses: streets with numbers, postcodes with towns, towns where letters name them."""

import re
from collections.abc import Iterator

from rrg.reports.phi_spans import Spot
from rrg.reports.phi_words import is_given, is_word, lists, seems_word
from rrg.reports.words import fold, word_set

_CAP = r"[A-ZÄÖÜÉ][\w'’ßäöü-]{0,40}"
_HOUSE = r"\d{1,4}(?!\d)(?:\s?[a-zA-Z](?!\w))?(?:\s?[-–/]\s?\d{1,4}(?:\s?[a-z](?!\w))?)?"
_STRONG = r"(?:straße|strasse|str\.|gasse|chaussee|allee)"
_SOFT = (
    r"(?:weg|platz|ring|ufer|damm|steig|stieg|hof|graben|berg|markt|promenade|brücke|zeile|wall|park|kamp|twiete|"
    r"(?<=-)(?:Weg|Platz|Ring|Ufer|Damm|Steig|Hof|Markt|Park))"
)
_STREET = re.compile(
    rf"(?<![\w-])(?P<strong>(?:{_CAP}[ -]){{0,2}}(?:{_CAP}?{_STRONG}|(?:Straße|Strasse|Str\.|Gasse|Chaussee|Allee)))"
    rf"[ ]{{0,2}}(?P<house>{_HOUSE})?(?![\w.,]\d)"
    rf"|(?<![\w-])(?:{_CAP}[ -]){{0,2}}{_CAP}?{_SOFT}[ ]{{1,2}}{_HOUSE}(?=[ ]*(?:\n|\Z|[,;)|]|\d{{5}}))"
    rf"|(?<![\w-])(?:Am|An der|Auf dem|Auf der|Im|In der|Unter den|Zum|"
    rf"Zur)[ ]{_CAP}[ ]{_HOUSE}[ ]*[,\n][ ]*(?=(?:D-)?\d{{5}}\s)",
)
_STREET_NAMES = word_set("magen seh hoer blut knorpel knochen sehnen gefaess lymph")
"""Stems of anatomical "streets"."""
_ENGLISH_STREET = re.compile(
    r"(?<![\w.,])\d{1,5}[A-Za-z]?[ ](?:(?:N|S|E|W|North|South|East|West)\.?[ ])?(?:[A-Z][a-z'’]{1,20}[ ]){1,3}"
    r"(?:Street|St\.?|Road|Rd\.?|Avenue|Ave\.?|Lane|Ln\.?|Drive|Boulevard|Blvd\.?|Way|Court|Close|Square|"
    r"Terrace|Parkway)"
    r"(?=[ ]*(?:[,;.\n)]|\Z))"
)
_POST = re.compile(
    rf"(?<![\w.,/-])(?:(?:D|DE)[- ]?\d{{5}}|(?:A|AT|CH)-?[ ]?\d{{4}}|\d{{5}})[ ]{{1,2}}{_CAP}"
    rf"(?:(?:[ -]|/|[ ]a\.[ ]?|[ ]am[ ]|[ ]an der[ ]|[ ]im[ ])(?:{_CAP}|\d{{1,2}}(?!\d)))?"
)
_US_POST = re.compile(
    r"(?<![\w])[A-Z][a-z]{2,20}(?:[ ][A-Z][a-z]{2,20})?,[ ]{1,2}[A-Z]{2}[ ]{1,2}\d{5}(?:-\d{4})?(?!\d)"
)
_UK_POST = re.compile(r"(?:(?<=, )|(?<=\n))[A-Z]{1,2}\d[A-Z\d]?[ ]\d[A-Z]{2}(?=[ ]*(?:[,;.\n]|\Z))")
_BOX = re.compile(r"(?<!\w)(?:Postfach|P\.?O\.? Box|Postbox)[ ]{0,2}\d[\d ]{0,9}\d")
_LIVES = re.compile(
    rf"(?<!\w)(?:wohnhaft|wohnend|whft\.|Wohnort|Anschrift|Adresse|PLZ/Ort|Ort|Straße|Address|residing|lives)"
    rf"(?:[ ](?:in|bei|at))?(?:[ ]der)?[ ]?:?[ ]{{1,2}}"
    rf"(?P<value>(?:\d{{1,5}}[ ])?{_CAP}(?:[ ]{{1,2}}(?:{_CAP}|"
    rf"\d{{1,5}}[a-z]?))*(?:,[ ]{{1,2}}(?:D-)?(?:\d{{5}}[ ])?{_CAP}(?:[ ]{_CAP})?)?)"
)
_DATELINE = re.compile(
    rf"^[ ]*(?P<value>{_CAP}(?:[ /-]{_CAP}){{0,2}})(?P<sign>,?)[ ]{{1,3}}(?P<the>(?:den|am|dem)[ ])?"
    r"\d{1,2}\.[ ]?(?:\d{1,2}\.[ ]?\d{2,4}|[A-ZÄÖÜ][a-zä]{2,8}\.?[ ]\d{4})[ ]*$",
    re.MULTILINE,
)
_STREET_TOWN = re.compile(rf",[ ]{{1,2}}(?P<town>{_CAP})")
_LINE_TOWN = re.compile(rf"^[ ]*(?P<value>{_CAP})(?=[ ]*(?:,|$))", re.MULTILINE)
_TOWN = re.compile(rf"(?<!\w)(?:in|aus|Aus|nach|von|bei|from|at)[ ](?P<value>{_CAP}(?:[ ](?:an der|am)[ ]{_CAP})?)")


def places_of(text: str) -> Iterator[Spot]:
    """Addresses, and towns in their usual places."""
    for match in _STREET.finditer(text):
        if match["strong"] and match["house"] is None and not _is_street(match["strong"]):
            continue
        if match["strong"] is None and not _street_word(match.group()):
            continue
        yield Spot(_street_start(match), match.start() + len(match.group().rstrip(" ,\n")), "address.street")
        behind = _STREET_TOWN.match(text, match.end())
        if behind and (is_town(behind["town"]) or not seems_word(behind["town"].split("-")[0])):
            yield Spot(*behind.span("town"), "address.town")
    for pattern, rule in (
        (_ENGLISH_STREET, "address.street"),
        (_US_POST, "address.post"),
        (_UK_POST, "address.post"),
        (_BOX, "address.box"),
    ):
        for match in pattern.finditer(text):
            yield Spot(*match.span(), rule)
    for match in _POST.finditer(text):
        town = match.group().split(maxsplit=1)[-1]
        if is_town(town.split()[0]) or (_postal(text, match) and not _counted(re.split(r"[ /-]", town)[0])):
            yield Spot(*match.span(), "address.post")
    for match in _LIVES.finditer(text):
        if not seems_word(match["value"].split()[0]) or _street_word(match["value"]):
            yield Spot(*match.span("value"), "address.lives")
    for match in _DATELINE.finditer(text):
        words = re.split(r"[ /-]", match["value"])
        unknown = match["sign"] and not any(seems_word(word) or is_given(word) or word.isupper() for word in words)
        if is_town(words[0]) or unknown:
            yield Spot(*match.span("value"), "address.dateline")
    for match in (*_TOWN.finditer(text), *_LINE_TOWN.finditer(text)):
        if is_town(match["value"].split()[0]):
            yield Spot(*match.span("value"), "address.town")


def _counted(word: str) -> bool:
    """What a number in front counts: "25000 Thrombozyten"."""
    return is_word(word) or fold(word).endswith(("zyten", "ungen", "einheiten", "kerne", "zellen"))


def is_town(word: str) -> bool:
    """True for a town of the list, also in a double name ("Berlin-Mitte") and in the genitive."""
    first = fold(word.split("-")[0])
    return first in lists().towns or (first.endswith("s") and first[:-1] in lists().towns)


def _street_start(match: re.Match[str]) -> int:
    """Words before the street that are none of its name do not belong to it: "Orthopädie Friedrichstraße 55"."""
    start = match.start()
    words = match.group().split(" ")
    bare = re.match(r"(?:Straße|Strasse|Str\.|Gasse|Chaussee|Allee)\Z", words[-2] if len(words) > 1 else "")
    for word in words[: -3 if bare else -2]:
        if not seems_word(re.split(r"[-'’]", word)[0]):
            break
        start += len(word) + 1
    return start


def _is_street(written: str) -> bool:
    last = fold(re.split(r"[ -]", written)[-1])
    stem = re.sub(r"(?:strasse|str\.|gasse|chaussee|allee)\Z", "", last)
    return last.endswith(("strasse",)) and len(stem) > 2 and stem not in _STREET_NAMES


_STREET_END = re.compile(
    r"(?:straße|strasse|str\.|gasse|weg|platz|allee|chaussee|damm|ufer|ring)(?:\s|\Z)", re.IGNORECASE
)
_ANATOMIC_WAY = re.compile(
    r"(?:atem|luft|gallen|harn|abfluss|ausfluss|zugangs|leit|nerven|seh|hör|rechts|herz|klappen|becken|leisten|"
    r"nabel|pessar"
    r"|mitral|aorten|magen|sitz|vor|knorpel|annulus|anulus|zahn|lymph)[- ]?(?:weg|ring|platz|hof|damm|straße|strasse)",
    re.IGNORECASE,
)


def _street_word(written: str) -> bool:
    return bool(_STREET_END.search(written)) and not _ANATOMIC_WAY.search(written)


def _postal(text: str, match: re.Match[str]) -> bool:
    """True where a postcode stands: at the start of a line, behind a comma or a street, or with its country."""
    before = text[max(0, match.start() - 4) : match.start()].rstrip(" ")
    return not before or before[-1] in ",;\n|•·-–:/)" or not match.group()[0].isdigit() or before.endswith(" in")
