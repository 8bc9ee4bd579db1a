"""Deflated DICOM data sets (PS3.5, A.5), unpacked up to a limit before a parser sees them."""

import io
import struct
import zlib
from typing import IO

from rrg.errors import RecordError

MAX_BYTES = 1 << 28
"""Largest data set that is unpacked. Deflate makes up to 1032 bytes of one."""
SYNTAX = b"1.2.840.10008.1.2.1.99"
EXPLICIT = b"1.2.840.10008.1.2.1\0\0\0"
"""Explicit VR Little Endian, padded to the same length: what the data set is when it is unpacked."""
NEAR, FAR = 1 << 10, 1 << 20
"""Bytes in which file meta information ends: nearly always, and always."""
PIECE = 1 << 16
ELEMENT = struct.Struct("<HH2sH")
"""Group, element, value representation, short length."""
LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV"}
"""Value representations with a length of 4 bytes (PS3.5, 7.1.2)."""


def unpacked(file: IO[bytes]) -> io.BytesIO | None:
    """The file with its data set unpacked, as Explicit VR Little Endian; None for a file that is not deflated.

    The position of `file` is as before then. E_TOO_LARGE, E_TRUNCATED, E_MALFORMED.
    """
    for size in (NEAR, FAR):
        file.seek(0)
        head = file.read(size)
        if len(head) < size and SYNTAX not in head:
            break  # all of it was seen: no parser finds the syntax either
        found = _meta(head)
        if found is None:
            continue
        end, syntax_at = found
        if syntax_at is None:
            break
        file.seek(end)
        plain = io.BytesIO()
        plain.write(head[:syntax_at] + EXPLICIT + head[syntax_at + len(SYNTAX) : end])
        _inflate(file, plain)
        plain.seek(0)
        return plain
    else:
        raise RecordError("E_MALFORMED", "file meta information that can not be parsed; leave the file out")
    file.seek(0)
    return None


def _meta(head: bytes) -> tuple[int, int | None] | None:
    """Where file meta information ends, and where it names the deflated syntax; None: it can not be told.

    Explicit, little-endian (PS3.10, 7.1); implicit where its first element is, as parsers tolerate.
    """
    at, syntax_at = (132 if head[128:132] == b"DICM" else 0), None
    explicit = _is_vr(head[at + 4 : at + 6])
    while at + ELEMENT.size <= len(head):
        group, element, vr, length = ELEMENT.unpack_from(head, at)
        if group != 2:
            return at, syntax_at
        start = at + 8
        if not explicit:
            length = int.from_bytes(head[at + 4 : at + 8], "little")
        elif vr in LONG:
            start, length = at + 12, int.from_bytes(head[at + 8 : at + 12], "little")
        elif not _is_vr(vr):
            return None
        at = start + length
        if element == 0x10:
            found = head.find(SYNTAX, start, at)
            syntax_at = found if found >= 0 else None
    return None


def _is_vr(text: bytes) -> bool:
    return text.isalpha() and text.isupper()


def _inflate(packed: IO[bytes], into: io.BytesIO) -> None:
    state, room = zlib.decompressobj(-zlib.MAX_WBITS), MAX_BYTES
    try:
        while not state.eof:
            piece = state.unconsumed_tail or packed.read(PIECE)
            if not piece:
                raise RecordError("E_TRUNCATED", "deflated data set ends early; copy it again from its source")
            if room <= 0:
                raise RecordError(
                    "E_TOO_LARGE", f"deflated data set of more than {MAX_BYTES >> 20} MiB; convert it to a plain one"
                )
            room -= into.write(state.decompress(piece, PIECE * 16))
    except zlib.error:
        raise RecordError(
            "E_MALFORMED", "deflated data set can not be unpacked; copy it again from its source"
        ) from None
