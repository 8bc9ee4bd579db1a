"""Which split a patient belongs to: by a hash, by date, by site, or as a file says. Nobody is in two.

============  ==========================================================================================
``hash``      of the keyed pseudonym: more patients never move one (the default)
``date``      patients in the order of their last study: the latest are the test
``site``      whole sites (Institution Name) by a hash; sites that share a patient stay together
``given``     as the samples say that come in: a data set that was split before
``FILE``      a CSV file or JSON lines with ``patient`` or ``study``, and ``split``
============  ==========================================================================================
"""

import csv
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rrg.errors import RrgError, UsageError
from rrg.keys import ID_HEX, pseudonym

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Parts = tuple[int, int, int]
HASH, DATE, SITE, GIVEN = RULES = "hash", "date", "site", "given"
PSEUDONYM = re.compile(f"[0-9a-f]{{{ID_HEX}}}")
JSON_LINES = (".jsonl", ".ndjson")
_SHOWN = 3
"""So many ids are named in an error."""


@dataclass(frozen=True)
class Visit:
    """What a study says of its patient."""

    study: str
    patient: str
    """The pseudonym, merged."""
    dates: frozenset[str] = frozenset()
    """Study dates or years as far as they are told; texts of one length sort as time does."""
    sites: frozenset[str] = frozenset()
    given: frozenset[Split] = frozenset()
    """Splits that its samples say they are in."""


def parse_parts(text: str) -> Parts:
    """``80,10,10`` -> parts of train, val, test. UsageError unless three whole numbers, not all zero."""
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts) or not any(map(int, parts)):
        raise UsageError(f"--split {text}: expected three whole numbers such as 80,10,10 for train, val, test")
    train, val, test = map(int, parts)
    return train, val, test


def split_of(key: str, parts: Parts, seed: int = 0) -> Split:
    """The split of a patient (or site), by a hash of the pseudonym: others never move it."""
    digest = hashlib.sha256(f"rrg split\0{seed}\0{key}".encode()).digest()
    return _at(int.from_bytes(digest[:8], "big") / 2**64, parts)


def _at(place: float, parts: Parts) -> Split:
    """The split at a place in 0..1."""
    place *= sum(parts)
    return "train" if place < parts[0] else "val" if place < parts[0] + parts[1] else "test"


def splits(visits: Sequence[Visit], rule: str, parts: Parts, seed: int, key: bytes | None) -> dict[str, Split]:
    """Patient -> split by a rule of this module. RrgError where the records do not tell what the rule needs."""
    patients = sorted({visit.patient for visit in visits})
    if rule == HASH:
        return {patient: split_of(patient, parts, seed) for patient in patients}
    if rule == DATE:
        return _by_date(visits, parts, seed)
    if rule == SITE:
        return _by_site(visits, parts, seed)
    if rule == GIVEN:
        return _as_given(visits)
    return _by_file(visits, Path(rule), key)


def _by_date(visits: Sequence[Visit], parts: Parts, seed: int) -> dict[str, Split]:
    untold = sum(not visit.dates for visit in visits)
    if untold:
        raise RrgError(
            f"--split-by date: {untold} of {len(visits)} studies tell no date; shifted dates (study_day) are not "
            "comparable between patients: extract with --dates year or keep, or split by hash"
        )
    if len({len(date) for visit in visits for date in visit.dates}) > 1:
        raise RrgError("--split-by date: some studies tell a date, others a year; extract all with the same --dates")
    last: dict[str, str] = {}
    for visit in visits:
        last[visit.patient] = max(last.get(visit.patient, ""), *visit.dates)
    ordered = sorted(last, key=lambda patient: (last[patient], _rank(patient, seed)))
    return {patient: _at(number / len(ordered), parts) for number, patient in enumerate(ordered)}


def _rank(patient: str, seed: int) -> bytes:
    """Patients of one day or year in an order that means nothing."""
    return hashlib.sha256(f"rrg split by date\0{seed}\0{patient}".encode()).digest()


def _by_site(visits: Sequence[Visit], parts: Parts, seed: int) -> dict[str, Split]:
    untold = sum(not visit.sites for visit in visits)
    if untold:
        raise RrgError(
            f"--split-by site: {untold} of {len(visits)} studies name no institution; give --split-by FILE with "
            "columns patient, split"
        )
    of_patient: dict[str, set[str]] = defaultdict(set)
    for visit in visits:
        of_patient[visit.patient] |= visit.sites
    same = joined(of_patient.values())
    return {patient: split_of(same[min(sites)], parts, seed) for patient, sites in of_patient.items()}


def _as_given(visits: Sequence[Visit]) -> dict[str, Split]:
    told: dict[str, set[Split]] = defaultdict(set)
    for visit in visits:
        told[visit.patient] |= visit.given
    if both := sum(len(each) > 1 for each in told.values()):
        raise RrgError(
            f"--split-by given: {both} of {len(told)} patients (or images) are in two splits, so tests would know what "
            "training saw; give --split-by FILE, or hash to split anew"
        )
    if none := sum(not each for each in told.values()):
        raise RrgError(
            f"--split-by given: {none} of {len(told)} patients have no sample that tells its split; give FILE or hash"
        )
    return {patient: min(each) for patient, each in told.items()}


def _by_file(visits: Sequence[Visit], path: Path, key: bytes | None) -> dict[str, Split]:
    told = _told(path, key)
    found: dict[str, Split] = {}
    untold: set[str] = set()
    for visit in visits:
        ids = (("patient", visit.patient), ("study", visit.study))
        named = {told[id_] for id_ in ids if id_ in told}
        if visit.patient in found:
            named.add(found[visit.patient])
        if len(named) > 1:
            raise RrgError(f"{path}: a patient is in {' and '.join(sorted(named))} ({visit.patient}); one split each")
        if named:
            found[visit.patient] = named.pop()
        else:
            untold.add(visit.patient)
    if missing := sorted(untold - found.keys()):
        raise RrgError(
            f"{path} does not name {len(missing)} of {len({visit.patient for visit in visits})} patients "
            f"({', '.join(missing[:_SHOWN])}{', ...' if len(missing) > _SHOWN else ''}); add them"
            f"{'' if key else ' (original ids need --key-file)'}"
        )
    return found


def _told(path: Path, key: bytes | None) -> dict[tuple[str, str], Split]:
    """(kind, pseudonym) -> split, of a file whose ids are pseudonyms or, with a key, originals."""
    told: dict[tuple[str, str], Split] = {}
    for number, row in enumerate(_rows(path), 1):
        kind = next((name for name in ("patient", "study") if row.get(name)), None)
        split = next((each for each in SPLITS if each == row.get("split")), None)
        if kind is None or split is None:
            raise RrgError(f"{path}: row {number} needs patient or study, and split (one of {', '.join(SPLITS)})")
        if (id_ := _id(row[kind])) is None:
            raise RrgError(f"{path}: row {number}: the {kind} is no text and no whole number; write one id")
        if told.setdefault((kind, _spelled(id_, kind, key)), split) != split:
            raise RrgError(f"{path}: row {number} gives a {kind} another split than a row before; leave one out")
    return told


def merges(path: Path, key: bytes | None) -> dict[str, str]:
    """Patient -> the pseudonym that stands for the person, from lines that each name two or more ids of one person.

    A CSV file without a header, or JSON lines of lists. Ids are pseudonyms or, with a key, originals, which are hashed
    at once and never shown.
    """
    groups: list[list[str]] = []
    for number, ids in enumerate(_lists(path), 1):
        texts = [text for id_ in ids if (text := _id(id_)) is not None]
        if len(texts) < len(ids):
            raise RrgError(f"{path}: line {number} holds what is no text and no whole number; expected one list of ids")
        if len(texts) < 2:
            raise RrgError(f"{path}: line {number} has {len(texts)} ids; expected two or more of one person")
        groups.append([_spelled(text, "patient", key) for text in texts])
    return dict(joined(groups))


def joined(groups: Iterable[Iterable[str]]) -> Mapping[str, str]:
    """Member -> smallest member of everything that groups connect."""
    above: dict[str, str] = {}

    def top(member: str) -> str:
        above.setdefault(member, member)
        while above[member] != member:
            above[member] = above[above[member]]
            member = above[member]
        return member

    for group in groups:
        tops = sorted({top(member) for member in group})
        for other in tops[1:]:
            above[other] = tops[0]
    return {member: top(member) for member in sorted(above)}


def _id(value: object) -> str | None:
    """An id as a file gives it: a text with something in it, or a whole number (as JSON writes some); else None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


def _spelled(id_: str, kind: str, key: bytes | None) -> str:
    """The pseudonym of an id that is one or, with a key, is an original."""
    return id_ if key is None or PSEUDONYM.fullmatch(id_) else pseudonym(key, kind, id_)


def _rows(path: Path) -> list[dict[str, Any]]:
    return _json_lines(path, dict) if path.suffix in JSON_LINES else list(csv.DictReader(_text(path).splitlines()))


def _lists(path: Path) -> list[list[Any]]:
    if path.suffix in JSON_LINES:
        return _json_lines(path, list)
    rows = csv.reader(_text(path).splitlines())
    return [ids for row in rows if (ids := [id_.strip() for id_ in row if id_.strip()])]


def _json_lines(path: Path, kind: type[Any]) -> list[Any]:
    from jsonlines import InvalidLineError, Reader
    from pydantic_core import from_json

    try:
        return list(Reader(_text(path).splitlines(), loads=from_json).iter(type=kind, skip_empty=True))
    except InvalidLineError as error:
        what = "object" if kind is dict else "list"
        raise RrgError(f"{path}: line {error.lineno} is no JSON {what}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RrgError(f"{path} is no UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
