"""What finds the study of a report: keyed hashes of its accession number, study, or patient and day; ``--link``."""

import array
import csv
import io
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rrg.errors import UsageError
from rrg.keys import ID_HEX, date_of, pseudonym, shifted_day
from rrg.reports.named import Named
from rrg.reports.text import decode

STUDY_UID, ACCESSION, PATIENT_DATE = "study-uid", "accession", "patient+date"
LONGEST_NUMBER = 16
"""Characters of an Accession Number (DICOM PS3.5 6.2, SH)."""
_PSEUDONYM = re.compile(rf"[0-9a-f]{{{ID_HEX}}}")

Keys = tuple[tuple[str, ...], tuple[str, ...]]
"""(hashes as the report writes it, hashes of other spellings)"""


class Link(NamedTuple):
    """A row of a link table: what it says of a report."""

    accessions: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()


def number_of(name: str) -> int:
    """The first 64 bits of a hash."""
    return int(name[:16], 16)


class Loose:
    """Hash -> reports, for many hashes: 16 bytes each."""

    def __init__(self, numbers: "array.array[int]", at: "array.array[int]") -> None:
        """`numbers` (``Q``): first 64 bits of the hashes; `at` (``q``): their reports."""
        names = np.array(numbers, np.uint64)
        order = np.argsort(names, kind="stable")
        self._names = names[order]
        self._at = np.array(at, np.int64)[order]

    def find(self, name: str) -> tuple[int, ...]:
        """Reports of a hash, in order."""
        if not len(self._names) or not _PSEUDONYM.fullmatch(name):
            return ()
        wanted = np.uint64(number_of(name))
        first, last = np.searchsorted(self._names, wanted, "left"), np.searchsorted(self._names, wanted, "right")
        return tuple(dict.fromkeys(self._at[first:last].tolist()))


def keys_of(named: Named, key: bytes, link: str, table: dict[str, Link] | None) -> Keys:
    """The hashes that find a report's study.

    By default a report that names Study Instance UIDs goes by these, else by its accession numbers, else by its name as
    either of them. A table of ``--link`` is asked by the report's id, accession number, or id of its source.
    """
    studies, accessions = named.studies, named.accessions
    name = named.name
    if table is not None:
        ids = [name, *accessions, *studies, (named.group or "").partition(" ")[2]]
        row = next((table[each] for each in ids if each and each in table), Link())
        studies, accessions, name = row.studies, row.accessions, None
    elif link == PATIENT_DATE:
        return _patient_keys(named, key)
    elif link == ACCESSION:
        studies, accessions, name = (), accessions or ((name,) if name else ()), None
    elif link == STUDY_UID:
        studies, accessions, name = studies or ((name,) if name else ()), (), None
    elif studies:
        accessions, name = (), None
    elif accessions:
        name = None
    if name:
        studies, accessions = (name,), (name,)
    exact = [_study(key, each) for each in studies] + [pseudonym(key, "accession", each) for each in accessions]
    other = [pseudonym(key, "accession", each) for number in accessions for each in spellings(number)]
    return tuple(dict.fromkeys(exact)), tuple(dict.fromkeys(other))


def _study(key: bytes, uid: str) -> str:
    """A study named by its own id, as it stands in slice records, has that."""
    return uid if _PSEUDONYM.fullmatch(uid) else pseudonym(key, "study", uid)


def spellings(number: str) -> tuple[str, ...]:
    """The same number without blanks, and with fewer and more leading zeros."""
    bare = re.sub(r"\s+", "", number)
    found = [bare]
    if bare.isascii() and bare.isdigit():
        short = bare.lstrip("0") or "0"
        found += [short.zfill(width) for width in range(len(short), LONGEST_NUMBER + 1)]
    return tuple(each for each in dict.fromkeys(found) if each != number)


def _patient_keys(named: Named, key: bytes) -> Keys:
    """Of patient and day of the examination, both as slice records may have it: shifted, and as it is."""
    if named.patient is None or named.date is None:
        return (), ()

    def both(patient: str) -> list[str]:
        own, date = pseudonym(key, "patient", patient), date_of(named.date)
        days = (shifted_day(key, patient, named.date), date.isoformat() if date else None)
        return [patient_day(key, own, day) for day in days if day is not None]

    return tuple(both(named.patient)), tuple(each for one in spellings(named.patient) for each in both(one))


def patient_day(key: bytes, patient: str, day: int | str) -> str:
    """Hash of a patient's pseudonym and a day: its shifted number, or YYYY-MM-DD."""
    return pseudonym(key, "patient day", f"{patient}\0{day}")


@lru_cache(1)
def link_table(link: str) -> dict[str, Link] | None:
    """The table of ``--link TABLE.csv``: column ``id`` and ``study_uid`` or ``accession``; None for the other ways.

    Raises UsageError. A report may stand in several rows: it belongs to all these studies.
    """
    if link in ("", STUDY_UID, ACCESSION, PATIENT_DATE):
        return None
    path = Path(link)
    if not path.is_file():
        raise UsageError(f"--link {link}: expected {STUDY_UID}, {ACCESSION}, {PATIENT_DATE}, or a CSV file")
    text = decode(path.read_bytes()).lstrip("\ufeff")
    first = text.partition("\n")[0].strip()
    for delimiter in (";", ",", "\t"):
        head = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        if "id" in head and {"study_uid", "accession"} & set(head):
            break
    else:
        raise UsageError(f"--link {link}: the head line needs the column id and study_uid or accession")
    found: dict[str, Link] = {}
    for row in csv.DictReader(io.StringIO(text, newline=""), fieldnames=head, delimiter=delimiter):
        id_ = (row["id"] or "").strip()
        studies, accessions = ((row.get(name) or "").strip() for name in ("study_uid", "accession"))
        if not id_ or id_ == "id" or not (studies or accessions):
            continue
        known = found.get(id_, Link())
        number = (accessions,) if accessions and not studies else ()  # the UID says more than the order
        found[id_] = Link((*known.accessions, *number), (*known.studies, *((studies,) if studies else ())))
    return found
