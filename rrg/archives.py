"""Files that hold files: what a file is by its first bytes, and the members of zip archives, each read in place.

Nothing is ever unpacked to disk. A member that could do harm is refused, the others go on.
"""

import functools
import io
import os
import re
import stat
import zipfile
from typing import Literal, NamedTuple

from rrg import archives_zstd
from rrg.archives_inflate import RAW, FilePart, Inflated, Reader, Stream
from rrg.errors import RecordError

Kind = Literal["dicom", "nifti", "nifti pair", "zip", "zstd", "gzip", "archive"]
HEAD = 352
"""Bytes that `kind_of` looks at."""
MAX_RATIO, RATIO_FROM = 1000, 1 << 20
"""Unpacked to packed bytes of a member; smaller ones than `RATIO_FROM` may exceed it (an empty picture does)."""
MAX_MEMBER, MAX_TOTAL = 4 << 30, 256 << 30
"""Unpacked bytes of one member, and of all of an archive."""
MAX_DIRECTORY = 64 << 20
"""Bytes of the list of members."""
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
"""General purpose bits: encrypted, strongly, directory masked (APPNOTE.TXT 4.4.4)."""


def kind_of(head: bytes) -> Kind | None:
    """What a file is by its first `HEAD` bytes; None: something else (DICOM without its mark, too)."""
    if head[128:132] == b"DICM":
        return "dicom"
    if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and head[344:348] in (b"n+1\0", b"ni1\0"):
        return "nifti" if head[344:347] == b"n+1" else "nifti pair"
    if head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") and head[4:12] in (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"):
        return "nifti" if head[4:7] == b"n+2" else "nifti pair"
    starts: dict[bytes, Kind] = {
        b"PK\3\4": "zip",
        b"PK\5\6": "zip",
        archives_zstd.MAGIC: "zstd",
        b"\x1f\x8b\x08": "gzip",
        b"7z\xbc\xaf\x27\x1c": "archive",
        b"Rar!\x1a\x07": "archive",
        b"\xfd7zXZ\0": "archive",
        b"BZh": "archive",
    }
    found = next((kind for start, kind in starts.items() if head.startswith(start)), None)
    return found or ("archive" if head[257:262] == b"ustar" else None)


class Member(NamedTuple):
    """One file of a zip archive."""

    name: str
    """As valid Unicode."""
    problem: str | None
    """Why it may not be read."""


class _Directory(NamedTuple):
    members: tuple[Member, ...]
    infos: dict[str, zipfile.ZipInfo]
    """Of the members that may be read."""


def is_zip(path: str) -> bool:
    """Whether a plain file (no member of another) is a zip archive."""
    return "\0" not in path and kind_of(FilePart(path, 0, HEAD).read_at(0, HEAD)) == "zip"


def members(path: str) -> tuple[Member, ...]:
    """The files in a zip archive, in its order. RecordError(E_ARCHIVE) when it can not be read; OSError."""
    return _directory(path, *_state(path)).members


def open_member(path: str, name: str) -> io.BufferedReader:
    """A member of a zip archive as a file; it is unpacked as far as it is read. RecordError(E_ARCHIVE); OSError."""
    state = _state(path)
    info = _directory(path, *state).infos.get(name)
    if info is None:
        raise RecordError("E_ARCHIVE", "no such member in the archive, or one that may not be read; unpack it first")
    return io.BufferedReader(Stream(_reader(path, name, *state), info.file_size))


def _state(path: str) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - names need not be UTF-8
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=1)
def _reader(path: str, name: str, size: int, mtime_ns: int) -> Reader:
    """Kept for the next opening: the frames of one object are read one by one."""
    info = _directory(path, size, mtime_ns).infos[name]
    local = FilePart(path, info.header_offset, 30).read_at(0, 30)
    if len(local) < 30 or local[:4] != b"PK\3\4":
        raise RecordError("E_ARCHIVE", "archive is damaged: no member where its list says; copy it again")
    if int.from_bytes(local[6:8], "little") & ENCRYPTED:
        raise RecordError("E_ARCHIVE", "encrypted member of an archive; unpack it first")
    lengths = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    part = FilePart(path, info.header_offset + 30 + lengths, info.compress_size)
    return part if info.compress_type == zipfile.ZIP_STORED else Inflated(part, RAW, info.file_size, info.CRC)


@functools.lru_cache(maxsize=2)
def _directory(path: str, size: int, mtime_ns: int) -> _Directory:
    """The list of members; kept while the archive stays as it is."""
    _check_directory(FilePart(path, 0, size), size)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except OSError:
        raise
    except Exception:  # zipfile raises whatever a broken directory provokes
        raise RecordError("E_ARCHIVE", "zip archive without a list of members; copy it again") from None
    overlapping, total = _overlapping(infos), 0
    found: list[Member] = []
    good: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.orig_filename.endswith("/") and info.file_size == 0:
            continue
        problem = _problem(info)
        if problem is None and id(info) in overlapping:
            problem = "shares its bytes with another member"
        if problem is None and info.filename in good:
            problem = "second member of that name"
        if problem is None and (total := total + info.file_size) > MAX_TOTAL:
            problem = f"archive unpacks to more than {MAX_TOTAL >> 30} GiB"
        if problem is None:
            good[info.filename] = info
        name = info.orig_filename.encode("utf-8", "backslashreplace").decode()
        found.append(Member(name, problem and f"member of an archive is not read: {problem}; unpack it first"))
    return _Directory(tuple(found), good)


def _check_directory(file: FilePart, size: int) -> None:
    """Refuse a list of members that is too large to be read (APPNOTE.TXT 4.3.14 to 4.3.16)."""
    start = max(size - 65557, 0)
    tail = file.read_at(start, size - start)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        raise RecordError("E_ARCHIVE", "zip archive without a list of members; copy it again")
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\6\7":
        record = file.read_at(int.from_bytes(tail[at - 12 : at - 4], "little"), 56)
        length = max(length if length != 0xFFFFFFFF else 0, int.from_bytes(record[40:48], "little"))
    if length > MAX_DIRECTORY:
        raise RecordError(
            "E_ARCHIVE",
            f"list of members of {length >> 20} MiB, the limit is {MAX_DIRECTORY >> 20} MiB; unpack the archive first",
        )


def _overlapping(infos: list[zipfile.ZipInfo]) -> set[int]:
    """`id` of the members whose bytes belong to a member before them, too (bombs are made so)."""
    found: set[int] = set()
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            found.add(id(info))
        end = max(end, info.header_offset + 30 + len(info.orig_filename) + info.compress_size)
    return found


def _problem(info: zipfile.ZipInfo) -> str | None:
    parts = re.split(r"[/\\]", info.orig_filename)
    if "\0" in info.orig_filename or ".." in parts or not parts[0] or re.match("[A-Za-z]:", parts[0]):
        return "its name leads outside of the archive"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "a link or a special file"
    if info.flag_bits & ENCRYPTED:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"compression method {info.compress_type}"
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        return "its sizes do not fit together"
    if info.file_size > max(MAX_RATIO * info.compress_size, RATIO_FROM):
        return f"it unpacks to more than {MAX_RATIO} times its size"
    if info.file_size > MAX_MEMBER:
        return f"{info.file_size >> 20} MiB, the limit is {MAX_MEMBER >> 20} MiB"
    return None
