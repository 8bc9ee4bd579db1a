"""How a source names a report before its text is read: keys, status, version, and the words for them."""

import datetime
import re
from typing import Literal, NamedTuple, cast

from rrg.keys import FIRST_YEAR
from rrg.records import Lang

Status = Literal["preliminary", "final", "corrected"]
Standing = Literal["preliminary", "final", "corrected", "addendum", "withdrawn"]
"""A status, or: a supplement to another report; a report that its source took back."""


class Named(NamedTuple):
    """A report of a source. These are originals: they live only while the index is built."""

    own: str
    """Tells it from all others of its kind: its id is made from it."""
    offset: int = 0
    """Byte offset in the file; of a JSON array or bundle the number of the item."""
    size: int = -1
    """Bytes from `offset`; -1: the whole file."""
    part: int = 0
    """Zero-based, where one message holds several reports."""
    name: str | None = None
    """An accession number or a Study Instance UID: the source does not say which."""
    accessions: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    """Study Instance UIDs."""
    patient: str | None = None
    """Patient ID."""
    date: str | None = None
    """Of the examination, YYYYMMDD."""
    lang: Lang | None = None
    standing: Standing | None = None
    version: int | None = None
    """Grows with each version; only compared within a group."""
    group: str | None = None
    """Versions of one report share it."""
    replaces: tuple[str, ...] = ()
    """Groups that it is a later version of."""
    problem: str | None = None
    """Why it can not be read."""


_STANDINGS: dict[str, Standing] = {
    word: cast(Standing, kind)
    for kind, words in {
        "preliminary": "p r s i o a prelim preliminary partial registered draft unverified vorläufig vorlaeufig "
        "vorbefund entwurf unvidiert diktiert geschrieben",
        "final": "f final complete completed verified signed approved endgültig endgueltig freigegeben vidiert "
        "abgeschlossen fertig final/verified",
        "corrected": "c corrected amended appended revised korrigiert geändert geaendert berichtigt",
        "addendum": "addendum nachtrag ergänzung ergaenzung supplement",
        "withdrawn": "x d w cancelled canceled deleted entered-in-error withdrawn storniert gelöscht geloescht "
        "annulliert widerrufen",
    }.items()
    for word in words.split()
}
"""HL7 v2 table 0123 (result status) and 0085 (observation status), FHIR diagnostic-report-status, and plain words."""


def standing_of(word: str) -> Standing | None:
    """A status as a source writes it; None when it is not a word we know."""
    return _STANDINGS.get(word.strip().lower())


def day_of(text: str | None) -> str | None:
    """YYYYMMDD of "20240131...", "2024-01-31T10:00", "31.01.2024"; None for none, or one that is no date.

    "01/02/2024" may be January or February: it is no date to us.
    """
    text = (text or "").strip()
    if found := re.match(r"(\d{4})([-.]?)(\d\d)\2(\d\d)(?!\d{1,3}(?:\D|$))", text, re.ASCII):
        year, month, day = found[1], found[3], found[4]
    elif found := re.match(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?!\d)", text, re.ASCII):
        year, month, day = found[3], found[2], found[1]
    else:
        return None
    try:
        date = datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None
    return date.strftime("%Y%m%d") if date.year >= FIRST_YEAR else None


_STAMP = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ]?(\d\d):?(\d\d)?:?(\d\d)?(?:[.,](\d{1,6})\d*)?)?\s*(?:(Z)|([+-])(\d\d):?(\d\d))?\Z",
    re.ASCII,
)


def order_of(text: str | None) -> int | None:
    """A number that grows with the version: of "3" or "v3" 3, of a time stamp its microseconds. None for no version.

    A zone, where given, counts ("+0100"); without one times are taken as they stand.
    """
    text = (text or "").strip()
    if found := re.fullmatch(r"[vV]?\.?\s?(\d{1,7})", text, re.ASCII):
        return int(found[1])
    if found := re.match(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", text, re.ASCII):
        text = f"{found[3]}{int(found[2]):02}{int(found[1]):02}" + text[found.end() :].rstrip()
    if not (found := _STAMP.match(text)):
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    try:
        stamp = datetime.datetime(year, month, day, hour, minute, second, int((found[7] or "0").ljust(6, "0")))
    except ValueError:
        return None
    seconds = (stamp - datetime.datetime(1800, 1, 1)) // datetime.timedelta(microseconds=1)
    if found[9]:
        shift = (int(found[10]) * 60 + int(found[11])) * 60_000_000
        seconds -= shift if found[9] == "+" else -shift
    return seconds


def lang_of(value: object) -> Lang | None:
    """``de`` or ``en`` of "de", "de-CH", "deu", "EN"; None for any other."""
    tag = str(value).strip().lower()[:2] if value else ""
    return cast(Lang, tag) if tag in ("de", "en") else None
