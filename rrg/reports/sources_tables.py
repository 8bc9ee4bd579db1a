"""Reports in tables: CSV (semicolon, comma, tab or bar; UTF-8, UTF-16, Windows-1252), JSON and JSON lines."""

import csv
import io
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from rrg.errors import RecordError, UsageError
from rrg.reports import fhir
from rrg.reports.named import Named
from rrg.reports.sources_columns import Columns, missing, row_named, row_text
from rrg.reports.text import decode, encoding_of

LONGEST_FIELD = 1 << 27
"""Characters in one CSV field."""


class _Table(NamedTuple):
    head: tuple[str, ...]
    delimiter: str
    encoding: str


@lru_cache(4)
def _table(path: str, columns: Columns) -> _Table:
    """How a CSV file is written. Raises UsageError when it lacks a column."""
    encoding = _encoding(Path(path))
    with Path(path).open("rb") as file:
        first = next(_raw_lines(file, encoding), b"").decode(encoding, "replace").lstrip("\ufeff")
    heads = {
        delimiter: tuple(name.strip() for name in next(csv.reader([first], delimiter=delimiter), []))
        for delimiter in (";", ",", "\t", "|")
    }
    for delimiter, head in heads.items():
        if not missing(columns, head):
            return _Table(head, delimiter, encoding)
    best = max(heads.values(), key=len)
    lacking = ", ".join(repr(name) for name in missing(columns, best))
    raise UsageError(
        f"--reports {path}: no column {lacking} in the head line; give --id-column and --text-column, or --column"
    )


def _encoding(path: Path) -> str:
    """Of a whole file, read in pieces. UTF-16 by its mark or zero bytes; UTF-8 where all of it is."""
    with path.open("rb") as file:
        head = file.read(4096)
        first = encoding_of(head)
        if first in ("utf-16", "utf-16-le", "utf-16-be"):
            return "utf-16-be" if first == "utf-16-be" or head.startswith(b"\xfe\xff") else "utf-16-le"
        file.seek(0)
        odd = bytearray()
        for raw in file:
            if not raw.isascii() and len(odd) < 1 << 20:
                odd += raw
    found = encoding_of(bytes(odd))
    return "utf-8" if found == "utf-8-sig" else found


def _raw_lines(file: IO[bytes], encoding: str) -> Iterator[bytes]:
    """Lines with their ends; of UTF-16 a line ends at a whole code unit."""
    if not encoding.startswith("utf-16"):
        yield from file
        return
    end = "\n".encode(encoding)
    held = bytearray()
    start = 0
    while piece := file.read(1 << 16):
        held += piece
        while (at := held.find(end, start)) >= 0:
            if at % 2:
                start = at + 1
                continue
            yield bytes(held[: at + 2])
            del held[: at + 2]
            start = 0
        start = max(0, len(held) - 1)
    if held:
        yield bytes(held)


def table_names(path: Path, columns: Columns) -> Iterator[Named]:
    """The reports of a CSV file, a row each."""
    csv.field_size_limit(LONGEST_FIELD)
    table = _table(str(path), columns)
    places = {name: at for at, name in reversed(list(enumerate(table.head)))}
    most = max(places[column] for _, column in columns.pairs if column in places)
    with path.open("rb") as file:
        offset = 0

        def lines() -> Iterator[str]:
            nonlocal offset
            for raw in _raw_lines(file, table.encoding):
                offset += len(raw)
                yield raw.decode(table.encoding, "replace")

        start = 0
        for number, row in enumerate(csv.reader(lines(), delimiter=table.delimiter)):
            first, start = start, offset
            if number == 0 or not any(row):
                continue
            if len(row) <= most and len(row) < len(table.head):
                problem = (
                    f"row {number + 1} of a table has {len(row)} columns, expected {len(table.head)}; check its quotes"
                )
                yield Named(f"{path.name}\0{number}", first, offset - first, problem=problem)
                continue
            named = row_named(columns, _getter(row, places), f"{path.name}\0{number}", f"row {number + 1} of a table")
            yield named._replace(offset=first, size=offset - first)


def _getter(row: list[str], places: dict[str, int]) -> Any:
    return lambda column: row[places[column]] if column in places and places[column] < len(row) else None


def table_text(path: Path, data: bytes, columns: Columns) -> str:
    """The text of the row that `data` is."""
    csv.field_size_limit(LONGEST_FIELD)
    table = _table(str(path), columns)
    line = io.StringIO(data.decode(table.encoding, "replace"), newline="")
    row = next(csv.reader(line, delimiter=table.delimiter))
    places = {name: at for at, name in reversed(list(enumerate(table.head)))}
    return row_text(columns, _getter(row, places))


# --- JSON


def is_lines(path: Path) -> bool:
    """True for a file of one JSON value a line, by its name, or because its first line is a value and more follow."""
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return True
    with path.open("rb") as file:
        first, rest = file.readline(), file.read(1)
    return bool(rest) and isinstance(_parsed(first), dict)


def json_names(path: Path, columns: Columns) -> Iterator[Named]:
    """The reports of a JSON file: an array of objects, a line each, or FHIR resources."""
    if not is_lines(path):
        for number, item in enumerate(_items(str(path))):
            yield from _object(item, columns, path, f"item {number}", number, 0, _bundle(str(path)))
        return
    around = fhir.Around(())
    if _has_fhir(path):
        with path.open("rb") as file:
            around = fhir.Around(filter(fhir.is_context, map(_parsed, file)))
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if raw.strip():
                yield from _object(_parsed(raw), columns, path, f"line {number}", offset, len(raw), around)
            offset += len(raw)


def _has_fhir(path: Path) -> bool:
    with path.open("rb") as file:
        return b'"resourceType"' in file.read(1 << 16)


def _object(
    item: Any, columns: Columns, path: Path, place: str, offset: int, size: int, around: fhir.Around
) -> Iterator[Named]:
    otherwise = f"{path.name}\0{offset if size else place}"
    if fhir.is_resource(item):
        for named in fhir.names(item, around, otherwise, path.stem):
            yield named._replace(offset=offset, size=size)
        return
    if item is None:
        problem = f"{place} of a JSON file is cut off or no JSON; expected an object: export it again"
        yield Named(otherwise, offset, size, problem=problem)
        return
    fields = cast(dict[str, Any], item) if isinstance(item, dict) else {}
    texts = [column for field, column in columns.pairs if field == "text"] or [c for _, c in columns.sections()]
    if not any(isinstance(fields.get(column), str) for column in texts):
        problem = (
            f"{place} of a JSON file is no report: expected an object with {' or '.join(map(repr, texts))}; "
            "give --id-column and --text-column, or leave the file out"
        )
        yield Named(otherwise, offset, size, problem=problem)
        return
    named = row_named(columns, _field(fields), otherwise, f"{place} of a JSON file")
    yield named._replace(offset=offset, size=size)


def _field(fields: dict[str, Any]) -> Any:
    def get(column: str) -> str | None:
        value = fields.get(column)
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None

    return get


def json_text(path: Path, data: bytes | None, number: int, part: int, columns: Columns) -> str:
    """The text of the object in `data`, or of item `number` of the file."""
    item = _parsed(data) if data is not None else _items(str(path))[number]
    if fhir.is_resource(item):
        return fhir.text(item, part)
    if not isinstance(item, dict):
        raise RecordError("E_REPORT", "a JSON report changed while it was read; run again")
    return row_text(columns, _field(cast(dict[str, Any], item)))


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(decode(raw).lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None


@lru_cache(2)
def _items(path: str) -> list[Any]:
    value = _parsed(Path(path).read_bytes())
    return value if isinstance(value, list) else [value]


@lru_cache(2)
def _bundle(path: str) -> fhir.Around:
    return fhir.Around(_items(path))
