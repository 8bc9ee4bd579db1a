"""Seeded changes of bytes that know where the elements of a DICOM data set, a code stream or a header lie."""

import gzip
import io
import random
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from numcodecs import zstd  # type: ignore[import-untyped]

Order = Literal["little", "big"]
UNDEFINED = 0xFFFFFFFF
MAX_ELEMENTS = 2000
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
SYNTAX = 0x00020010
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")
SHORT = (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
         b"SS", b"ST", b"TM", b"UI", b"UL", b"US")  # fmt: skip
EXPLICIT, IMPLICIT = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"
SYNTAXES = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, b"", b"1.2.3", b"../../x", b"1.2.840.10008.1.2.5",
            *(b"1.2.840.10008.1.2.4." + end for end in (b"50", b"51", b"57", b"70", b"80", b"81", b"90", b"91", b"201",
                                                        b"202", b"203", b"100", b"110")))  # fmt: skip
"""Transfer syntaxes that a data set may suddenly claim."""


class Element(NamedTuple):
    """Where an element, item or fragment lies."""

    tag: int
    start: int
    length_at: int
    """Of the length field."""
    width: int
    """Bytes of the length field: 2 or 4."""
    value: int
    """Where the value starts."""
    end: int
    """One past the value."""
    vr: bytes
    """Empty: implicit."""
    depth: int
    big: bool
    undefined: bool = False
    """Of undefined length: ``end`` is where the value starts."""


class Mutant(NamedTuple):
    """A changed seed, and what was done to it."""

    data: bytes
    story: tuple[str, ...]


# --- where things are


def elements(data: bytes) -> list[Element]:
    """The elements of a DICOM file, those of items too, as far as the bytes make sense."""
    found: list[Element] = []
    at = 132 if data[128:132] == b"DICM" else 0
    body = at
    while body + 8 <= len(data) and data[body : body + 2] == b"\2\0":  # file meta: explicit little endian
        each = _element(data, body, explicit=True, big=False, depth=0)
        if each is None:
            break
        found.append(each)
        body = each.end
    syntax = next((data[e.value : e.end].rstrip(b"\0 ") for e in found if e.tag == SYNTAX), EXPLICIT)
    if syntax != DEFLATED:
        _walk(data, body, found, explicit=syntax != IMPLICIT, big=syntax == BIG_ENDIAN)
    return found


def _walk(data: bytes, at: int, found: list[Element], *, explicit: bool, big: bool) -> None:
    open_: list[int | None] = []  # ends of the sequences and items around
    pixels = False
    while at + 8 <= len(data) and len(found) < MAX_ELEMENTS:
        while open_ and open_[-1] is not None and at >= open_[-1]:
            open_.pop()
        each = _element(data, at, explicit=explicit, big=big, depth=len(open_))
        if each is None:
            return
        found.append(each)
        pixels = pixels or (each.tag == PIXEL_DATA and not open_)
        if not pixels and (each.tag == ITEM or _is_sequence(data, each)):
            open_.append(None if each.undefined else each.end)
            at = each.value
            continue
        if each.tag in (ITEM_END, SEQUENCE_END) and open_:
            open_.pop()
        at = each.end


def _is_sequence(data: bytes, each: Element) -> bool:
    if each.vr or each.tag >> 16 == 0xFFFE:
        return each.vr == b"SQ"
    return each.undefined or data[each.value : each.value + 4] == b"\xfe\xff\x00\xe0"


def _element(data: bytes, at: int, *, explicit: bool, big: bool, depth: int) -> Element | None:
    order: Order = "big" if big else "little"
    if at + 8 > len(data):
        return None
    tag = int.from_bytes(data[at : at + 2], order) << 16 | int.from_bytes(data[at + 2 : at + 4], order)
    vr, length_at, width = b"", at + 4, 4
    if explicit and tag >> 16 != 0xFFFE:
        vr = data[at + 4 : at + 6]
        if vr in LONG:
            length_at = at + 8
        elif vr in SHORT:
            length_at, width = at + 6, 2
        else:
            return None
    value = length_at + width
    length = int.from_bytes(data[length_at:value], order)
    end = value if length == UNDEFINED else min(value + length, len(data))
    return Element(tag, at, length_at, width, value, end, vr, depth, big, length == UNDEFINED)


# --- values that hurt

NUMBERS = (0, 1, 2, 3, 5, 7, 8, 9, 10, 12, 13, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 127, 128, 255, 256, 4096,
           32767, 32768, 65534, 65535)  # fmt: skip
DECIMALS = (b"0", b"-0", b"1", b"-1", b"2", b"0.1", b"nan", b"inf", b"-inf", b"1e308", b"-1e308", b"1e300", b"1e400",
            b"1e-320", b"1e-30", b"1e16", b"32768", b"-70000", b"", b" ", b"9" * 40, b"1,5", b"0x10", b"1e", b"--1",
            b"1_0", b"\xef\xbc\x91", b"\0", b"+5 ", b"1e5", b"infinity", b"0.5000000001")  # fmt: skip
INTEGERS = (b"0", b"-1", b"1", b"2", b"3", b"5", b"1000", b"65536", b"2147483647", b"2147483648", b"99999999999",
            b"1e3", b"nan", b"", b"1\\2", b"9" * 30, b"\xff", b" 3 ", b"3.0", b"-0", b"4294967297")  # fmt: skip
UIDS = (b"", b"\0", b"../../../tmp/rrg-escaped", b"/tmp/rrg-escaped", b"1.2.3\0evil", b"1" * 300, b"a\nb",
        "1.2.💥".encode(), b".", b"..", b"1\\2", b"\xff\xfe", b"%s%n{0}", b"1.2.840.10008.5.1.4.1.1.2",
        b"1.2.840.10008.5.1.4.1.1.2.1", b"1.2.840.10008.5.1.4.1.1.4.1", b"1.2.840.10008.5.1.4.1.1.7", b"-",
        b"1.2.3 ", b"con")  # fmt: skip
WORDS = (b"", b"\0", b"MONOCHROME1", b"MONOCHROME2", b"RGB", b"PALETTE COLOR", b"YBR_FULL", b"CT", b"MR", b"PT", b"SEG",
         b"ORIGINAL\\PRIMARY\\LOCALIZER", b"DERIVED\\SECONDARY\\MPR", b"\\\\\\", b"\xff\xfe\xfd", b"\xc3\x28",
         "Müstermann^Erika".encode("latin-1"), "e\u0301\u202e\ud7ff".encode(), b"A" * 300, b"a\r\nb", b"YES", b"01",
         b"SIGMOID", b"{\"a\":1}", b"20240229", b"20249999", b"99999999", b"00000000", b"20240229\\20230101", b"-1Y",
         b"045Y", b"999Y", b"F", b"M", b"\xed\xa0\x80", b"\x1b$B", b"\x1b")  # fmt: skip
CHARSETS = (b"ISO_IR 100", b"ISO_IR 192", b"ISO IR 192", b"\\ISO 2022 IR 6", b"GB18030", b"ISO 2022 IR 87\\x", b"utf-8",
            b"nonsense", b"\0", b"\xff", b"ISO_IR 13\\ISO 2022 IR 149", b"", b"ISO_IR 192\\" * 40)  # fmt: skip
REALS = (b"\0\0\0\0\0\0\xf8\x7f", b"\0\0\0\0\0\0\xf0\x7f", b"\0\0\0\0\0\0\xf0\xff", b"\xff" * 8, b"\0" * 8,
         b"\0\0\0\0\0\0\xf0\x3f", b"\0" * 3, b"\0" * 16)  # fmt: skip
_SHORTS = (0x00280002, 0x00280006, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280120,
           0x00280121)  # fmt: skip
_DECIMALS = {0x00180050: 1, 0x00180080: 1, 0x00180081: 1, 0x00180088: 1, 0x00181060: 1, 0x00181120: 1, 0x00200032: 3,
             0x00200037: 6, 0x00280030: 2, 0x00281050: 1, 0x00281051: 1, 0x00281052: 1, 0x00281053: 1, 0x00282112: 1,
             0x00180087: 1, 0x00101030: 1}  # fmt: skip
_INTEGERS = (0x00200011, 0x00200012, 0x00200013, 0x00200100, 0x00280008)
_UIDS = (0x00020002, 0x00020003, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00200052)
_WORDS = (0x00080008, 0x00080020, 0x00080050, 0x00080060, 0x00080070, 0x0008103E, 0x00100010, 0x00100020, 0x00100030,
          0x00100040, 0x00101010, 0x00180010, 0x00180015, 0x00180020, 0x00181030, 0x00181210, 0x00280004, 0x00280301,
          0x00281054, 0x00281056, 0x00282110)  # fmt: skip
_VRS = {0x00180015: b"CS", 0x00100010: b"PN", 0x00100020: b"LO", 0x00189087: b"FD", 0x00080005: b"CS", SYNTAX: b"UI"}
EDITED = (*_SHORTS, *_DECIMALS, *_INTEGERS, *_UIDS, *_WORDS, 0x00189087, 0x00080005, SYNTAX)


def _hurting(rng: random.Random, tag: int, *, big: bool) -> tuple[bytes, bytes]:
    """(VR, value) for a tag."""
    if tag in _SHORTS:
        value = rng.choice(NUMBERS).to_bytes(2, "big" if big else "little")
        return b"US", rng.choice((value,) * 9 + (b"", value[:1], value + b"\0\0", b"8 "))
    if tag in _DECIMALS:
        count = rng.choice((_DECIMALS[tag],) * 6 + (0, 1, 2, 3, 6, 7, 400))
        one = rng.choice(DECIMALS)
        parts = [one if rng.random() < 0.6 else rng.choice(DECIMALS) for _ in range(count)]
        return b"DS", b"\\".join(parts)
    if tag in _INTEGERS:
        return b"IS", rng.choice(INTEGERS)
    if tag == SYNTAX:
        return b"UI", rng.choice(SYNTAXES)
    if tag in _UIDS:
        return b"UI", rng.choice(UIDS)
    if tag == 0x00189087:
        return b"FD", rng.choice(REALS)
    if tag == 0x00080005:
        return b"CS", rng.choice(CHARSETS)
    return _VRS.get(tag, b"LO"), rng.choice(WORDS)


# --- changes of any bytes

Change = Callable[[random.Random, bytes], bytes]


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    """1 to 16 bits, mostly near the start."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        out[_somewhere(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(out)


def set_bytes(rng: random.Random, data: bytes) -> bytes:
    """1 to 8 bytes become extreme."""
    out = bytearray(data)
    at = _somewhere(rng, data)
    for number in range(at, min(at + rng.choice((1, 1, 2, 4, 8)), len(out))):
        out[number] = rng.choice((0, 0xFF, 0x7F, 0x80, 0x20, 0x5C, rng.randrange(256)))
    return bytes(out)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: _somewhere(rng, data)]


def move(rng: random.Random, data: bytes) -> bytes:
    """Some bytes are lost, twice there, or made up."""
    at, size = _somewhere(rng, data), rng.choice((1, 2, 3, 8, 64, 1024))
    kind = rng.randrange(3)
    if kind == 0:
        return data[:at] + data[at + size :]
    more = data[at : at + size] if kind == 1 else rng.randbytes(size)
    return data[:at] + more + data[at:]


def _somewhere(rng: random.Random, data: bytes) -> int:
    return rng.randrange(max(1, min(len(data), rng.choice((400, 1500, 1 << 30)))))


ANY: tuple[Change, ...] = (flip_bits, set_bytes, cut, move)


# --- changes of elements


def change_length(rng: random.Random, data: bytes) -> bytes:
    """One length field of an element, sequence, item, fragment or offset table lies."""
    each = _pick(rng, data)
    if each is None:
        return flip_bits(rng, data)
    order: Order = "big" if each.big else "little"
    length = each.end - each.value
    rest = len(data) - each.value
    new = rng.choice((0, 1, 2, 3, length - 1, length + 1, length - 2, length + 2, length + 8, length * 2, rest,
                      rest + 1, rest - 8, UNDEFINED, UNDEFINED - 1, 0x7FFFFFFF, 0x80000000, 0xFFFF, 0xFFFE,
                      rng.randrange(1 << 16)))  # fmt: skip
    field = (new % (1 << 8 * each.width)).to_bytes(each.width, order)
    return data[: each.length_at] + field + data[each.value :]


def cut_at_element(rng: random.Random, data: bytes) -> bytes:
    """The file ends with an element, in its header or in its value."""
    each = _pick(rng, data)
    if each is None:
        return cut(rng, data)
    inside = rng.randrange(each.value, each.end) if each.end > each.value else each.value
    return data[: rng.choice((each.end, each.start + rng.randrange(8), each.value, inside))]


def move_element(rng: random.Random, data: bytes) -> bytes:
    """An element is lost, twice there, or changes places with another."""
    found = elements(data)
    if len(found) < 2:
        return move(rng, data)
    one, other = sorted(rng.sample(found, 2), key=lambda each: each.start)
    kind = rng.randrange(4)
    if kind == 0:
        return data[: one.start] + data[one.end :]
    if kind == 1 or one.end > other.start:
        return data[: one.end] + data[one.start : one.end] + data[one.end :]
    if kind == 2:
        first, second = data[one.start : one.end], data[other.start : other.end]
        return data[: one.start] + second + data[one.end : other.start] + first + data[other.end :]
    return data[: other.start] + data[one.start : one.end] + data[other.start :]


def change_vr(rng: random.Random, data: bytes) -> bytes:
    """An element calls itself of another kind."""
    found = [each for each in elements(data) if each.vr]
    if not found:
        return flip_bits(rng, data)
    each = rng.choice(found)
    vr = rng.choice((*SHORT, *LONG, b"??", b"\0\0", b"sq"))
    return data[: each.start + 4] + vr + data[each.start + 6 :]


def edit(rng: random.Random, data: bytes) -> bytes:
    """A value that matters becomes one that hurts; its length field is right."""
    found = elements(data)
    if not found:
        return set_bytes(rng, data)
    tag = rng.choice(EDITED)
    held = [each for each in found if each.tag == tag]
    if held:
        each = rng.choice(held)
        _, value = _hurting(rng, tag, big=each.big)
        return data[: each.start] + _encoded(each, tag, each.vr, value) + data[each.end :]
    after = next((each for each in found if each.tag > tag and each.depth == 0), None)
    if after is None or after.start == found[0].start or (tag >> 16 != 2 and after.tag >> 16 == 2):
        return change_length(rng, data)
    vr, value = _hurting(rng, tag, big=after.big)
    return data[: after.start] + _encoded(after, tag, vr if after.vr else b"", value) + data[after.start :]


def nest(rng: random.Random, data: bytes) -> bytes:
    """A sequence of sequences, 2 to 3000 deep, before some element."""
    found = [each for each in elements(data) if each.depth == 0 and each.tag >> 16 > 2]
    if not found:
        return flip_bits(rng, data)
    each = rng.choice(found)
    order: Order = "big" if each.big else "little"
    vr = b"SQ\0\0" if each.vr else b""

    def part(number: int) -> bytes:
        return number.to_bytes(2, order)

    undefined = UNDEFINED.to_bytes(4, "little")
    one = part(0x0008) + part(0x2112) + vr + undefined + part(0xFFFE) + part(0xE000) + undefined
    close = (part(0xFFFE) + part(0xE00D) + bytes(4) + part(0xFFFE) + part(0xE0DD) + bytes(4)) * rng.randrange(2)
    deep = rng.choice((2, 30, 300, 3000))
    return data[: each.start] + one * deep + close * deep + data[each.start :]


def change_stream(rng: random.Random, data: bytes) -> bytes:
    """Numbers after a marker of a code stream: sizes, precision, components, tiles; of RLE: its segment offsets."""
    start = next((each.start for each in elements(data) if each.tag == PIXEL_DATA), 0)
    marks = [found.end() for found in re.finditer(rb"\xff[\x51\x52\x5c\xc0-\xcf\xda\xf7\x90\x50]", data[start:])]
    fragments = [each.value - start for each in elements(data) if each.tag == ITEM and each.start >= start]
    if not marks and not fragments:
        return edit(rng, data)
    at = start + rng.choice((marks or fragments) if rng.random() < 0.8 else (fragments or marks)) + rng.randrange(40)
    field = rng.choice(
        (
            rng.randrange(1 << 16).to_bytes(2, "big"),
            b"\0\0",
            b"\xff\xff",
            b"\0\1",
            b"\x40\0",
            b"\0",
            b"\xff",
            b"\0\0\xff\xff",
            b"\0\0\0\0",
            b"\xff\xff\xff\xff",
            b"\1",
            b"\x03",
            b"\x80",
        )
    )
    return data[:at] + field + data[at + len(field) :]


def change_table(rng: random.Random, data: bytes) -> bytes:
    """A basic offset table of other offsets, or of another length; or the fragments in two."""
    found = elements(data)
    place = next((n for n, each in enumerate(found) if each.tag == PIXEL_DATA), len(found))
    items = [each for each in found[place:] if each.tag == ITEM]
    if len(items) < 2:
        return edit(rng, data)
    table, last = items[0], items[-1]
    if rng.random() < 0.4 and last.end - last.value > 4:
        half = last.value + rng.randrange(2, last.end - last.value, 2)
        parts = (data[last.value : half], data[half : last.end])
        return data[: last.start] + b"".join(_encoded(last, ITEM, b"", part) for part in parts) + data[last.end :]
    offsets = [rng.choice((0, 1, 8, 4, 1 << 31, UNDEFINED, len(data), rng.randrange(1 << 14))) for _ in range(
        rng.choice((0, 1, 1, 2, len(items), 1000)))]  # fmt: skip
    value = b"".join(offset.to_bytes(4, "little") for offset in offsets) + b"\0" * rng.choice((0, 0, 0, 2))
    return data[: table.start] + _encoded(table, ITEM, b"", value) + data[table.end :]


def _pick(rng: random.Random, data: bytes) -> Element | None:
    found = elements(data)
    if not found:
        return None
    if rng.random() < 0.4:  # the pixels, and what is nested, are few among many
        rare = [each for each in found if each.tag == PIXEL_DATA or each.tag >> 16 == 0xFFFE or each.vr == b"SQ"]
        return rng.choice(rare or found)
    return rng.choice(found)


def _encoded(like: Element, tag: int, vr: bytes, value: bytes) -> bytes:
    order: Order = "big" if like.big else "little"
    head = (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)
    value += b"\0" * (len(value) % 2)
    long = vr in LONG or not vr
    length = (len(value) % (1 << (32 if long else 16))).to_bytes(4 if long else 2, order)
    return head + vr + (b"\0\0" if vr in LONG else b"") + length + value


OF_ELEMENTS: tuple[Change, ...] = (change_length, change_length, cut_at_element, move_element, change_vr, edit, edit,
                                   edit, edit, nest, change_stream, change_stream, change_table)  # fmt: skip


# --- changes of what is not DICOM


def change_nifti(rng: random.Random, data: bytes) -> bytes:
    """A field of a NIfTI-1 header: sizes, type, offset, scale, transforms."""
    at, size = rng.choice(((40, 2), (42, 2), (44, 2), (46, 2), (48, 2), (50, 2), (70, 2), (72, 2), (76, 4), (80, 4),
                           (84, 4), (88, 4), (108, 4), (112, 4), (116, 4), (252, 2), (254, 2), (256, 4), (260, 4),
                           (268, 4), (280, 4), (284, 4), (296, 4), (324, 4), (344, 4), (0, 4), (123, 1)))  # fmt: skip
    shorts = (b"\0\0", b"\1\0", b"\xff\xff", b"\xff\x7f", b"\0\x80", b"\2\0", b"\4\0", b"\x10\0", b"\x40\0", b"\7\0",
              b"\x80\0", b"\0\1", b"\x20\0", b"\0\7", b"\0\x08")  # fmt: skip
    floats = (b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f", bytes(4), b"\0\0\x80\x3f",
              b"\0\0\x80\xbf", b"\1\0\0\0", b"\xff" * 4, b"\0\0\x80\x50")  # fmt: skip
    return data[:at] + rng.choice(shorts if size <= 2 else floats)[:size] + data[at + size :]


def change_zip(rng: random.Random, data: bytes) -> bytes:
    """A field after a mark of an archive: local header, directory, its end."""
    marks = [found.end() for found in re.finditer(rb"PK(\x03\x04|\x01\x02|\x05\x06)", data)]
    if not marks:
        return flip_bits(rng, data)
    at = rng.choice(marks) + rng.randrange(44)
    field = rng.choice((b"\0", b"\xff", b"\xff\xff", b"\0\0", b"\xff\xff\xff\xff", bytes(4), b"\1", b"../", b"\x08\0"))
    return data[:at] + field + data[at + len(field) :]


def change_disc(rng: random.Random, data: bytes) -> bytes:
    """A DICOMDIR whose Referenced File ID leads elsewhere."""
    held = [each for each in elements(data) if each.tag == 0x00041500]
    if not held:
        return flip_bits(rng, data)
    each = rng.choice(held)
    value = rng.choice((b"..\\..\\outside\\SECRET", b"..\\outside\\SECRET", b"\\etc\\passwd", b"/etc/passwd", b"", b".",
                        b"..", b"LINK", b"LINKED\\SECRET", b"DICOMDIR", b"A" * 300, b"\\\\\\", b"a\0b", b"\xff\xfe",
                        b"PT000000", b"PT000000\\..\\..\\..\\outside\\SECRET", b"....//", b"C:\\x"))  # fmt: skip
    return data[: each.start] + _encoded(each, each.tag, each.vr, value) + data[each.end :]


# --- all together


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes] = (), times: int | None = None) -> Mutant:
    """Some changes one after the other. `others`: seeds whose end may replace the end of this one."""
    story: list[str] = []
    for _ in range(times or rng.choice((1, 1, 1, 1, 2, 2, 3, 5))):
        if others and rng.random() < 0.04:
            data, name = _spliced(rng, data, rng.choice(others)), "splice"
        else:
            data, name = _changed(rng, data)
        story.append(name)
        if not data:
            break
    return Mutant(data, tuple(story))


def _changed(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    story = ""

    def change(inner: bytes) -> bytes:
        nonlocal story
        inner, story = _changed(rng, inner)
        return inner

    if rng.random() < 0.75 and (new := repacked(data, change, rng.randrange(1 << 16))) is not None:
        return new, f"{story} inside"
    if data[:2] == b"PK":
        choice: tuple[Change, ...] = (*ANY, change_zip, change_zip, change_zip)
    elif data[344:347] == b"n+1":
        choice = (*ANY, *(change_nifti,) * 9)
    elif elements(data):
        choice = OF_ELEMENTS if rng.random() < 0.85 else ANY
    else:
        choice = ANY
    one = rng.choice(choice)
    return one(rng, data), one.__name__


def repacked(data: bytes, change: Callable[[bytes], bytes], place: int | None = None) -> bytes | None:
    """What is packed in `data`, changed and packed again; None when nothing is, or an earlier change broke it.

    `place`: which of the members of an archive (modulo their number); None: all.
    """
    try:
        if data[:4] == b"PK\3\4":
            return _zip_again(data, change, place)
        if data[:4] == b"\x28\xb5\x2f\xfd":
            return bytes(zstd.compress(change(bytes(zstd.decompress(data))), 3))
        if data[:2] == b"\x1f\x8b":
            return gzip.compress(change(gzip.decompress(data)), 6, mtime=0)
        if body := _deflated(data):
            return _as_deflated(change(_as_explicit(data, body)), data[:body])
    except (RuntimeError, ValueError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        pass
    return None


def _zip_again(data: bytes, change: Callable[[bytes], bytes], place: int | None) -> bytes | None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    if not members or not all(body for _, body in members):
        return None
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, (old, body) in enumerate(members):
            info = zipfile.ZipInfo(old.filename)
            info.create_system, info.external_attr = old.create_system, old.external_attr
            info.compress_type = old.compress_type if old.compress_type in (0, 8) else 0
            archive.writestr(info, change(body) if place is None or number == place % len(members) else body)
    return out.getvalue()


def _deflated(data: bytes) -> int:
    """Where a deflated data set starts; 0: this is none."""
    meta = elements(data)
    held = any(each.tag == SYNTAX and data[each.value : each.end].rstrip(b"\0 ") == DEFLATED for each in meta)
    return meta[-1].end if held else 0


def _as_explicit(data: bytes, body: int) -> bytes:
    """The file with its data set inflated, calling itself explicit so that its elements are found."""
    inflated = zlib.decompressobj(-15).decompress(data[body:], 1 << 22)
    return data[:body].replace(DEFLATED, EXPLICIT + b"\0\0\0") + inflated


def _as_deflated(data: bytes, head: bytes) -> bytes:
    at = 132
    while data[at : at + 2] == b"\2\0" and (each := _element(data, at, explicit=True, big=False, depth=0)) is not None:
        at = each.end
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return head + packer.compress(data[at:]) + packer.flush()


def _spliced(rng: random.Random, data: bytes, other: bytes) -> bytes:
    one, two = elements(data), elements(other)
    if not one or not two:
        return data[: len(data) // 2] + other[len(other) // 2 :]
    return data[: rng.choice(one).end] + other[rng.choice(two).start :]


# --- identity


def renamed(data: bytes, number: int, tags: Sequence[int]) -> bytes:
    """The UIDs of some tags replaced by others of the same length, everywhere in the file, packed or not."""
    if (new := repacked(data, lambda inner: renamed(inner, number, tags))) is not None:
        return new
    for each in elements(data):
        old = data[each.value : each.end].rstrip(b"\0 ")
        if each.tag in tags and len(old) >= 20:
            data = data.replace(old, old[:-7] + b"%07d" % (number + 1_000_000))
    return data
