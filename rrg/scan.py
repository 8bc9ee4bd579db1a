"""The wanted elements of an ordinary DICOM file, from its first bytes; whatever is not ordinary is left to pydicom.

A walk over the element headers in one buffer: a fifth of the cost of pydicom's reader, which makes a data set of every
item of every sequence before it drops them. DICOM PS3.5, 7.1 to 7.5 and PS3.10, 7.1.
"""

import re
import struct
from collections.abc import Collection
from struct import Struct
from typing import IO, NamedTuple

FIRST = 16384
"""Bytes of the first read: the header of most images."""
LAST = 1 << 22
"""Longest header that is read here."""
DEPTH = 32
"""Deepest nesting of sequences that is followed here."""

_SHORT = frozenset(re.findall(rb"\w+", b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US"))
_LONG = frozenset(re.findall(rb"\w+", b"OB OD OF OL OV OW SQ SV UC UN UR UT UV"))
"""VRs whose length has two bytes, and four (PS3.5, table 7.1-1)."""
_KNOWN = _SHORT | _LONG
_EXPLICIT, _IMPLICIT, _LENGTH = Struct("<I2sH").unpack_from, Struct("<II").unpack_from, Struct("<I").unpack_from
_OTHER = ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
"""Big endian and deflated: left to pydicom."""
_UNDEFINED = 0xFFFFFFFF


def _key(tag: int) -> int:
    """Tag ``0xGGGGEEEE`` as the little-endian number that stands in the file."""
    return (tag & 0xFFFF) << 16 | tag >> 16


_TRANSFER_SYNTAX, _META_CLASS, _META_SOP = _key(0x00020010), _key(0x00020002), _key(0x00020003)
_PIXELS = frozenset(map(_key, (0x7FE00008, 0x7FE00009, 0x7FE00010)))
_ITEM, _ITEM_END, _SEQUENCE_END = _key(0xFFFEE000), _key(0xFFFEE00D), _key(0xFFFEE0DD)


class Scanned(NamedTuple):
    """What stands in a header."""

    values: dict[int, bytes]
    """Tag -> raw value; empty for a sequence."""
    syntax: str
    """Transfer Syntax UID."""
    media_class: str
    media_sop: str
    pixel_offset: int | None
    """Byte offset of the Pixel Data value; None: no Pixel Data."""
    pixel_length: int | None


def scan(file: IO[bytes], size: int, wanted: dict[int, int]) -> Scanned | None:
    """The elements `wanted` (see `keys_of`) of a file at its start; None for a file that pydicom has to read.

    Little endian, DICM mark, known VRs, the encoding that the transfer syntax says: all else is not ordinary.
    """
    data = file.read(FIRST)
    while True:
        try:
            return _walk(data, wanted)
        except struct.error:  # the header goes on behind `data`
            if len(data) >= min(size, LAST):
                return None
            more = file.read(7 * len(data))
            if not more:
                return None
            data += more


def keys_of(tags: Collection[int]) -> dict[int, int]:
    """Tags in the form that `scan` asks for."""
    return {_key(tag): tag for tag in tags}


def _walk(data: bytes, wanted: dict[int, int]) -> Scanned | None:
    if data[128:132] != b"DICM":
        return None
    meta, at = _meta(data)
    if at is None:
        return None
    syntax = _uid(meta.get(_TRANSFER_SYNTAX))
    if not syntax.replace(".", "").isdecimal() or syntax in _OTHER:
        return None
    implicit = syntax == "1.2.840.10008.1.2"
    if implicit is (data[at + 4 : at + 6] in _KNOWN) or data[at] | data[at + 1] << 8 < 8:
        return None
    values: dict[int, bytes] = {}
    depth = 0
    while True:
        if implicit:
            key, length = _IMPLICIT(data, at)
            value = at + 8
        else:
            key, vr, length = _EXPLICIT(data, at)
            value = at + 8
            if depth and key & 0xFFFF == 0xFFFE:  # item and delimiters: no VR
                length = _LENGTH(data, at + 4)[0]
            elif vr in _LONG:
                length = _LENGTH(data, value)[0]
                value = at + 12
            elif vr not in _SHORT:
                return None
        if depth == 0:
            if key in wanted:
                values[wanted[key]] = data[value : value + length] if length != _UNDEFINED else b""
            elif key in _PIXELS:
                break
            elif key & 0xFFFF == 0xFFFE:
                return None
        elif key == (_SEQUENCE_END if depth % 2 else _ITEM_END):
            depth -= 1
            at = value
            continue
        elif (key == _ITEM) is not (depth % 2 == 1):
            return None
        at = value
        if length != _UNDEFINED:
            at += length
        elif depth < DEPTH and (implicit or vr == b"SQ" or key == _ITEM):
            depth += 1  # odd: in a sequence, between its items; even: in an item, between its elements
        else:
            return None
    own = (value, length) if key == _key(0x7FE00010) else (None, None)
    return Scanned(values, syntax, _uid(meta.get(_META_CLASS)), _uid(meta.get(_META_SOP)), *own)


def _meta(data: bytes) -> tuple[dict[int, bytes], int | None]:
    """File Meta Information (always explicit, little endian) by key, and where it ends; None: of an unknown VR."""
    found: dict[int, bytes] = {}
    at = 132
    while True:
        key, vr, length = _EXPLICIT(data, at)
        if key & 0xFFFF != 2:
            return found, at
        at += 8
        if vr in _LONG:
            length = _LENGTH(data, at)[0]
            at += 4
        elif vr not in _SHORT:
            return found, None
        found[key] = data[at : at + length]
        at += length


def _uid(raw: bytes | None) -> str:
    return (raw or b"").decode("latin-1").rstrip("\0 ")
