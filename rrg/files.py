"""Which files there are, and how to open one: plain, compressed, or a member of an archive."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rrg.errors import UsageError

Opened = io.BufferedReader | io.BytesIO


class Source(NamedTuple):
    """A file to look at."""

    path: str
    """Where it is; of a member of an archive: path of the archive, NUL, name of the member."""
    name: str
    """Path relative to the PATH that the user gave, ``/`` between parts."""


def open_file(path: str) -> Opened:
    """Open a file (see `Source.path`) for reading, seekable. OSError, or RecordError for what may not be opened."""
    return open(path, "rb")  # noqa: PTH123


def files_under(paths: Sequence[Path]) -> Iterator[Source]:
    """Every file at or under the paths, by name; links to folders are followed, once. UsageError: no such path."""
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}; give DICOM files or folders") from None
    return _walk_all(paths)


def _walk_all(paths: Sequence[Path]) -> Iterator[Source]:
    seen: set[tuple[int, int]] = set()
    for path in paths:
        if path.is_dir():
            yield from _walk(str(path), "", seen)
        else:
            yield Source(str(path), printable(path.name))


def _walk(folder: str, name: str, seen: set[tuple[int, int]]) -> Iterator[Source]:
    found = os.stat(folder)  # noqa: PTH116 - names need not be UTF-8 and are many
    if (found.st_dev, found.st_ino) in seen:
        return
    seen.add((found.st_dev, found.st_ino))
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError:
        yield Source(folder, name)  # read_header tells why
        return
    for entry in listed:
        inner = f"{name}/{printable(entry.name)}" if name else printable(entry.name)
        if entry.is_dir():
            yield from _walk(entry.path, inner, seen)
        else:
            yield Source(entry.path, inner)


def printable(name: str) -> str:
    """A file name as valid Unicode: bytes that are not UTF-8 become ``\\xNN``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
