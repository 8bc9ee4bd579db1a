"""Reports and studies: which report belongs where, told before the work where all studies are known, and counted after.

Ambiguous is never guessed: a report whose patient has two studies on its day, or whose number fits two accession
numbers by leading zeros only, becomes an error record. A report of an order with several studies belongs to each of
them; its references count only where no other of these studies has a series of that number.
"""

import contextlib
import dataclasses
import functools
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from rrg.codec import schema_of
from rrg.errors import RecordError, RrgError
from rrg.extract import Listed, Named, listed, studies
from rrg.index import Index
from rrg.keys import date_of, pseudonym
from rrg.records import Reference, Slice
from rrg.reports.link import Decision, Slices, Votes
from rrg.reports.parse import parse
from rrg.reports.settings import Settings
from rrg.reports.sources import Where, index, read_whole
from rrg.reports.sources_keys import PATIENT_DATE, Link, patient_day
from rrg.stream import read_lines

COMMAND = "parse-reports"
EVIDENCE_STUDIES = 400
"""Studies with reports that decide, in a first pass, how image numbers are read."""
NO_DAY = (
    "the slices have no day (extract-slices --dates year), and --link patient+date needs one; use --index, or "
    "extract with --dates shift"
)


class Plan(NamedTuple):
    """What is known of reports and studies before the work begins."""

    ambiguous: Mapping[int, int]
    """Report -> how many studies fit. It goes to none of them."""
    skipped: frozenset[tuple[int, str]]
    """(report, study): another study fits better."""
    elsewhere: Mapping[str, Mapping[int, tuple[int, ...]]]
    """Study -> report -> series numbers that other studies of the report have, too."""


NOTHING = Plan({}, frozenset(), {})


def slice_names(each: Slice | Mapping[str, Any]) -> list[str]:
    """What a slice record (or its JSON) is found by: study, accession number, patient and day."""
    get = each.get if isinstance(each, Mapping) else functools.partial(getattr, each)
    values = (get(name, None) for name in ("study", "accession"))
    return [value for value in values if isinstance(value, str)]


def day_name(each: Slice | Mapping[str, Any], key: bytes) -> str | None:
    """Hash of patient and day of a slice. Raises RrgError when it has the year only."""
    get = each.get if isinstance(each, Mapping) else functools.partial(getattr, each)
    patient = get("patient", None)
    day = get("study_day", None) if get("study_day", None) is not None else get("study_date", None)
    if day is None and get("study_year", None) is not None:
        raise RrgError(NO_DAY)
    return patient_day(key, patient, day) if isinstance(patient, str) and isinstance(day, int | str) else None


def names_of(slices: Iterable[Slice | Mapping[str, Any]], where: Where) -> dict[str, None]:
    """All names of the slices of a study, in order."""
    names: dict[str, None] = {}
    seen: set[tuple[Any, ...]] = set()
    for each in slices:
        own = slice_names(each)
        if where.link == PATIENT_DATE:
            get = each.get if isinstance(each, Mapping) else functools.partial(getattr, each)
            mark = (*own, get("patient", None), get("study_day", None), get("study_date", None))
            if mark in seen:
                continue
            seen.add(mark)
            own += [day for day in (day_name(each, where.key),) if day is not None]
        names.update(dict.fromkeys(own))
    return names


def index_names(study: Named, opened: Index, where: Where) -> dict[str, None]:
    """The same for a study of a header index."""
    names = [study.study, *sorted(pseudonym(where.key, "accession", each) for each in study.row.accessions)]
    if where.link == PATIENT_DATE:
        days = {date for each in opened.dates(study.row) if (date := date_of(each)) is not None}
        names += sorted(patient_day(where.key, study.patient, day.isoformat()) for day in days)
    return dict.fromkeys(names)


# --- before: all studies are known


class Survey:
    """Which reports every study claims."""

    def __init__(self, where: Where) -> None:
        self._table = index(where)
        self._by_day = where.link == PATIENT_DATE
        self._claims: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.series: dict[str, set[int]] = defaultdict(set)
        """Study with reports -> its series numbers."""

    def add(self, study: str, names: Iterable[str]) -> bool:
        """Take a study (or a part of it). True when a report belongs to it."""
        claimed = False
        for name in names:
            for at in self._table.find(name):
                self._claims[at][study].add(name)
                claimed = True
        return claimed

    def shared(self) -> set[str]:
        """Studies that share a report with another one."""
        return {study for each in self._claims.values() if len(each) > 1 for study in each}

    def plan(self) -> Plan:
        """What follows."""
        ambiguous: dict[int, int] = {}
        skipped: set[tuple[int, str]] = set()
        elsewhere: dict[str, dict[int, tuple[int, ...]]] = defaultdict(dict)
        for at, claims in sorted(self._claims.items()):
            if len(claims) < 2:
                continue
            exact = {study for study, names in claims.items() if any(at in self._exact(name) for name in names)}
            fitting = exact or set(claims)
            skipped |= {(at, study) for study in claims if study not in fitting}
            names = {name for study in fitting for name in claims[study]}
            if len(fitting) > 1 and (self._by_day or (not exact and len(names) > 1)):
                ambiguous[at] = len(fitting)
                continue
            for study in fitting if len(fitting) > 1 else ():
                others = {number for other in fitting if other != study for number in self.series[other]}
                elsewhere[study][at] = tuple(sorted(others))
        return Plan(ambiguous, frozenset(skipped), dict(elsewhere))

    def _exact(self, name: str) -> tuple[int, ...]:
        return self._table.by_name.get(name, ())


def survey_lines(inputs: Sequence[Path], where: Where) -> Plan:
    """A first pass over files of slice records."""
    survey = Survey(where)
    known: dict[tuple[Any, ...], bool] = {}
    for line in read_lines(inputs):
        if schema_of(line.head) != "rrg.slice/1" or not isinstance(line.head["study"], str):
            continue
        value = line.value
        mark = tuple(value.get(name) for name in ("study", "accession", "patient", "study_day", "study_date"))
        if mark not in known:
            known[mark] = survey.add(value["study"], names_of([value], where))
        if known[mark] and isinstance(value.get("series_number"), int):
            survey.series[value["study"]].add(value["series_number"])
    return survey.plan()


def survey_index(opened: Index, where: Where) -> Plan:
    """A first pass over the studies of a header index; headers are read only of studies that share a report."""
    survey = Survey(where)
    known = {each.study: each for each in studies(opened, where.key)}
    for study, each in known.items():
        survey.add(study, index_names(each, opened, where))
    for study in survey.shared():
        headers = opened.study(known[study].row).headers
        survey.series[study] = {each.series_number for each in headers if each.series_number is not None}
    return survey.plan()


def save(plan: Plan) -> str | None:
    """Write a plan for the workers, to a file that `forget` removes. None when there is nothing to tell."""
    if plan == NOTHING:
        return None
    with tempfile.NamedTemporaryFile("w", prefix="rrg-reports-", suffix=".json", delete=False) as file:
        json.dump(_plain(plan), file)
    return file.name


def _plain(plan: Plan) -> list[Any]:
    elsewhere = [[study, at, numbers] for study, each in plan.elsewhere.items() for at, numbers in each.items()]
    return [sorted(plan.ambiguous.items()), sorted(plan.skipped), sorted(elsewhere)]


def plan_digest(plan: Plan) -> str | None:
    """Tells two plans apart; None for one that tells nothing."""
    return None if plan == NOTHING else sha256(json.dumps(_plain(plan)).encode()).hexdigest()


def table_digest(table: Mapping[str, Link]) -> str:
    """Tells two link tables apart."""
    return sha256(repr(sorted(table.items())).encode()).hexdigest()


@functools.lru_cache(1)
def load(path: str | None) -> Plan:
    """The plan of `save`; read once per process."""
    if path is None:
        return NOTHING
    ambiguous, skipped, elsewhere = json.loads(Path(path).read_bytes())
    by_study: dict[str, dict[int, tuple[int, ...]]] = defaultdict(dict)
    for study, at, numbers in elsewhere:
        by_study[study][at] = tuple(numbers)
    return Plan(dict(ambiguous), frozenset((at, study) for at, study in skipped), dict(by_study))


def forget(path: str | None) -> None:
    """Remove the file of a plan."""
    if path is not None:
        with contextlib.suppress(OSError):
            Path(path).unlink()


def reports_of(study: str, names: Iterable[str], settings: Settings) -> tuple[int, ...]:
    """Positions of the reports that belong to a study, in the order of the sources."""
    table, plan = index(settings.where), load(settings.plan)
    found = {at for name in names for at in table.find(name)}
    return tuple(sorted(at for at in found if at not in plan.ambiguous and (at, study) not in plan.skipped))


def only_here(references: Sequence[Reference], study: str, at: int, settings: Settings) -> tuple[Reference, ...]:
    """A reference of a report of several studies is ambiguous where another of them may hold what it means."""
    others = load(settings.plan).elsewhere.get(study, {}).get(at)
    if others is None:
        return tuple(references)
    return tuple(
        dataclasses.replace(each, status="ambiguous", slices=())
        if each.status == "resolved" and (each.series_number is None or each.series_number in others)
        else each
        for each in references
    )


def decide_readings(opened: Index, settings: Settings) -> dict[str, Decision]:
    """How image numbers are read, by the reports of the first studies of an index."""
    votes, used = Votes(), 0
    table = index(settings.where)
    for study in studies(opened, settings.where.key):
        found = reports_of(study.study, index_names(study, opened, settings.where), settings)
        if not found:
            continue
        slices: list[Listed] = listed(opened.study(study.row), settings.where.key)
        numbers = Slices(slices)
        for at in found:
            with contextlib.suppress(RecordError):
                text, _ = read_whole(at, settings.where)
                numbers.tell(parse(text, table.entries[at].lang).references, votes)
        used += 1
        if used == EVIDENCE_STUDIES:
            break
    return votes.decide()
