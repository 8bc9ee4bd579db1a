"""What ``rrg parse-reports`` does with a study: its reports, parsed and linked to its slices."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from rrg.errors import RecordError
from rrg.extract import Listed, listed, studies
from rrg.index import Index
from rrg.keys import pseudonym
from rrg.parallel import ordered_map
from rrg.pipe import Count, Group, Item, Made, error_record
from rrg.records import Lang, Report, Slice
from rrg.reports.clinic import use_rules
from rrg.reports.coverage import note
from rrg.reports.lexicon import lexicon, lexicon_version
from rrg.reports.link import resolve_all
from rrg.reports.linked import Reports
from rrg.reports.linking import index_names, names_of, only_here, reports_of
from rrg.reports.llm_facts import checked
from rrg.reports.parse import parse
from rrg.reports.phi import Masked, masked_or_refused
from rrg.reports.phi_map import write_map
from rrg.reports.phi_run import names_for
from rrg.reports.phi_words import lists
from rrg.reports.rewrite import rewritten
from rrg.reports.sections import headings
from rrg.reports.settings import Settings
from rrg.reports.several import FLAG as SEVERAL
from rrg.reports.several import reports_in
from rrg.reports.sources import Entry, index, read_whole
from rrg.stacks import StudyFiles

COMMAND = "parse-reports"


def ready(settings: Settings) -> None:
    """Load the lists that every report is read with."""
    headings()
    for lang in get_args(Lang):
        lexicon(lang)
    if settings.phi is not None:
        lists()


def parse_study(group: Group, *, settings: Settings) -> Iterator[Made]:
    """Report records of one study, in the order of the sources; unusable reports become E_REPORT."""
    slices = group.of(Slice)
    for at in reports_of(group.key, names_of(slices, settings.where), settings):
        yield from parse_entry(at, slices, settings)


def parse_entry(at: int, slices: Sequence[Slice | Listed], settings: Settings) -> Iterator[Made]:
    """The records of the report at a place of the sources: one, or each of those that its text holds."""
    entry = index(settings.where).entries[at]
    study, patient = (slices[0].study, slices[0].patient) if slices else (None, None)
    try:
        sources = [_masked(each, at, slices, settings) for each in _written(at, entry, settings)]
    except RecordError as error:
        yield error_record(error, COMMAND, f"report/{entry.id}", study=study, patient=patient)
        return
    if len(sources) > 1:
        yield Count("report.split", len(sources))
    for source in sources:
        yield from _parse_text(at, source, slices, settings)


def _parse_text(at: int, source: "_Source", slices: Sequence[Slice | Listed], settings: Settings) -> Iterator[Made]:
    """With slices the references are looked up, without they stay ``unresolved``.

    Text first (read, clean, mask), then ``Report -> Report``, one small function a step.
    """
    entry = index(settings.where).entries[at]
    study, patient = (slices[0].study, slices[0].patient) if slices else (None, None)
    try:
        report = _draft(entry, source, settings, study, patient)
        if source.masked is not None and settings.phi is not None and settings.phi.maps:
            places = source.masked.places
            write_map(Path(settings.phi.maps), report.id, places, source_sha256=source.sha256)
        report = _resolved(report, at, slices, settings)
    except RecordError as error:
        yield error_record(error, COMMAND, f"report/{entry.id}", study=study, patient=patient)
        return
    if settings.coverage is not None:
        note(report, settings.coverage)
    if settings.llm is not None:
        report, counts, problem = checked(report, settings.llm)
        yield from (Count(name, n) for name, n in sorted(counts.items()) if n)
        if problem is not None:
            yield error_record(problem, COMMAND, report.id, study=study, patient=patient)
    if settings.rewriting is not None:
        report, worded, problem = rewritten(report, settings.rewriting)
        yield from (Count(name, n) for name, n in sorted(worded.items()))
        if problem is not None:
            yield error_record(problem, COMMAND, report.id, study=study, patient=patient)
    yield report
    yield from _counts(report)


class _Source(NamedTuple):
    """A report before it is parsed."""

    text: str
    """Clean, and masked where that is on: all spans refer to it."""
    sha256: str
    """Of the report as given."""
    number: int = 0
    """Zero-based, where the file holds several."""
    flags: tuple[str, ...] = ()
    masked: Masked | None = None
    """Where its text was masked."""


def _masked(source: _Source, at: int, slices: Sequence[Slice | Listed], settings: Settings) -> _Source:
    """Without what identifies somebody, before anything else reads it. Raises RecordError(E_PHI) under ``fail``."""
    if settings.phi is None:
        return source
    names = names_for(settings.phi, settings.where, at, slices)
    masked = masked_or_refused(source.text, settings.phi, settings.where.key, names)
    return source._replace(text=masked.text, masked=masked)


def _written(at: int, entry: Entry, settings: Settings) -> list[_Source]:
    """The texts of a report, as a rule one. Raises RecordError(E_REPORT) when there is none."""
    text, sha256 = read_whole(at, settings.where)
    if not any(letter.isalnum() for letter in text):
        raise RecordError("E_REPORT", "the report holds no text; export it again, or remove it")
    parts, doubtful = reports_in(text, entry.lang) if entry.kind == "text" else ((text,), False)
    flags = (SEVERAL,) if doubtful else ()
    return [_Source(part, sha256, number, flags) for number, part in enumerate(parts)]


def _draft(entry: Entry, source: _Source, settings: Settings, study: str | None, patient: str | None) -> Report:
    """What the rules find in the text."""
    use_rules(settings.rules)
    facts = parse(source.text, entry.lang)
    own = f"{entry.id}\0{hashlib.sha256(source.text.encode('utf-8', 'surrogatepass')).hexdigest()}\0{study or ''}"
    own += f"\0{source.number}" if source.number else ""
    return Report(
        id=pseudonym(settings.where.key, "report text", own),
        patient=patient,
        study=study,
        text=source.text,
        lang=facts.lang,
        source_sha256=source.sha256,
        sections=facts.sections,
        sentences=facts.sentences,
        anatomy=facts.anatomy,
        findings=facts.findings,
        references=facts.references,
        measurements=facts.measurements,
        lexicon=lexicon_version(),
        status=entry.standing if entry.standing in ("preliminary", "final", "corrected") else None,
        flags=source.flags,
        phi=None if source.masked is None else source.masked.ledger,
    )


def _resolved(report: Report, at: int, slices: Sequence[Slice | Listed], settings: Settings) -> Report:
    """With the slices that its references mean; without slices as it is."""
    if not slices:
        return report
    known = None if settings.decisions is None else {each.kind: each for each in settings.decisions}
    references = resolve_all(report.references, slices, settings.image_number, known, report.text)
    references = only_here(references, slices[0].study, at, settings)
    names = dict.fromkeys(name for reference in references for name in reference.slices)
    return dataclasses.replace(report, references=references, from_=tuple(names))


def _counts(report: Report) -> Iterator[Count]:
    """What goes into the funnel."""
    yield Count("sentences", len(report.sentences))
    yield Count("mentions", len(report.anatomy))
    yield Count("findings", len(report.findings))
    yield Count("references", len(report.references))
    for status, n in sorted(Counter(reference.status for reference in report.references).items()):
        yield Count(f"references.{status}", n)
    readings = Counter(each.rule.rpartition("+")[2] for each in report.references if each.status == "resolved")
    for reading, n in sorted(readings.items()):
        yield Count(f"references.by_{reading}", n)
    for flag in report.flags:
        yield Count(f"report.{flag}")
    for rule, n in sorted((report.phi or {}).items()):
        yield Count(f"phi.{rule}", n)


def _all_of(task: tuple[int, Settings]) -> list[Made]:
    return list(parse_entry(task[0], (), task[1]))


def parse_alone(left: Iterable[int], settings: Settings, workers: int) -> Iterator[Made]:
    """The records of reports that belong to no study."""
    for made in ordered_map(_all_of, ((at, settings) for at in left), workers):
        yield from made


def indexed_items(opened: Index, settings: Settings, left: Reports, has: Callable[[str], bool]) -> Iterator[Item]:
    """An item per study of a header index that a report belongs to; `left` is told which reports these are."""
    table = index(settings.where)
    for each in studies(opened, settings.where.key):
        found = reports_of(each.study, index_names(each, opened, settings.where), settings)
        left.take(found, own=has(each.patient))
        if found and has(each.patient):
            files = opened.study(each.row)
            own = [table.entries[at] for at in found]
            known = files.digest() + ",".join(f"{entry.id}{entry.standing or ''}" for entry in own)
            key = hashlib.sha256(known.encode()).hexdigest()[:16]
            yield Item(f"{each.study}:{key}", each.patient, (files, found))


def parse_indexed(work: tuple[StudyFiles, tuple[int, ...]], *, settings: Settings) -> Iterator[Made]:
    """Report records of one study of a header index; references are resolved by the headers."""
    files, found = work
    slices = listed(files, settings.where.key)
    for at in found:
        yield from parse_entry(at, slices, settings)
