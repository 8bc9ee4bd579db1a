"""Files of predictions and references as rows: JSONL, JSON list, CSV, plain lines, record streams; gz or not."""

import csv
import gzip
import hashlib
import io
import json
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from pydantic_core import from_json

from rrg.codec import decode, schema_of
from rrg.errors import RecordError, RrgError
from rrg.pipe import check_closed
from rrg.records import KINDS, End, Prediction, Record, Run, Sample
from rrg.stream import check_stdin

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One row of a file."""

    line: int
    """One-based line, or one-based element of a JSON list."""
    value: Any
    """The decoded JSON object, or a record of ours."""


@dataclass(frozen=True)
class Source:
    """A file that was read."""

    path: str
    """As the user wrote it."""
    sha256: str
    """Of the bytes as they lie there (compressed ones of a .gz)."""
    rows: tuple[Row, ...]
    kind: Literal["records", "jsonl", "json", "csv", "lines"]

    @property
    def native(self) -> bool:
        """True for a stream of our own records."""
        return self.kind == "records"

    def where(self, row: int) -> str:
        """``FILE, line N`` for messages."""
        return f"{self.path}, {'row' if self.kind == 'json' else 'line'} {row}"


def read_source(path: Path, *, partial: bool = False) -> Source:
    """Read a whole file, or stdin for ``-``. RrgError names file and line of what can not be read."""
    name = str(path)
    with _open(path) as raw:
        sha256 = hashlib.file_digest(cast(Any, raw), "sha256").hexdigest()
        raw.seek(0)
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        file: IO[bytes] = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw
        try:
            kind, rows = _rows(file, name, partial=partial)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise RrgError(f"{name}: damaged gzip file; copy it again") from None
    return Source(name, sha256, tuple(rows), kind)


def _open(path: Path) -> IO[bytes]:
    if str(path) == "-":
        check_stdin("predictions")
        spool = cast(IO[bytes], tempfile.SpooledTemporaryFile(max_size=1 << 26))  # noqa: SIM115 - the caller closes it
        while block := sys.stdin.buffer.read(1 << 20):
            spool.write(block)
        spool.seek(0)
        return spool
    try:
        return path.open("rb")
    except OSError as error:
        raise RrgError(f"{path}: {error.strerror}", "E_IO") from None


Kind = Literal["records", "jsonl", "json", "csv", "lines"]


def _rows(file: IO[bytes], name: str, *, partial: bool) -> tuple[Kind, list[Row]]:
    first, number = b"", 0
    for number, line in enumerate(file, 1):
        if first := (line.removeprefix(BOM) if number == 1 else line).strip():
            break
    if not first:
        return "jsonl", []
    stem = name.removesuffix(".gz")
    if stem.endswith(".tok"):
        file.seek(0)
        return "lines", list(_plain(file, name))
    if stem.endswith(".csv") or first[:1] not in (b"{", b"["):
        file.seek(0)
        return "csv", list(_csv(file, name))
    if first[:1] == b"{":
        head = _one_object(first)
        if head is not None and (schema_of(head) or "").startswith("rrg."):
            file.seek(0)
            return "records", list(_records(file, name, partial=partial))
        if head is not None and not _is_lists(head):
            file.seek(0)
            return "jsonl", list(_jsonl(file, name))
    file.seek(0)
    return "json", list(_json(file, name))


def _one_object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_lists(value: dict[str, Any]) -> bool:
    """RadEval's form: two parallel lists in one object."""
    return isinstance(value.get("references"), list) and isinstance(value.get("hypotheses"), list)


def _jsonl(file: IO[bytes], name: str) -> Iterator[Row]:
    for number, raw in enumerate(file, 1):
        line = (raw.removeprefix(BOM) if number == 1 else raw).strip()
        if not line:
            continue
        try:
            value = _parsed(line)
        except ValueError:
            raise RrgError(f"{name}, line {number}: not JSON; every line must be one JSON object") from None
        if not isinstance(value, dict):
            raise RrgError(f"{name}, line {number}: expected a JSON object, found {type(value).__name__}")
        yield Row(number, value)


def _parsed(line: bytes) -> Any:
    """The JSON value of a line: by the quick parser of pydantic, and where that gives up, by Python's."""
    try:
        return from_json(line)
    except ValueError:
        return json.loads(line)


def _json(file: IO[bytes], name: str) -> Iterator[Row]:
    try:
        value = json.loads(file.read().removeprefix(BOM))
    except json.JSONDecodeError as error:
        raise RrgError(f"{name}, line {error.lineno}: not JSON ({error.msg})") from None
    except UnicodeDecodeError as error:
        raise RrgError(f"{name}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if isinstance(value, dict) and _is_lists(value):
        references, hypotheses = value["references"], value["hypotheses"]
        if len(references) != len(hypotheses):
            raise RrgError(
                f"{name}: {len(references)} references and {len(hypotheses)} hypotheses; give as many of both"
            )
        pairs = zip(references, hypotheses, strict=True)
        value = [{"id": str(n), "ref": ref, "hyp": hyp} for n, (ref, hyp) in enumerate(pairs)]
    if not isinstance(value, list):
        raise RrgError(f"{name}: expected a JSON list or one JSON object a line, found one {type(value).__name__}")
    for number, row in enumerate(value, 1):
        if not isinstance(row, dict):
            raise RrgError(f"{name}, row {number}: expected a JSON object, found {type(row).__name__}")
        yield Row(number, row)


def _text(file: IO[bytes], name: str) -> str:
    data = file.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RrgError(f"{name}, line {line}: not UTF-8; save the file as UTF-8") from None


def _csv(file: IO[bytes], name: str) -> Iterator[Row]:
    csv.field_size_limit(1 << 30)
    reader = csv.DictReader(io.StringIO(_text(file, name), newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                wanted = len(reader.fieldnames or ())
                raise RrgError(f"{name}, line {reader.line_num}: the header has {wanted} columns, this row has not")
            yield Row(reader.line_num, dict(row))
    except csv.Error as error:
        raise RrgError(f"{name}, line {reader.line_num}: not CSV ({error})") from None


def _plain(file: IO[bytes], name: str) -> Iterator[Row]:
    for number, line in enumerate(_text(file, name).splitlines(), 1):
        yield Row(number, {"id": str(number), "prediction": line, "reference": line})


_READ = (Sample, Prediction, Run, End)
_WANTED: dict[str, type[Record]] = {name: kind for name, kind in KINDS.items() if kind in _READ}
_HEADS = {f'{{"schema":"{name}"'.encode(): name for name in KINDS}


def _records(file: IO[bytes], name: str, *, partial: bool) -> Iterator[Row]:
    """Samples and predictions of a record stream. A cut stream is an error unless `partial`."""
    seen: dict[tuple[str, str], Record] = {}
    for number, raw in enumerate(file, 1):
        line = (raw.removeprefix(BOM) if number == 1 else raw).strip()
        if not line:
            continue
        head = line[: line.find(b",")].removesuffix(b"}")
        if (schema := _HEADS.get(head)) is None:
            try:
                schema = schema_of(json.loads(line)) or ""
            except ValueError:
                if partial and not raw.endswith(b"\n"):
                    break  # the torn last line of a killed run
                raise RrgError(f"{name}, line {number}: not JSON; every line must be one JSON object") from None
        if (kind := _WANTED.get(schema)) is None:
            continue
        try:
            record = decode(line, kind)
        except RecordError as error:
            if partial and not raw.endswith(b"\n"):
                break
            raise RrgError(f"{name}, line {number}: {error.message}") from None
        if isinstance(record, Run | End):
            seen[schema, record.id if isinstance(record, Run) else record.run] = record
        else:
            seen.setdefault((schema, record.run), record)
            yield Row(number, record)
    if not partial:
        check_closed(seen.values(), name)
