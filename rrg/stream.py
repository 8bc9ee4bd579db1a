"""Lines in, lines out: claimed stdout, whole files, the journal that makes a stage resumable."""

import codecs
import contextlib
import fcntl
import functools
import json
import os
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, TextIO

from pydantic_core import SchemaValidator, ValidationError, core_schema, from_json

from rrg.errors import RrgError, UsageError, plain_target

LONGEST_LINE = 1 << 26
"""Bytes. Records hold facts and references, never pixels: a longer line is no record, and would fill the memory."""
PIPE = 1 << 20
"""Bytes; what Linux lets anyone have."""
BUFFER = 1 << 18
"""Bytes that are read at a time. With Python's 8 KB the stage before, at a full pipe, is woken for every few lines."""
SEPARATOR = b"\x1e"
"""What begins each line of a JSON text sequence (RFC 7464)."""
HEAD = ("schema", "study", "patient")
_HEAD = SchemaValidator(
    core_schema.typed_dict_schema(
        {name: core_schema.typed_dict_field(core_schema.any_schema(), required=False) for name in HEAD},
        extra_behavior="ignore",
    )
)


class Line(NamedTuple):
    """One line as it came, without its line end. All of it is JSON; what is not in its head is told by `value`."""

    raw: bytes
    head: Any
    """Of an object the fields of `HEAD` that it has, of anything else all of it."""

    @property
    def value(self) -> Any:
        """What the line says; made anew with each call."""
        return _value(self.raw)


def claim_stdout() -> IO[bytes]:
    """Take fd 1 for records and point fd 1 at stderr, so that no library's print can corrupt the stream.

    A pipe is made to hold `PIPE` bytes where the system lets it: all samples of a study come at once, and with the
    usual 64 KB a stage would wait until those behind it have worked them off before it goes on to its next study.
    """
    sys.stdout.flush()
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, PIPE)
    claimed = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)
    return claimed


class _TooLongError(ValueError):
    """A line of more than `LONGEST_LINE`."""


def _value(data: bytes) -> Any:
    """The value of a line. ValueError for one that is no JSON."""
    try:
        return from_json(data)  # twice as fast as json
    except ValueError:  # what it refuses may still be JSON: a lone surrogate
        pass
    try:
        value = json.loads(data.decode())  # of bytes it would guess UTF-16
    except RecursionError:
        raise ValueError("nested too deep") from None
    for name in HEAD if isinstance(value, dict) else ():
        str(value.get(name)).encode()  # a lone surrogate can not be written again
    return value


def _load(raw: bytes) -> Line:
    """The line of `raw`, which may have its line end. ValueError for one that is no JSON, and for null."""
    if len(raw) > LONGEST_LINE:
        raise _TooLongError
    data = raw.rstrip(b"\r\n")
    try:
        head = _HEAD.validate_json(data)  # reads all, makes objects of the head only
    except ValidationError:
        data = data.removeprefix(codecs.BOM_UTF8).removeprefix(SEPARATOR)
        head = _value(data)
    if head is None:
        raise ValueError("null")
    return Line(data, head)


def _no_line(name: str, number: int, why: BaseException | None) -> RrgError:
    fault = "not JSON; every line must be one JSON object"
    if isinstance(why, _TooLongError):
        fault = f"longer than {LONGEST_LINE >> 20} MiB; that is no record: look at the stage before"
    return RrgError(f"{name}, line {number}: {fault}")


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[int, int, Line]]:
    """(offset, bytes with the line end, line) of all but empty lines; of one that is too long only the start is read.

    `jsonlines.Reader` makes a text of each line first: 7.5 us a line instead of 6.3.
    """
    offset = 0
    for number, raw in enumerate(iter(functools.partial(file.readline, LONGEST_LINE + 1), b""), 1):
        if not raw.isspace():
            try:
                line = _load(raw)
            except ValueError as error:
                raise _no_line(name, number, error) from None
            yield offset, len(raw), line
        offset += len(raw)


def read_lines(paths: Sequence[Path]) -> Iterator[Line]:
    """Lines of the files in order, like cat. No path, or ``-``, is stdin."""
    for path in paths or (Path("-"),):
        if str(path) == "-":
            check_stdin("records")
            with open(0, "rb", buffering=BUFFER, closefd=False) as file:
                for _, _, line in _lines(file, "stdin"):
                    yield line
        else:
            with open_input(path, BUFFER) as file:
                for _, _, line in _lines(file, path.name):
                    yield line


def check_stdin(what: str, *, terminal: bool = False) -> None:
    """UsageError where nothing can come: stdin is closed, or a terminal where that is not meant."""
    stdin: TextIO | None = sys.stdin
    if stdin is None or (stdin.isatty() and not terminal):
        raise UsageError(
            f"no input: stdin is {'closed' if stdin is None else 'a terminal'}; give a file, or pipe {what} in"
        )


def open_input(path: Path, buffering: int = -1) -> IO[bytes]:
    """Open a file of records for reading; `buffering`: as of `open`, `BUFFER` where all of it is read in order."""
    try:
        return path.open("rb", buffering=buffering)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


class Place(NamedTuple):
    """Where a line lies in a file."""

    path: Path
    offset: int
    size: int


def line_at(files: dict[Path, IO[bytes]], place: Place) -> Line:
    """Read one line again through the open `files`."""
    file = files[place.path]
    file.seek(place.offset)
    return _load(file.read(place.size))


def places(path: Path) -> Iterator[tuple[Place, Any]]:
    """Every line of a file with its place: (place, `Line.head`)."""
    with open_input(path, BUFFER) as file:
        for offset, size, line in _lines(file, path.name):
            yield Place(path, offset, size), line.head


class Journal:
    """Append-only memo beside an output: key of a finished group -> the lines that the step made for it.

    Each entry is a JSON head line and the bytes. A torn last entry (kill -9) is cut off on opening. `rrg status` reads
    the heads: ``run`` (set it before the first `put`) and ``at``, in seconds since 1970, are for that only.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.run = ""
        self._places: dict[bytes, tuple[int, int, dict[str, int]]] = {}
        self._file = path.open("r+b" if resume and path.exists() else "w+b")
        end = 0
        for head, entry, body in entries(self._file):
            start, end = end + len(head), end + len(head) + len(body)
            self._places[bytes.fromhex(entry["key"])] = start, len(body), entry["counts"]
        self._file.seek(end)
        self._file.truncate()
        self._end = end

    def get(self, key: bytes) -> tuple[bytes, dict[str, int]] | None:
        """The lines and counts of a finished group, or None."""
        if (place := self._places.get(key)) is None:
            return None
        start, size, counts = place
        self._file.seek(start)
        return self._file.read(size), counts

    def put(self, key: bytes, body: bytes, counts: Mapping[str, int]) -> None:
        """Remember a finished group; it survives a kill from here on."""
        entry = {"key": key.hex(), "bytes": len(body), "crc32": zlib.crc32(body), "counts": dict(counts)}
        head = json.dumps({**entry, "run": self.run, "at": round(time.time(), 2)})
        data = head.encode() + b"\n" + body
        self._file.seek(self._end)
        self._file.write(data)
        self._file.flush()
        self._places[key] = self._end + len(head) + 1, len(body), dict(counts)
        self._end += len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def entries(file: Any) -> Iterator[tuple[bytes, dict[str, Any], bytes]]:
    """(head line, what it says, lines) of each entry of a journal, up to the first that is torn."""
    while head := file.readline():
        try:
            entry = json.loads(head)
            body = file.read(int(entry["bytes"]))
            if len(body) != entry["bytes"] or zlib.crc32(body) != entry["crc32"]:
                return
            bytes.fromhex(entry["key"])
            dict(entry["counts"])
        except (ValueError, KeyError, TypeError):
            return
        yield head, entry, body


def torn_bytes(path: Path) -> int:
    """Bytes behind the last whole entry of a journal, which the next start cuts off; reads only."""
    end = 0
    with open_input(path) as file:
        for head, _, body in entries(file):
            end += len(head) + len(body)
        return path.stat().st_size - end


def _open_device(path: Path) -> IO[bytes]:
    """Open a device or FIFO for writing."""
    try:
        return path.open("wb", buffering=1 << 16)
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}; give a file") from None


class Output:
    """Where lines go: stdout, a file that is whole or absent (``--out``), or both (``--tee``)."""

    def __init__(self, out: Path | None, tee: Path | None, *, resume: bool, flush: bool = False) -> None:
        self._stdout = claim_stdout() if out is None else None
        if out is not None and out.exists() and not out.is_file():
            self._stdout, out = _open_device(out), None  # /dev/null, a FIFO: nothing there to be whole or absent
        self._flush = flush or (self._stdout is not None and self._stdout.isatty())
        self._target = out or (plain_target(tee, "--tee") if tee is not None else None)
        self._keep_journal = tee is not None
        self._file: IO[bytes] | None = None
        self.journal: Journal | None = None
        if self._target is not None:
            partial = self._partial = self._target.with_name(self._target.name + ".partial")
            try:
                self._target.parent.mkdir(parents=True, exist_ok=True)
                self._file = partial.open("ab")
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._file.truncate(0)
                self.journal = Journal(self._journal_path, resume=resume)
            except BlockingIOError:
                raise RrgError(
                    f"{self._target}: another rrg writes this file; wait for it, or choose another", "E_LOCKED"
                ) from None
            except OSError as error:
                raise RrgError(f"{self._target}: {error.strerror}; choose another folder", "E_IO") from None

    @property
    def _journal_path(self) -> Path:
        assert self._target is not None
        return self._target.with_name(self._target.name + ".journal")

    def write(self, lines: Iterable[bytes]) -> None:
        """Write whole lines (given without line ends)."""
        data = b"".join(line + b"\n" for line in lines)
        self.write_block(data)

    def write_block(self, data: bytes) -> None:
        """Write bytes that are whole lines."""
        if self._file is not None:
            try:
                self._file.write(data)
            except OSError as error:
                raise self._io_error(error) from None
        if self._stdout is not None:
            self._stdout.write(data)
            if self._flush:
                self._stdout.flush()

    def _io_error(self, error: OSError) -> RrgError:
        name = self._target.name if self._target else "stdout"
        return RrgError(
            f"{name}: {error.strerror}; nothing has its final name yet, free space and run again with --resume", "E_IO"
        )

    def finish(self) -> None:
        """Flush, sync, and give the file its name. Only now is the output there."""
        if self._file is not None and self._target is not None:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._partial.replace(self._target)
                self._file.close()
            except OSError as error:
                raise self._io_error(error) from None
            if self.journal is not None:
                self.journal.close()
                if not self._keep_journal:
                    self._journal_path.unlink(missing_ok=True)
        if self._stdout is not None:
            self._stdout.close()

    def abandon(self) -> None:
        """Stop without finishing: what the file systems has stays for --resume."""
        if self._stdout is not None:
            with contextlib.suppress(OSError):
                self._stdout.close()
