"""Code streams of compressed pixel data: checked against the DICOM header, then decoded.

`checked` runs in the process that reads the file and only looks at bytes; `decode` is what the child of `rrg.jail`
calls. Neither imports pydicom, which would cost a child 0.3 s.
"""

import importlib
import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError

RLE = "1.2.840.10008.1.2.5"
JPEG_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")

SOF = {
    **dict.fromkeys(JPEG_LOSSY, (0xC0, 0xC1)),
    **dict.fromkeys(JPEG_LOSSLESS, (0xC3,)),
    **dict.fromkeys(JPEG_LS, (0xF7,)),
}
"""Transfer syntax -> frame headers that a stream of it may have (DICOM PS3.5, 8.2.1 and 8.2.3)."""
BOMB = 16
"""A code stream of so many times the pixels that the header says is no mistake."""
SOI, EOI, SOS, DNL = 0xD8, 0xD9, 0xDA, 0xDC
SOC, SIZ, SOT, SOD, EOC = 0xFF4F, 0xFF51, 0xFF90, 0xFF93, 0xFFD9
JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
TAIL = b"\xb5\x4a" * 32
"""Stands before the end marker when `_to_the_end` looks whether a decoder gets that far. Its first bit is 1, where
libjpeg makes up zeros; no 0xFF, which starts a marker."""


class Stream(NamedTuple):
    """One frame, ready for a decoder."""

    code: bytes | memoryview
    precision: int
    """Bits of a sample in the code stream; in RLE all Bits Allocated."""


def checked(data: bytes, syntax: str, rows: int, columns: int, bits_allocated: int) -> Stream:
    """The code stream of one frame, whose own header says the same size as the DICOM header and which is complete.

    E_TRUNCATED when it ends early, E_MALFORMED when it is another image than the header says, E_CODEC for a transfer
    syntax that nothing here decodes.
    """
    if syntax == RLE:
        _check_rle(data, bits_allocated)
        return Stream(data, bits_allocated)
    if syntax in SOF:
        stream, size = _jpeg(data, SOF[syntax])
    elif syntax in (*JPEG_2000, *HTJ2K):
        stream, size = _jpeg_2000(data)
    else:
        raise RecordError("E_CODEC", "pixel data of a transfer syntax that nothing here decodes; convert it first")
    if size != (rows, columns):
        bomb = size[0] * size[1] > BOMB * rows * columns
        raise RecordError(
            "E_TOO_LARGE" if bomb else "E_MALFORMED",
            f"code stream of {size[0]} x {size[1]} pixels, the header says {rows} x {columns}; leave the file out",
        )
    if not 1 <= stream.precision <= bits_allocated:
        raise RecordError(
            "E_MALFORMED", f"code stream of {stream.precision} bit, the header allocates {bits_allocated}; leave it out"
        )
    return stream


def _check_rle(data: bytes, bits_allocated: int) -> None:
    """RLE header: number of segments, then their offsets (DICOM PS3.5, Annex G.5)."""
    if len(data) < 64:
        raise _truncated(f"RLE frame of {len(data)} bytes")
    number, *offsets = (int.from_bytes(data[at : at + 4], "little") for at in range(0, 64, 4))
    if number != bits_allocated // 8:
        raise RecordError(
            "E_MALFORMED", f"RLE frame of {number} segments, {bits_allocated // 8} expected; leave the file out"
        )
    used = offsets[:number]
    if used[0] != 64 or used != sorted(set(used)):
        raise RecordError("E_MALFORMED", "RLE segments do not follow each other; leave the file out")
    if used[-1] >= len(data):
        raise _truncated(f"RLE frame of {len(data)} bytes whose last segment starts at {used[-1]}")


def _jpeg(data: bytes, allowed: tuple[int, ...]) -> tuple[Stream, tuple[int, int]]:
    """Frame header of a JPEG or JPEG-LS stream (ITU-T T.81, B.2; T.87, C.2): the stream, (rows, columns)."""
    end = data.rfind(bytes((0xFF, EOI)))
    if data[:2] != bytes((0xFF, SOI)):
        raise RecordError("E_MALFORMED", "pixel data do not start like a JPEG stream; leave the file out")
    if end < 0:
        raise _truncated("JPEG stream without an end marker")
    at, found = 2, None
    while at + 4 <= end:
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in allowed or (marker & 0xF0 == 0xC0 and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            if found is not None or marker not in allowed or length < 11:
                raise RecordError("E_MALFORMED", f"JPEG frame header {marker:#x} is not of its transfer syntax")
            found = data[at + 4 : at + 2 + length]
        if marker == SOS:
            break
        if length < 2:
            break
        at += 2 + length
    if found is None:
        raise RecordError("E_MALFORMED", "JPEG stream without a frame header; leave the file out")
    precision, rows, columns, components = (
        found[0],
        int.from_bytes(found[1:3], "big"),
        int.from_bytes(found[3:5], "big"),
        found[5],
    )
    if components != 1:
        raise RecordError("E_MALFORMED", f"JPEG stream of {components} components, one expected; leave the file out")
    return Stream(data[: end + 2], precision), (rows, columns)


def _jpeg_2000(data: bytes) -> tuple[Stream, tuple[int, int]]:
    """SIZ and tile-parts of a JPEG 2000 code stream (ISO/IEC 15444-1, Annex A): the stream, (rows, columns)."""
    code = memoryview(data)
    if data.startswith(JP2):
        code = code[_code_stream_box(data) :]

    def number(at: int, size: int) -> int:
        return int.from_bytes(code[at : at + size], "big")

    if len(code) < 4 + 38 + 3:
        raise _truncated(f"JPEG 2000 stream of {len(code)} bytes")
    if number(0, 2) != SOC or number(2, 2) != SIZ:
        raise RecordError("E_MALFORMED", "pixel data do not start like a JPEG 2000 stream; leave the file out")
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = (number(at, 4) for at in range(8, 40, 4))
    components, depth, step_x, step_y = number(40, 2), code[42], code[43], code[44]
    if components != 1 or (step_x, step_y) != (1, 1):
        raise RecordError(
            "E_MALFORMED", f"JPEG 2000 stream of {components} components or a coarser grid, one plain expected"
        )
    tiles = 0
    if tile_width and tile_height:
        tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if not (tile_left <= left < right and tile_top <= top < bottom and 1 <= tiles <= 65535):
        raise RecordError("E_MALFORMED", "JPEG 2000 stream whose tiles do not fit its size; leave the file out")
    at = 2
    while (marker := number(at, 2)) != SOT:
        if not 0xFF50 <= marker <= 0xFF6F or at + 4 > len(code):
            raise _truncated("JPEG 2000 stream without tiles")
        at += 2 + max(number(at + 2, 2), 2)
    seen = set()
    while number(at, 2) == SOT:
        if at + 12 > len(code):
            raise _truncated("JPEG 2000 stream that ends in a tile")
        seen.add(number(at + 4, 2))
        length = number(at + 6, 4)
        if length == 0:  # up to the end marker
            at = len(bytes(code).rstrip(b"\0")) - 2
            break
        if length < 14:
            raise RecordError("E_MALFORMED", f"JPEG 2000 tile-part of {length} bytes; leave the file out")
        at += length
        if at > len(code):
            raise _truncated(f"JPEG 2000 stream of {len(code)} bytes with a tile up to {at}")
    if number(at, 2) != EOC:
        raise _truncated("JPEG 2000 stream without an end marker")
    if len(seen) != tiles:
        raise _truncated(f"JPEG 2000 stream with {len(seen)} of {tiles} tiles")
    return Stream(code[: at + 2], (depth & 0x7F) + 1), (bottom - top, right - left)


def _code_stream_box(data: bytes) -> int:
    """Offset of the code stream in a JP2 file (ISO/IEC 15444-1, Annex I), which DICOM does not want and files hold."""
    at = len(JP2)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        head = 16 if length == 1 else 8
        if kind == b"jp2c":
            return at + head
        length = int.from_bytes(data[at + 8 : at + 16], "big") if length == 1 else length
        if length < head:
            break
        at += length
    raise RecordError("E_MALFORMED", "JP2 file without a code stream; leave the file out")


def _truncated(what: str) -> RecordError:
    return RecordError("E_TRUNCATED", f"{what}; copy it again from its source")


# --- in the child

Decode = Callable[[bytes, int, int, int, int, str], Any]
"""(code stream, rows, columns, bits allocated, precision, transfer syntax) -> samples."""


def decode(
    data: bytearray, syntax: str, rows: int, columns: int, bits_allocated: int, precision: int
) -> NDArray[np.unsignedinteger[Any]]:
    """Samples of one checked frame as (rows, columns) unsigned integers of Bits Allocated, little-endian.

    Signed samples are in two's complement. Decoders are tried in order until one succeeds. RecordError: E_CODEC when
    none is installed, E_TRUNCATED, or E_MALFORMED.
    """
    code, missing, failed = bytes(data), list[str](), list[Exception]()
    for package, decoder in decoders(syntax):
        try:
            found = np.asarray(decoder(code, rows, columns, bits_allocated, precision, syntax))
        except ImportError:
            missing.append(package)
            continue
        except (MemoryError, RecordError):
            raise
        except Exception as error:  # decoders raise whatever a broken stream provokes
            failed.append(error)
            continue
        if found.shape != (rows, columns) or found.dtype.kind not in "iu":
            failed.append(ValueError("another shape"))
            continue
        return np.ascontiguousarray(found.astype(f"<u{bits_allocated // 8}", casting="unsafe", copy=False))
    if not failed:
        raise RecordError(
            "E_CODEC", f"no decoder for this transfer syntax is installed; pip install {' or '.join(missing)}"
        )
    raise RecordError(
        "E_MALFORMED",
        f"pixel data can not be decoded ({type(failed[0]).__name__}); copy it again from its source",
    )


def decoders(syntax: str) -> Iterator[tuple[str, Decode]]:
    """(package to install, decoder) of a transfer syntax, the fastest one that refuses incomplete data first."""
    if syntax == RLE:
        yield from (("pylibjpeg-rle", _rle), ("imagecodecs", _imagecodecs_rle))
    elif syntax in (*JPEG_LOSSY, *JPEG_LOSSLESS):
        yield from (("imagecodecs", _imagecodecs_jpeg), ("python-gdcm", _gdcm_jpeg))
    elif syntax in JPEG_LS:
        yield from (("imagecodecs", _imagecodecs_jpeg_ls), ("python-gdcm", _gdcm))
    elif syntax in (*JPEG_2000, *HTJ2K):
        # Not OpenJPH of imagecodecs for HTJ2K: it gives an image for broken streams, and only prints that it failed.
        yield from (("imagecodecs", _imagecodecs_jpeg_2000), ("pylibjpeg-openjpeg", _openjpeg))


def _rle(code: bytes, rows: int, columns: int, bits: int, _precision: int, _syntax: str) -> Any:
    decode_frame = importlib.import_module("rle.rle").decode_frame
    try:
        decoded = decode_frame(code, rows * columns, bits, "<")
    except BaseException as error:  # on some broken frames it panics, which is no Exception
        raise ValueError("RLE") from error
    return np.frombuffer(decoded, f"<u{bits // 8}").reshape(rows, columns)


def _imagecodecs_rle(code: bytes, rows: int, columns: int, bits: int, _precision: int, _syntax: str) -> Any:
    from imagecodecs import dicomrle_decode

    return np.frombuffer(dicomrle_decode(code, f"<u{bits // 8}"), f"<u{bits // 8}").reshape(rows, columns)


def _imagecodecs_jpeg(code: bytes, *_: Any) -> Any:
    from imagecodecs import jpeg8_decode

    return _to_the_end(jpeg8_decode, code)


def _gdcm_jpeg(code: bytes, rows: int, columns: int, bits: int, precision: int, syntax: str) -> Any:
    return _to_the_end(lambda each: _gdcm(each, rows, columns, bits, precision, syntax), code)


def _to_the_end(decoder: Callable[[bytes], Any], code: bytes) -> Any:
    """Decode, and again with other bytes before the end marker. A complete stream has no use for them.

    libjpeg makes up whatever is missing before the end marker, and tells nobody.
    """
    found = np.asarray(decoder(code))
    if not np.array_equal(found, decoder(code[:-2] + TAIL + code[-2:])):
        raise _truncated("JPEG stream that ends before its last row")
    return found


def _imagecodecs_jpeg_ls(code: bytes, *_: Any) -> Any:
    from imagecodecs import jpegls_decode

    return jpegls_decode(code)


def _imagecodecs_jpeg_2000(code: bytes, *_: Any) -> Any:
    from imagecodecs import jpeg2k_decode

    return jpeg2k_decode(code, numthreads=1)


def _openjpeg(code: bytes, *_: Any) -> Any:
    return importlib.import_module("openjpeg").decode(io.BytesIO(code), j2k_format=0)


def _gdcm(code: bytes, rows: int, columns: int, bits: int, precision: int, syntax: str) -> Any:
    gdcm = importlib.import_module("gdcm")
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(code)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    size = bits if syntax not in JPEG_LS else 8 if precision <= 8 else 16  # GDCM's container of JPEG-LS samples
    image.SetPixelFormat(gdcm.PixelFormat(1, size, precision, precision - 1, 0))
    found = image.GetBuffer().encode("utf-8", "surrogateescape")  # it gives char* as str
    return np.frombuffer(found, f"<u{size // 8}").reshape(rows, columns)
