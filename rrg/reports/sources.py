"""Where reports come from: text files named by accession number or Study Instance UID, tables, JSON, HL7 v2, FHIR, SR.

What a file is, its content says; its name only tells CSV and JSON apart from text. Only places are held in memory
(path, offset, keyed hashes of the names); texts are read when they are parsed.
"""

import array
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, cast

from rrg.errors import RecordError, RrgError, UsageError
from rrg.keys import pseudonym
from rrg.records import Lang
from rrg.reports import hl7, sr
from rrg.reports.headings import joined
from rrg.reports.named import Named, Standing
from rrg.reports.sources_columns import Columns, columns_of
from rrg.reports.sources_keys import Loose, keys_of, link_table, number_of
from rrg.reports.sources_tables import json_names, json_text, table_names, table_text
from rrg.reports.text import clean, decode, no_text
from rrg.reports.versions import Version, choose

TEXT_FILES = frozenset((".txt", ".text", ".md", ".rtf", ".html", ".htm"))
TABLES = frozenset((".csv", ".tsv"))
JSON_FILES = frozenset((".json", ".jsonl", ".ndjson", ".fhir"))
Kind = Literal["text", "table", "json", "hl7", "sr"]
HEAD_BYTES = 4096


class Where(NamedTuple):
    """The reports that a command was given."""

    paths: tuple[str, ...]
    columns: Columns = columns_of(())
    key: bytes = b""
    """Secret of the pseudonyms."""
    link: str = ""
    """``study-uid``, ``accession``, ``patient+date``, or the path of a table; empty: what the report names."""


class Entry(NamedTuple):
    """One report, unread."""

    id: str
    """Keyed hash of its name; the same name in another language or a second time has another one."""
    lang: Lang | None
    path: str
    kind: Kind
    offset: int = 0
    size: int = -1
    """Bytes from `offset`; -1: the whole file; of a JSON array `offset` is the index and `size` 0."""
    part: int = 0
    standing: Standing | None = None
    problem: str | None = None
    """Why it can not be read."""


class Index(NamedTuple):
    """All reports and the hashes that find them."""

    entries: tuple[Entry, ...]
    by_name: dict[str, tuple[int, ...]]
    """Keyed hash (of an accession number, a study, a patient and day) -> positions in `entries`."""
    loose: Loose
    """The same for accession numbers that differ by leading zeros or blanks."""
    superseded: frozenset[int]
    addenda: dict[int, tuple[int, ...]]
    """Report -> its addenda; those are no reports of their own."""

    def find(self, name: str) -> tuple[int, ...]:
        """Positions of the reports that a name of a study finds; those of another spelling only where none fits."""
        return self.by_name.get(name) or self.loose.find(name)


@lru_cache(1)
def index(where: Where) -> Index:
    """Find all reports. Built once per process. Raises RrgError when there is none."""
    entries: list[Entry] = []
    versions: list[Version] = []
    keys = Keys([], array.array("Q"), array.array("Q", [0]))
    seen: dict[str, int] = {}
    table = link_table(where.link)
    for path, kind in _files(where.paths):
        for named in _names(path, kind, where):
            label = f"{named.own}\0{named.lang or ''}"
            count = seen[label] = seen.get(label, 0) + 1
            own = pseudonym(where.key, "report", f"{label}\0{count}" if count > 1 else label)
            at, problem = len(entries), named.problem
            group = None if problem or named.group is None else pseudonym(where.key, "report group", named.group)
            earlier = tuple(pseudonym(where.key, "report group", each) for each in named.replaces)
            versions.append(Version(at, group, earlier, named.lang, named.standing, named.version))
            keys.add(*(((), ()) if problem else keys_of(named, where.key, where.link, table)))
            entries.append(
                Entry(
                    own,
                    named.lang,
                    str(path),
                    kind,
                    named.offset,
                    named.size,
                    named.part,
                    named.standing,
                    problem,
                )
            )
    if not entries:
        raise RrgError(
            "--reports: no report found; expected text, RTF, HTML, CSV, JSON, HL7 v2 messages, FHIR or DICOM SR files"
        )
    return _linked(entries, versions, keys)


class Keys(NamedTuple):
    """What finds each report."""

    exact: list[tuple[str, ...]]
    loose: "array.array[int]"
    """First 64 bits of the hashes of other spellings, of all reports in order."""
    ends: "array.array[int]"
    """Where those of each report end, after a 0."""

    def add(self, exact: tuple[str, ...], loose: tuple[str, ...]) -> None:
        """The next report."""
        self.exact.append(exact)
        self.loose.extend(map(number_of, loose))
        self.ends.append(len(self.loose))


def _linked(entries: list[Entry], versions: list[Version], keys: Keys) -> Index:
    """Choose versions, and let the names of a whole group find the one that counts."""
    kept = choose(versions)
    for at in kept.withdrawn:
        entries[at] = entries[at]._replace(problem="the source withdrew this report (cancelled, deleted, or in error)")
    addenda = {at for each in kept.addenda.values() for at in each}
    by_name: dict[str, list[int]] = {}
    numbers, reports = array.array("Q"), array.array("q")
    for at, entry in enumerate(entries):
        if (entry.problem is not None and at not in kept.withdrawn) or at in kept.superseded or at in addenda:
            continue
        for member in (at, *kept.members.get(at, ())):
            for name in keys.exact[member]:
                found = by_name.setdefault(name, [])
                if not found or found[-1] != at:
                    found.append(at)
            own = keys.loose[keys.ends[member] : keys.ends[member + 1]]
            numbers.extend(own)
            reports.extend([at] * len(own))
    names = {name: tuple(found) for name, found in by_name.items()}
    return Index(tuple(entries), names, Loose(numbers, reports), kept.superseded, kept.addenda)


def kind_of(path: Path, *, alone: bool) -> Kind | None:
    """What a file is. Inside a folder, None for a file of no kind we know; a file given by itself is text then."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    suffix = path.suffix.lower()
    if sr.is_dicom(head):
        return "sr"
    if hl7.is_hl7(head):
        return "hl7"
    if suffix in JSON_FILES:
        return "json"
    if suffix in TABLES:
        return "table"
    if head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"[") and b'"resourceType"' in head:
        return "json"
    return "text" if suffix in TEXT_FILES or alone else None


def _files(paths: tuple[str, ...]) -> Iterator[tuple[Path, Kind]]:
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = sorted((each for each in path.rglob("*") if each.is_file()), key=lambda each: _order(each, path))
            for each in inside:
                if (kind := _kind(each, alone=False)) is not None:
                    yield each, kind
        elif path.is_file():
            if (kind := _kind(path, alone=True)) is not None:
                yield path, kind
        else:
            raise UsageError(f"--reports {given}: no such file or folder")


def _kind(path: Path, *, alone: bool) -> Kind | None:
    """As `kind_of`; a file that may not be read is told as one, when its turn comes."""
    try:
        return kind_of(path, alone=alone)
    except OSError:
        return "text" if alone or path.suffix.lower() in TEXT_FILES | TABLES | JSON_FILES else None


def _order(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def digest(where: Where) -> str:
    """SHA-256 over the reports, whatever their folder is called: a run over other texts has another id."""
    total = hashlib.sha256()
    for path, _ in _files(where.paths):
        try:
            with path.open("rb") as file:
                total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        except OSError:
            total.update(f"{path.name}\0\n".encode())
    return total.hexdigest()


def read(entry: Entry, where: Where) -> tuple[str, str]:
    """(text as decoded, SHA-256 of the report as given). Raises RecordError(E_REPORT)."""
    if entry.problem is not None:
        raise RecordError("E_REPORT", entry.problem)
    path = Path(entry.path)
    try:
        if entry.kind == "sr":
            return sr.text(path), _sha256(path.read_bytes())
        if entry.kind == "json" and entry.size == 0:
            text = json_text(path, None, entry.offset, entry.part, where.columns)
            return text, _sha256(text.encode("utf-8", "surrogatepass"))
        with path.open("rb") as file:
            file.seek(entry.offset)
            data = file.read() if entry.size < 0 else file.read(entry.size)
    except OSError as error:
        raise RecordError("E_REPORT", f"report file can not be read: {error.strerror}; check its rights") from None
    if entry.kind == "text":
        if (other := no_text(data)) is not None:
            raise RecordError("E_REPORT", f"report file is {other}; expected text, RTF or HTML: export it as text")
        return decode(data), _sha256(data)
    if entry.kind == "hl7":
        return hl7.text(data, entry.part), _sha256(data)
    if entry.kind == "table":
        text = table_text(path, data, where.columns)
    else:
        text = json_text(path, data, 0, entry.part, where.columns)
    return text, _sha256(text.encode("utf-8", "surrogatepass"))


def read_whole(at: int, where: Where) -> tuple[str, str]:
    """(clean text, SHA-256) of a report with its addenda below it. Raises RecordError(E_REPORT).

    An addendum that repeats the whole report takes its place. One that can not be read is an error of its report: what
    it corrects is not known.
    """
    table = index(where)
    entry = table.entries[at]
    text, sha256 = read(entry, where)
    text = clean(text)
    if entry.standing == "addendum":
        text = joined([("addendum", text)], entry.lang)
    for each in table.addenda.get(at, ()):
        more, own = read(table.entries[each], where)
        more = clean(more)
        sha256 = _sha256(f"{sha256}{own}".encode())
        bare = " ".join(text.split())
        text = more if bare in " ".join(more.split()) else joined([(None, text), ("addendum", more)], entry.lang)
    return text, sha256


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _names(path: Path, kind: Kind, where: Where) -> Iterator[Named]:
    alone = str(path) in where.paths
    if kind == "text":
        yield _file_named(path)
        return
    try:
        if kind == "table":
            yield from table_names(path, where.columns)
        elif kind == "json":
            yield from json_names(path, where.columns)
        elif kind == "hl7":
            yield from hl7.names(path)
        else:
            yield from sr.names(path, alone=alone)
    except OSError as error:
        yield Named(path.name, problem=f"report file can not be read: {error.strerror}; check its rights")


def _file_named(path: Path) -> Named:
    """A text file: its name is the accession number, Study Instance UID or study id; ``.de`` or ``.en`` may follow."""
    known = path.suffix.lower() in TEXT_FILES
    stem = path.name[: -len(path.suffix)] if known else path.name
    name, _, tag = stem.rpartition(".")
    if name and tag.lower() in ("de", "en"):
        return Named(name.strip(), name=name.strip(), lang=cast(Lang, tag.lower()))
    return Named(stem.strip(), name=stem.strip())
