"""What ``rrg parse-reports`` does with a study: its reports, parsed and linked to its slices."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from rrg.errors import RecordError
from rrg.extract import Listed, listed, studies
from rrg.index import Index
from rrg.keys import pseudonym
from rrg.parallel import ordered_map
from rrg.pipe import Count, Group, Io, Item, Made, error_record
from rrg.records import Report, Slice
from rrg.reports.clinic import use_rules
from rrg.reports.coverage import note
from rrg.reports.lexicon import lexicon_version
from rrg.reports.link import resolve_all
from rrg.reports.llm_facts import checked
from rrg.reports.parse import parse
from rrg.reports.settings import Settings
from rrg.reports.sources import Entry, Where, index, read
from rrg.reports.text import clean
from rrg.stacks import StudyFiles
from rrg.stream import Line

COMMAND = "parse-reports"
NO_STUDY = (
    "no study of the stream belongs to this report; name it by accession number or Study Instance UID, use the key "
    "file of extract-slices, or pass --unmatched keep"
)


def parse_study(group: Group, *, settings: Settings) -> Iterator[Made]:
    """Report records of one study, in the order of the sources; unusable reports become E_REPORT."""
    slices = group.of(Slice)
    names = dict.fromkeys([each.study for each in slices] + [each.accession for each in slices if each.accession])
    table = index(settings.where)
    found = dict.fromkeys(at for name in names for at in table.by_name.get(name, ()))
    for at in sorted(found):
        yield from parse_entry(table.entries[at], slices, settings)


def parse_entry(entry: Entry, slices: Sequence[Slice | Listed], settings: Settings) -> Iterator[Made]:
    """The record of one report; with slices its references are looked up, without they stay ``unresolved``.

    Text first (read, clean, mask), then ``Report -> Report``, one small function a step.
    """
    study, patient = (slices[0].study, slices[0].patient) if slices else (None, None)
    try:
        source = _written(entry, settings)
        report = _draft(entry, source, settings, study, patient)
        report = _resolved(report, slices)
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
    yield report
    yield from _counts(report)


class _Source(NamedTuple):
    """A report before it is parsed."""

    text: str
    """Clean, and masked where that is on: all spans refer to it."""
    sha256: str
    """Of the report as given."""


def _written(entry: Entry, settings: Settings) -> _Source:
    """The text of a report. Raises RecordError(E_REPORT) when there is none."""
    written, sha256 = read(entry, settings.where)
    text = clean(written)
    if not any(letter.isalnum() for letter in text):
        raise RecordError("E_REPORT", "the report holds no text; export it again, or remove it")
    return _Source(text, sha256)


def _draft(entry: Entry, source: _Source, settings: Settings, study: str | None, patient: str | None) -> Report:
    """What the rules find in the text."""
    use_rules(settings.rules)
    facts = parse(source.text, entry.lang)
    own = f"{entry.id}\0{hashlib.sha256(source.text.encode('utf-8', 'surrogatepass')).hexdigest()}\0{study or ''}"
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
    )


def _resolved(report: Report, slices: Sequence[Slice | Listed]) -> Report:
    """With the slices that its references mean; without slices as it is."""
    if not slices:
        return report
    references = resolve_all(report.references, slices)
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


def _all_of(task: tuple[Entry, Settings]) -> list[Made]:
    return list(parse_entry(task[0], (), task[1]))


def indexed_items(opened: Index, where: Where, left: "Unmatched", has: Callable[[str], bool]) -> Iterator[Item]:
    """An item per study of a header index that a report belongs to; `left` is told which reports these are."""
    table = index(where)
    for patient, study, row in studies(opened, where.key):
        names = [study, *sorted(pseudonym(where.key, "accession", each) for each in row.accessions)]
        found = tuple(sorted({at for name in names for at in table.by_name.get(name, ())}))
        left.take(found)
        if found and has(patient):
            files = opened.study(row)
            known = files.digest() + ",".join(table.entries[at].id for at in found)
            key = hashlib.sha256(known.encode()).hexdigest()[:16]
            yield Item(f"{study}:{key}", patient, (files, found))


def parse_indexed(work: tuple[StudyFiles, tuple[int, ...]], *, settings: Settings) -> Iterator[Made]:
    """Report records of one study of a header index; references are resolved by the headers."""
    files, found = work
    slices = listed(files, settings.where.key)
    for at in found:
        yield from parse_entry(index(settings.where).entries[at], slices, settings)


class Unmatched:
    """Remembers which reports belong to a study of the stream; what is left comes at the end."""

    def __init__(self, settings: Settings, io: Io, *, keep: bool) -> None:
        self._settings = settings
        self._where = settings.where
        self._io = io
        self._keep = keep
        self._left = dict.fromkeys(range(len(index(settings.where).entries)))

    def seen(self, lines: Sequence[Line]) -> None:
        """Take the lines of one study."""
        table = index(self._where)
        names: dict[str, None] = {}
        for line in lines:
            if isinstance(line.value, dict) and line.value.get("schema") == "rrg.slice/1":
                for name in (line.value.get("study"), line.value.get("accession")):
                    if isinstance(name, str):
                        names[name] = None
        for name in names:
            self.take(table.by_name.get(name, ()))

    def take(self, found: Iterable[int]) -> None:
        """These reports belong to a study."""
        for at in found:
            self._left.pop(at, None)

    def tail(self) -> Iterable[Made]:
        """Error records, or reports without a study, of this shard."""
        entries = index(self._where).entries
        left = [entries[at] for at in self._left if self._io.has(entries[at].id)]
        if self._keep:
            tasks = ((entry, self._settings) for entry in left)
            for made in ordered_map(_all_of, tasks, self._io.workers):
                yield from made
            return
        for entry in left:
            error = RecordError("E_REPORT", entry.problem or NO_STUDY)
            yield error_record(error, COMMAND, f"report/{entry.id}")
