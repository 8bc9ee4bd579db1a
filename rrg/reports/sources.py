"""Where reports come from: text files named by accession number or Study Instance UID, CSV, JSON, JSON lines.

Only places are held in memory (path, offset, keyed hashes of the name); texts are read when they are parsed.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from rrg.errors import RecordError, RrgError, UsageError
from rrg.keys import ID_HEX, pseudonym
from rrg.records import Lang
from rrg.reports.text import decode

TEXT_FILES = frozenset((".txt", ".text", ".md", ".rtf", ".html", ".htm"))
TABLES = frozenset((".csv", ".tsv"))
JSON_FILES = frozenset((".json", ".jsonl", ".ndjson"))
KNOWN = TEXT_FILES | TABLES | JSON_FILES
LONGEST_FIELD = 1 << 27
"""Characters in one CSV field."""


class Where(NamedTuple):
    """The reports that a command was given."""

    paths: tuple[str, ...]
    text_column: str = "text"
    id_column: str = "id"
    key: bytes = b""
    """Secret of the pseudonyms."""


class Entry(NamedTuple):
    """One report, unread."""

    id: str
    """Keyed hash of its name; the same name in another language or a second time has another one."""
    accession: str
    study: str
    """Keyed hashes of its name, as an accession number and as a Study Instance UID."""
    lang: Lang | None
    """From the file name (``.de.txt``) or a ``lang`` column."""
    path: str
    offset: int = 0
    size: int = -1
    """Bytes from `offset`; -1: the whole file; for a JSON array, `offset` is the index."""
    problem: str | None = None
    """Why it can not be read."""


_PSEUDONYM = re.compile(rf"[0-9a-f]{{{ID_HEX}}}")


class Index(NamedTuple):
    """All reports and the hashes that find them."""

    entries: tuple[Entry, ...]
    by_name: dict[str, tuple[int, ...]]
    """Keyed hash (accession or study) -> positions in `entries`."""


@lru_cache(1)
def index(where: Where) -> Index:
    """Find all reports. Built once per process. Raises RrgError when there is none."""
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    for path in files_of(where.paths):
        for name, lang, offset, size, problem in _names(path, where):
            label = f"{name}\0{lang or ''}"
            count = seen[label] = seen.get(label, 0) + 1
            own = pseudonym(where.key, "report", f"{label}\0{count}" if count > 1 else label)
            accession, study = pseudonym(where.key, "accession", name), pseudonym(where.key, "study", name)
            if _PSEUDONYM.fullmatch(name):  # named by the study's own id, as it stands in the slice records
                study = name
            entries.append(Entry(own, accession, study, lang, str(path), offset, size, problem))
    if not entries:
        raise RrgError("--reports: no report found; expected .txt, .rtf, .html, .csv, .json or .jsonl files")
    by_name: dict[str, tuple[int, ...]] = {}
    for at, entry in enumerate(entries):
        if entry.problem is None:
            for name in (entry.accession, entry.study):
                by_name[name] = (*by_name.get(name, ()), at)
    return Index(tuple(entries), by_name)


def files_of(paths: tuple[str, ...]) -> Iterator[Path]:
    """Files of the kinds we read, of a folder in the order of their names."""
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = (each for each in path.rglob("*") if each.suffix.lower() in KNOWN and each.is_file())
            yield from sorted(inside, key=lambda each: each.relative_to(path).as_posix())
        elif path.is_file():
            yield path
        else:
            raise UsageError(f"--reports {given}: no such file or folder")


def digest(where: Where) -> str:
    """SHA-256 over the reports, whatever their folder is called: a run over other texts has another id."""
    total = hashlib.sha256()
    for path in files_of(where.paths):
        with path.open("rb") as file:
            total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def read(entry: Entry, where: Where) -> tuple[str, str]:
    """(text as decoded, SHA-256 of the report as given). Raises RecordError(E_REPORT)."""
    if entry.problem is not None:
        raise RecordError("E_REPORT", entry.problem)
    path = Path(entry.path)
    suffix = path.suffix.lower()
    try:
        if suffix == ".json":
            text = str(_json_items(str(path))[entry.offset][where.text_column])
            return text, _sha256(text)
        with path.open("rb") as file:
            file.seek(entry.offset)
            data = file.read() if entry.size < 0 else file.read(entry.size)
    except OSError as error:
        raise RecordError("E_REPORT", f"report file can not be read: {error.strerror}; check its rights") from None
    if suffix in TABLES:
        head, delimiter, encoding = _table(str(path), where.text_column, where.id_column)
        row = next(csv.reader(io.StringIO(data.decode(encoding, "replace"), newline=""), delimiter=delimiter))
        text = row[head.index(where.text_column)]
        return text, _sha256(text)
    if suffix in JSON_FILES:
        text = str(json.loads(data)[where.text_column])
        return text, _sha256(text)
    return decode(data), hashlib.sha256(data).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_Name = tuple[str, Lang | None, int, int, str | None]


def _names(path: Path, where: Where) -> Iterator[_Name]:
    """(name, language, offset, size, problem) of each report of a file."""
    suffix = path.suffix.lower()
    if suffix in TABLES:
        yield from _rows(path, where)
    elif suffix == ".json":
        yield from _json_names(path, where)
    elif suffix in JSON_FILES:
        yield from _json_lines(path, where)
    else:
        name, _, tag = path.name[: -len(path.suffix)].rpartition(".")
        if name and tag.lower() in ("de", "en"):
            yield name.strip(), cast(Lang, tag.lower()), 0, -1, None
        else:
            yield path.name[: -len(path.suffix)].strip(), None, 0, -1, None


def _lang(value: object) -> Lang | None:
    tag = str(value).strip().lower()[:2] if value else ""
    return cast(Lang, tag) if tag in ("de", "en") else None


@lru_cache(4)
def _table(path: str, text_column: str, id_column: str) -> tuple[list[str], str, str]:
    """(column names, delimiter, encoding) of a CSV file. Raises UsageError when the columns are not there."""
    encoding = "utf-8-sig"
    try:
        with Path(path).open(encoding=encoding, newline="") as file:
            for _ in file:
                pass
    except UnicodeDecodeError:
        encoding = "cp1252"
    with Path(path).open(encoding=encoding, errors="replace", newline="") as file:
        first = file.readline()
    for delimiter in (";", ",", "\t", "|"):
        head = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        if text_column in head and id_column in head:
            return head, delimiter, encoding
    raise UsageError(
        f"--reports {path}: no columns {id_column!r} and {text_column!r} in the head line; "
        "give --id-column and --text-column"
    )


def _rows(path: Path, where: Where) -> Iterator[_Name]:
    csv.field_size_limit(LONGEST_FIELD)
    head, delimiter, encoding = _table(str(path), where.text_column, where.id_column)
    at_id, at_text = head.index(where.id_column), head.index(where.text_column)
    at_lang = head.index("lang") if "lang" in head else None
    with path.open("rb") as file:
        offset = 0

        def lines() -> Iterator[str]:
            nonlocal offset
            for raw in file:
                offset += len(raw)
                yield raw.decode(encoding, "replace")

        start = 0
        for number, row in enumerate(csv.reader(lines(), delimiter=delimiter)):
            first, start = start, offset
            if number == 0 or not any(row):
                continue
            if len(row) <= max(at_id, at_text):
                problem = f"row {number + 1} of a table has {len(row)} columns, expected {len(head)}; check its quotes"
                yield f"{path.name}\0{number}", None, first, offset - first, problem
                continue
            lang = _lang(row[at_lang]) if at_lang is not None and at_lang < len(row) else None
            yield row[at_id].strip(), lang, first, offset - first, None


def _json_lines(path: Path, where: Where) -> Iterator[_Name]:
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if raw.strip():
                yield _object(_parsed(raw), where, f"{path.name}\0{number}", f"line {number}", offset, len(raw))
            offset += len(raw)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


@lru_cache(2)
def _json_items(path: str) -> list[Any]:
    value = _parsed(Path(path).read_bytes())
    return value if isinstance(value, list) else [value]


def _json_names(path: Path, where: Where) -> Iterator[_Name]:
    for number, item in enumerate(_json_items(str(path))):
        yield _object(item, where, f"{path.name}\0{number}", f"item {number}", number, 0)


def _object(item: Any, where: Where, otherwise: str, place: str, offset: int, size: int) -> _Name:
    """A JSON object as a report. Its fields are the same as the columns of a table."""
    fields = cast(dict[str, Any], item) if isinstance(item, dict) else {}
    name, text = fields.get(where.id_column), fields.get(where.text_column)
    if not isinstance(name, str | int) or not isinstance(text, str):
        problem = (
            f"{place} of a JSON file is no report: expected an object with {where.id_column!r} and "
            f"{where.text_column!r}; give --id-column and --text-column, or leave the file out"
        )
        return otherwise, None, offset, size, problem
    return str(name).strip(), _lang(fields.get("lang")), offset, size, None
