"""``--phi-known``: people and numbers that a hospital knows by name, found whatever their spelling.

A table with a head line and any delimiter. Columns are known by their names, in German or English:

* names: ``name``, ``patient_name``, ``vorname``, ``nachname``, ``first_name``, ``surname``, ``staff``, ``referrer``
* numbers: ``id``, ``ids``, ``patient_id``, ``fallnummer``, ``mrn``, ``insurance``, ...; dates: ``birth_date``, ...
* other things, as they stand: ``address``, ``street``, ``town``, ``phone``, ``email``, ``institution``, ...
* ``patient`` and ``accession`` limit a row to one patient or one report; the values are masked there as numbers.

An ordinary word or an eponym that is also a surname ("Herz", "Crohn") is masked only beside the rest of the name, a
title, an initial or a label; other names everywhere. Raises UsageError when no column is known.
"""

import csv
import hashlib
import hmac
import io
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from rrg.errors import UsageError
from rrg.keys import ID_HEX, pseudonym
from rrg.reports.phi_names import eponym_use
from rrg.reports.phi_spans import Spot, Tokens
from rrg.reports.phi_words import is_word, lists
from rrg.reports.text import decode
from rrg.reports.words import fold, word_set

_COLUMNS = {
    "name": """name names patient_name patientname pat_name patientenname vorname nachname familienname geburtsname
    firstname first_name lastname last_name surname given_name given family_name family middle_name staff
    staff_name arzt aerzte referrer referrer_name referring_physician zuweiser ueberweiser physician doctor
    personal mitarbeiter alias""",
    "id": """id ids patient_id patientid pat_id patid patientennummer patientnumber mrn pid piz fallnummer fallnr
    fall_nr case case_id visit encounter insurance insurance_id versichertennummer versicherungsnummer kvnr ssn number
    nummer patient_ids case_number patient_number auftragsnummer order_id study_uid""",
    "date": "birth_date birthdate birthday dob date_of_birth geburtsdatum geburtstag geb birth_dates birth",
    "address": "address adresse anschrift street strasse town city ort wohnort plz_ort postcode plz zip place",
    "phone": "phone phones telefon tel fax mobil mobile telephone",
    "email": "email e_mail mail",
    "institution": "institution institution_name klinik hospital practice praxis organisation organization department",
    "patient": "patient",
    "accession": "accession accession_number akzession",
}
_KIND = {name: kind for kind, names in _COLUMNS.items() for name in word_set(names)}
SHORTEST = 4
"""Numbers with fewer letters and digits are not looked for: "45" is an image."""
_SHORTEST_JOINED = 6
"""A number of fewer signs is not looked for across spaces and points: "12.34" is a size."""
_SHORTEST_NAME = 3
_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_HEX = re.compile(rf"[0-9a-f]{{{ID_HEX}}}")
_PARTICLES = word_set(
    "von van vom zu zur zum de der den del della di da dos le la el al bin ibn und dr prof med herr frau"
)
_TITLE = word_set("herr herrn frau fr hr dr prof mr mrs ms miss oa pd pat patient patientin patienten med")
_LABEL = word_set("name nachname vorname untersucher befunder zuweiser arzt gez physician radiologist by hausarzt")
MOST_ROWS_OF_ONE = 64


class Known(NamedTuple):
    """The table, by folded word."""

    names: dict[str, frozenset[str]]
    """Spelling of a part of a name -> "" for everybody, else the patients and reports it is limited to."""
    weak: dict[str, frozenset[str]]
    """Parts that are ordinary words or short: masked beside another part only."""
    numbers: dict[str, tuple[str, frozenset[str]]]
    """Letters and digits of a number -> kind and limits."""
    phrases: dict[str, tuple[tuple[tuple[str, ...], str, frozenset[str]], ...]]
    """First word -> all words, kind, limits."""


class Report(NamedTuple):
    """Whose text it is: keyed hashes that a limited row may name."""

    names: frozenset[str] = frozenset()


EMPTY = Known({}, {}, {}, {})


def digest(path: str, key: bytes) -> str:
    """Keyed hash of the table: a plain one would let anybody test guesses of its content."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"--phi-known {path}: {error.strerror}; give a readable CSV file") from None
    return hmac.new(key, b"phi-known\0" + data, hashlib.sha256).hexdigest()[:ID_HEX]


@lru_cache(2)
def load(path: str, key: bytes, expected: str = "") -> Known:
    """The table at `path`; once per process. `expected` is its `digest` at the start of the run."""
    if expected and digest(path, key) != expected:
        raise UsageError(f"--phi-known {path}: changed during the run; start again")
    text = decode(Path(path).read_bytes())
    lines = text.splitlines()
    if not lines:
        raise UsageError(f"--phi-known {path}: empty; expected a head line such as name;id;birth_date")
    delimiter = max(";,\t|", key=lambda sign: len(_kinds(lines[0], sign)) * 1000 + lines[0].count(sign))
    kinds = _kinds(lines[0], delimiter)
    if not any(kind not in ("patient", "accession") for kind in kinds.values()):
        raise UsageError(
            f"--phi-known {path}: no column is known; expected a head line with some of name, patient_name, staff, "
            "referrer, id, birth_date, address, phone, institution (and patient, accession to limit a row)"
        )
    names: dict[str, set[str]] = {}
    weak: dict[str, set[str]] = {}
    numbers: dict[str, tuple[str, set[str]]] = {}
    phrases: dict[str, dict[tuple[tuple[str, ...], str], set[str]]] = {}
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    next(rows)
    for row in rows:
        limits = _limits(row, kinds, key)
        for at, kind in kinds.items():
            if at >= len(row) or not (value := row[at].strip()):
                continue
            if kind == "name":
                for part in _LETTERS.findall(value):
                    ordinary = len(part) < _SHORTEST_NAME or is_word(part) or fold(part) in lists().eponyms
                    if fold(part) in _PARTICLES:
                        continue
                    for spelling in spellings(part):
                        (weak if ordinary else names).setdefault(spelling, set()).update(limits)
            elif kind in ("id", "patient", "accession", "phone"):
                for each in [value] if kind != "id" else re.split(r"[;,|]\s*", value):
                    bare = "".join(_WORD.findall(each)).casefold()
                    if len(bare) >= SHORTEST and any(letter.isdigit() for letter in bare) and not _HEX.fullmatch(value):
                        numbers.setdefault(bare, ("phone" if kind == "phone" else "id", set()))[1].update(limits)
            elif kind == "date":
                for form in _date_forms(value):
                    numbers.setdefault(form, ("date", set()))[1].update(limits)
            else:
                words = tuple(fold(word) for word in _WORD.findall(value))
                if words and (len(words) > 1 or not is_word(value)) and len("".join(words)) >= _SHORTEST_NAME:
                    phrases.setdefault(words[0], {}).setdefault((words, kind), set()).update(limits)
    return Known(
        {word: frozenset(who) for word, who in names.items()},
        {word: frozenset(who) for word, who in weak.items()},
        {word: (kind, frozenset(who)) for word, (kind, who) in numbers.items()},
        {
            first: tuple((words, kind, frozenset(who)) for (words, kind), who in found.items())
            for first, found in phrases.items()
        },
    )


def _kinds(head: str, delimiter: str) -> dict[int, str]:
    """Column -> kind, for the columns that are known."""
    names = next(csv.reader([head.lstrip("\ufeff")], delimiter=delimiter), [])
    folded = [re.sub(r"[\s./-]+", "_", fold(name.strip())).strip("_") for name in names]
    return {at: _KIND[name] for at, name in enumerate(folded) if name in _KIND}


def _limits(row: list[str], kinds: dict[int, str], key: bytes) -> set[str]:
    """Keyed hashes of the patient and report of a row; "" alone when it holds for all."""
    found: set[str] = set()
    for at, kind in kinds.items():
        if kind in ("patient", "accession") and at < len(row) and (value := row[at].strip()):
            found |= {value} if _HEX.fullmatch(value) else {pseudonym(key, kind, value)}
            if kind == "accession":
                found.add(pseudonym(key, "study", value))
    return found or {""}


def spellings(word: str) -> set[str]:
    """How a name may be written: "Müller" as mueller and muller, "Mueller" as muller too."""
    folded = fold(word)
    plain = _stripped(word)
    return {folded, plain, re.sub(r"([aou])e", r"\1", folded)} if len(folded) > _SHORTEST_NAME else {folded, plain}


@lru_cache(1 << 16)
def _stripped(word: str) -> str:
    base = unicodedata.normalize("NFD", word.casefold().replace("ß", "ss").replace("ł", "l").replace("ø", "o"))
    return "".join(letter for letter in base if not unicodedata.combining(letter))


def _date_forms(value: str) -> set[str]:
    """Digits of a birth date as it may be written: day first, year first, short year, with and without zeros."""
    parts = re.findall(r"\d+", value)
    if len(parts) == 1 and len(parts[0]) == 8:
        whole = parts[0]
        year_first = whole[:2] in ("18", "19", "20") and int(whole[4:6]) <= 12
        parts = [whole[:4], whole[4:6], whole[6:]] if year_first else [whole[:2], whole[2:4], whole[4:]]
    if len(parts) != 3:
        return set()
    year, month, day = parts if len(parts[0]) == 4 else parts[::-1]
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        month, day = day, month
    d, m = f"{int(day):02d}", f"{int(month):02d}"
    forms = {d + m + year, year + m + d, m + d + year}
    return forms | ({d + m + year[2:]} if len(year) == 4 else set())


def known_of(text: str, tokens: Tokens, known: Known, report: Report) -> Iterator[Spot]:
    """Places of the text that the table knows."""
    if known is EMPTY:
        return
    yield from _names(text, tokens, known, report)
    yield from _numbers(text, known, report)
    yield from _phrases(text, known, report)


def _holds(limits: frozenset[str], report: Report) -> bool:
    return "" in limits or not limits.isdisjoint(report.names)


def part_of(word: str, table: dict[str, frozenset[str]], report: Report) -> bool:
    """True when `word`, also in the genitive, is in the table for this report."""
    for spelling in (fold(word), _stripped(word)):
        for form in (spelling, spelling[:-1] if spelling.endswith("s") else spelling):
            if (limits := table.get(form)) is not None and _holds(limits, report):
                return True
    return False


def _names(text: str, tokens: Tokens, known: Known, report: Report) -> Iterator[Spot]:
    words, starts, ends = tokens
    strong = bytearray(len(words))
    weak: list[int] = []
    for i, word in enumerate(words):
        if not word[:1].isalpha():
            continue
        if part_of(word, known.names, report):
            if fold(word) in lists().shared and eponym_use(text, tokens, i):
                continue
            if len(word) > _SHORTEST_NAME or word.istitle():
                strong[i] = 1
            else:  # "LIA" may be short for something
                weak.append(i)
        elif word[:1].isupper() and part_of(word, known.weak, report):
            weak.append(i)
    for i in (*weak, *reversed(weak)):
        if not strong[i] and _in_name(text, tokens, i, strong):
            strong[i] = 1
    i = 0
    while i < len(words):
        if not strong[i]:
            i += 1
            continue
        last = i
        while last + 1 < len(words) and strong[last + 1] and starts[last + 1] - ends[last] <= 1:
            last += 1
        yield Spot(starts[i], ends[last], "name.known")
        i = last + 1


def _in_name(text: str, tokens: Tokens, i: int, strong: bytearray) -> bool:
    """True where an ordinary word stands as a name: beside a known part, a title, an initial or a label."""
    words, starts, ends = tokens
    for step in (-1, 1):
        at, crossed = i + step, 0
        while (
            0 <= at < len(words)
            and crossed < 3
            and (words[at] in ",.-:" or (len(words[at]) == 1 and words[at].isupper()))
        ):
            if len(words[at]) == 1 and words[at].isupper() and step < 0 and words[at + 1 : at + 2] == ["."]:
                return True  # an initial: "H. Herz"
            at, crossed = at + step, crossed + 1
        if not 0 <= at < len(words) or "\n" in text[min(ends[at], ends[i]) : max(starts[at], starts[i])]:
            continue
        if strong[at] and "." not in words[min(at, i) + 1 : max(at, i)]:
            return True
        if step < 0 and (fold(words[at]) in _TITLE or (fold(words[at]) in _LABEL and crossed)):
            return True
    return False


def _numbers(text: str, known: Known, report: Report) -> Iterator[Spot]:
    """Runs of letters and digits, up to six of them with single signs between."""
    if not known.numbers:
        return
    runs = [match.span() for match in _WORD.finditer(text)]
    for i, (start, _) in enumerate(runs):
        bare = ""
        best: Spot | None = None
        for last in range(i, min(i + 6, len(runs))):
            if last > i and not (
                runs[last][0] - runs[last - 1][1] == 1 or text[runs[last - 1][1] : runs[last][0]] == ". "
            ):
                break
            bare += text[runs[last][0] : runs[last][1]].casefold()
            if len(bare) > 64:
                break
            if last > i and len(bare) < _SHORTEST_JOINED:
                continue
            if (hit := known.numbers.get(bare)) is not None and _holds(hit[1], report):
                best = Spot(start, runs[last][1], f"{hit[0]}.known")
        if best is not None:
            yield best


def _phrases(text: str, known: Known, report: Report) -> Iterator[Spot]:
    if not known.phrases:
        return
    runs = [(fold(match.group()), *match.span()) for match in _WORD.finditer(text)]
    for i, (first, start, _) in enumerate(runs):
        for words, kind, limits in known.phrases.get(first, ())[:MOST_ROWS_OF_ONE]:
            last = i + len(words) - 1
            if last < len(runs) and _holds(limits, report) and tuple(run[0] for run in runs[i : last + 1]) == words:
                yield Spot(start, runs[last][2], f"{kind}.known")
