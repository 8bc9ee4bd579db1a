"""Which files there are, and how to open one: plain, compressed, or a member of an archive."""

import functools
import io
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rrg import archives, archives_dicomdir, archives_zstd
from rrg.errors import RecordError, UsageError

Opened = io.BufferedReader | io.BytesIO


class Source(NamedTuple):
    """A file to look at."""

    path: str
    """Where it is. Of a member of a zip archive: path of the archive, NUL, name of the member. Of a reference of a
    DICOMDIR that may not or can not be followed: path of the DICOMDIR, NUL, the reference."""
    name: str
    """Path relative to the PATH that the user gave, ``/`` between parts."""


def open_file(path: str) -> Opened:
    """Open a file (see `Source.path`) for reading, seekable; Zstandard files are unpacked.

    OSError; RecordError for what may not be opened: E_NOT_DICOM (a pipe, socket, device or folder, never waited for),
    E_ARCHIVE, E_TOO_LARGE, E_TRUNCATED, E_PATH.
    """
    outer, inside, name = path.partition("\0")
    found = os.stat(outer)  # noqa: PTH116 - names need not be UTF-8
    if not stat.S_ISREG(found.st_mode):
        raise RecordError("E_NOT_DICOM", "not a regular file (folder without access, pipe, socket or device)")
    if inside and not _is_dicomdir(outer, found.st_size, found.st_mtime_ns):
        return archives.open_member(outer, name)
    file = open(archives_dicomdir.path_of(outer, name) if inside else path, "rb")  # noqa: PTH123, SIM115
    try:
        if file.peek(4)[:4] != archives_zstd.MAGIC:
            return file
    except BaseException:
        file.close()
        raise
    with file:
        return io.BytesIO(_unpacked(path, found.st_size, found.st_mtime_ns))


@functools.lru_cache(maxsize=16)
def _is_dicomdir(path: str, size: int, mtime_ns: int) -> bool:
    """Asked for each member of an archive: it is read once."""
    return archives_dicomdir.is_dicomdir(path)


@functools.lru_cache(maxsize=1)
def _unpacked(path: str, size: int, mtime_ns: int) -> bytes:
    """Kept for the next opening: the frames of one object are read one by one."""
    archives_zstd.check_size(size)
    with open(path, "rb") as file:  # noqa: PTH123
        return archives_zstd.unpacked(file.read())


def identity(path: str) -> tuple[int, int]:
    """(bytes, time of change in ns) of the file on the disk: of a member, those of its archive. OSError."""
    found = os.stat(path.partition("\0")[0])  # noqa: PTH116
    return found.st_size, found.st_mtime_ns


def files_under(paths: Sequence[Path], skip: Sequence[Path] = ()) -> Iterator[Source]:
    """Every file at or under the paths, by name; links to folders are followed, once. UsageError: no such path.

    A path that is a DICOMDIR stands for the files it refers to, below its own folder. An archive is one file here:
    `rrg.dicom.read_source` gives what it holds. Folders `skip` are left out.
    """
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}; give DICOM files or folders") from None
    return _walk_all(paths, skip)


def _walk_all(paths: Sequence[Path], skip: Sequence[Path]) -> Iterator[Source]:
    seen = {(found.st_dev, found.st_ino) for found in (each.stat() for each in skip if each.exists())}
    for path in paths:
        if path.is_dir():
            yield from _walk(str(path), "", seen)
        elif archives_dicomdir.is_dicomdir(str(path)):
            yield from _referenced(str(path), printable(path.name))
        else:
            yield Source(str(path), printable(path.name))


def _referenced(path: str, name: str) -> Iterator[Source]:
    """The files of a DICOMDIR. One without any stands for itself, so that it is reported."""
    try:
        found = list(archives_dicomdir.references(path))
    except (RecordError, OSError):
        yield Source(f"{path}\0", name)
        return
    for reference in found:
        if reference.parts:
            below = "/".join(map(printable, reference.parts))
            yield Source(os.path.join(os.path.dirname(path), *reference.parts), below)  # noqa: PTH118, PTH120
        else:
            yield Source(f"{path}\0{reference.text}", printable(f"{name}\0{reference.text}"))
    if not found:
        yield Source(path, name)


def _walk(folder: str, name: str, seen: set[tuple[int, int]]) -> Iterator[Source]:
    try:
        found = os.stat(folder)  # noqa: PTH116 - names need not be UTF-8 and are many
    except OSError:
        yield Source(folder, name)
        return
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
        try:
            is_folder = entry.is_dir()
        except OSError:  # a link that leads nowhere, or behind a closed door
            is_folder = False
        if is_folder:
            yield from _walk(entry.path, inner, seen)
        else:
            yield Source(entry.path, inner)


def printable(name: str) -> str:
    """A file name as valid Unicode: bytes that are not UTF-8 become ``\\xNN``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
