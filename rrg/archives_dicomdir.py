"""DICOMDIR: the files that the directory of a medium refers to (DICOM PS3.10, PS3.3 F). No path of it is trusted."""

import os
import stat
import warnings
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from rrg.errors import RecordError

CLASS = b"\2\0\2\0UI\x14\x001.2.840.10008.1.3.10"
"""Media Storage SOP Class UID: Media Storage Directory Storage."""

SEQUENCE = b"\x04\0\x20\x12SQ\0\0"
"""Start of the Directory Record Sequence; its length follows."""
MAX_BYTES = 256 << 20


class Reference(NamedTuple):
    """A file that a record of the directory refers to."""

    text: str
    """As written, ``\\`` between parts."""
    parts: tuple[str, ...]
    """Names below the folder of the DICOMDIR, as they are on the disk; empty when it may not or can not be read."""


def is_dicomdir(path: str) -> bool:
    """Whether a path is a file that is a DICOMDIR, by content."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - names need not be UTF-8
            return False
        with open(path, "rb") as file:  # noqa: PTH123
            head = file.read(1024)
    except OSError:
        return False  # reading it as an image tells why
    return head[128:132] == b"DICM" and CLASS in head


def references(path: str) -> Iterator[Reference]:
    """What the active records of a DICOMDIR refer to, each file once. RecordError when it can not be parsed."""
    listings: dict[str, dict[str, str]] = {}
    folder = os.path.dirname(path)  # noqa: PTH120
    seen: set[tuple[str, ...]] = set()
    for parts in _records(path):
        text = "\\".join(parts).replace("/", "\\")
        try:
            found = _resolved(folder, text, listings)
        except RecordError:
            found = ()
        key = found or ("", text)
        if key not in seen:
            seen.add(key)
            yield Reference(text, found)


def path_of(path: str, text: str) -> str:
    """Path of the file that DICOMDIR `path` refers to as `text`. RecordError(E_PATH): outside of its folder, missing.

    An empty text stands for the directory itself: the RecordError says why it can not be parsed.
    """
    if not text:
        for _ in _records(path):
            pass
    folder = os.path.dirname(path)  # noqa: PTH120
    return os.path.join(folder, *_resolved(folder, text, {}))  # noqa: PTH118


def _records(path: str) -> list[tuple[str, ...]]:
    """Referenced File IDs of the records in use."""
    import pydicom

    try:
        with open(path, "rb") as file, warnings.catch_warnings():  # noqa: PTH123
            warnings.simplefilter("ignore")
            _check_whole(file)
            dataset = pydicom.dcmread(file, specific_tags=["DirectoryRecordSequence"])
            found = []
            for record in dataset.DirectoryRecordSequence:
                value = record.get("ReferencedFileID")
                if value and record.get("RecordInUseFlag", 0xFFFF) != 0:
                    found.append((value,) if isinstance(value, str) else tuple(map(str, value)))
            return found
    except RecordError:
        raise
    except Exception as error:  # pydicom raises whatever a hostile file provokes, an OSError without a number too
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise RecordError(
            "E_MALFORMED", f"DICOMDIR can not be parsed ({type(error).__name__}); give its folder instead"
        ) from None


def _check_whole(file: BinaryIO) -> None:
    """Refuse a directory that was cut or is too large: pydicom reads the records that are left, and says nothing."""
    size = file.seek(0, os.SEEK_END)
    if size > MAX_BYTES:
        raise RecordError("E_TOO_LARGE", f"DICOMDIR of {size >> 20} MiB, the limit is {MAX_BYTES >> 20} MiB")
    file.seek(0)
    content = file.read()
    file.seek(0)
    start = content.find(SEQUENCE) + len(SEQUENCE) + 4
    length = int.from_bytes(content[start - 4 : start], "little")
    if start >= len(SEQUENCE) + 4 and length != 0xFFFFFFFF and start + length > size:
        raise RecordError("E_TRUNCATED", "DICOMDIR ends inside its records; copy it again, or give its folder")


def _resolved(folder: str, text: str, listings: dict[str, dict[str, str]]) -> tuple[str, ...]:
    """Names on the disk: as written, else in another case (media are written in upper case)."""
    parts = text.split("\\")
    if any(part in ("", ".", "..") or "\0" in part or ":" in part for part in parts):
        raise RecordError("E_PATH", "DICOMDIR refers to a place outside of its folder; leave it out")
    names: list[str] = []
    for part in parts:
        here = os.path.join(folder, *names)  # noqa: PTH118
        if os.path.lexists(os.path.join(here, part)):  # noqa: PTH118
            names.append(part)
            continue
        if here not in listings:
            listings[here] = _listing(here)
        if (name := listings[here].get(part.casefold())) is None:
            raise RecordError("E_PATH", "DICOMDIR refers to a file that is not there; copy the whole medium")
        names.append(name)
    full = os.path.join(folder, *names)  # noqa: PTH118
    root, real = os.path.realpath(folder or "."), os.path.realpath(full)
    if os.path.commonpath([root, real]) != root:
        raise RecordError("E_PATH", "DICOMDIR refers to a link out of its folder; leave it out")
    if not os.path.isfile(full):  # noqa: PTH113
        raise RecordError("E_PATH", "DICOMDIR refers to what is no plain file; copy the whole medium")
    return tuple(names)


def _listing(folder: str) -> dict[str, str]:
    try:
        return {name.casefold(): name for name in sorted(os.listdir(folder), reverse=True)}  # noqa: PTH208
    except OSError:
        return {}
