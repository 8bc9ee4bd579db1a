"""Stored values of every transfer syntax, and what becomes of code streams that are cut, wrong or hostile."""

import contextlib
import dataclasses
import gc
import importlib
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate, encapsulate_extended

from rrg import dicom_deflated, jail, pixels, pixels_codecs
from rrg.dicom import Header, Rejected, frames_of, read_header
from rrg.errors import RecordError
from rrg.files import Source
from rrg.pixels import decode_frames, lossy_ratio, read_slices, same_image
from tests.made_dicom import enhanced, image, save
from tests.test_jail import job as stub

Values = NDArray[Any]
Encode = Callable[[Values, int], bytes]


def noisy(bits: int = 12, shape: tuple[int, int] = (40, 56), seed: int = 0) -> Values:
    """All values of `bits` may occur, as at the edge of a body; neighbours are alike."""
    rng = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) * (2**bits // sum(shape))
    values = np.clip(slope + rng.integers(-9, 9, shape), 0, 2**bits - 1)
    values[0, :2] = 0, 2**bits - 1
    made: Values = values.astype(np.uint8 if bits <= 8 else np.uint16)
    return made


def rle(values: Values, _bits: int) -> bytes:
    size = values.dtype.itemsize
    encode = importlib.import_module("rle").encode_pixel_data
    options = {"samples_per_pixel": 1, "bits_allocated": 8 * size, "number_of_frames": 1, "byteorder": "<"}
    return bytes(encode(values.tobytes(), rows=values.shape[0], columns=values.shape[1], **options))


def jpeg_2000(values: Values, bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(values, level=0, codecformat="J2K", reversible=True, bitspersample=bits))


def jpeg_lossless(values: Values, bits: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=bits, predictor=1))


def jpeg_lossy(values: Values, bits: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(values, level=95, bitspersample=bits))


LOSSLESS: dict[str, Encode] = {
    uid.RLELossless: rle,
    uid.JPEGLossless: lambda values, bits: bytes(
        imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=bits, predictor=6)
    ),
    uid.JPEGLosslessSV1: jpeg_lossless,
    uid.JPEGLSLossless: lambda values, bits: bytes(imagecodecs.jpegls_encode(values)),
    uid.JPEG2000Lossless: jpeg_2000,
    uid.JPEG2000: jpeg_2000,
    uid.HTJ2KLossless: lambda values, bits: bytes(imagecodecs.htj2k_encode(values)),
    uid.HTJ2KLosslessRPCL: lambda values, bits: bytes(imagecodecs.htj2k_encode(values)),
    uid.HTJ2K: lambda values, bits: bytes(imagecodecs.htj2k_encode(values)),
}
LOSSY: dict[str, tuple[Encode, int]] = {
    uid.JPEGBaseline8Bit: (jpeg_lossy, 8),
    uid.JPEGExtended12Bit: (jpeg_lossy, 12),
    uid.JPEGLSNearLossless: (lambda values, bits: bytes(imagecodecs.jpegls_encode(values, level=3)), 12),
    uid.JPEG2000: (
        lambda values, bits: bytes(
            imagecodecs.jpeg2k_encode(values, level=60, codecformat="J2K", reversible=False, bitspersample=bits)
        ),
        12,
    ),
}
SYNTAXES = sorted({*LOSSLESS, *LOSSY})


def encoded(values: Values, syntax: str, bits: int) -> bytes:
    encode = LOSSLESS.get(syntax) or LOSSY[syntax][0]
    return encode(values, bits)


def compressed(code: bytes | Sequence[bytes], values: Values, bits: int, **tags: Any) -> pydicom.Dataset:
    """A slice whose pixel data is this code stream (or these fragments of it)."""
    made = image(1, pixels=values, BitsStored=bits, HighBit=bits - 1, RescaleIntercept=0, **tags)
    fragments = [code] if isinstance(code, bytes) else list(code)
    if len(fragments) == 1:
        made.PixelData = encapsulate(fragments)
    else:
        made.PixelData = b"\xfe\xff\0\xe0\0\0\0\0" + b"".join(map(item, fragments)) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return made


def item(fragment: bytes) -> bytes:
    padded = fragment + b"\0" * (len(fragment) % 2)
    return b"\xfe\xff\0\xe0" + len(padded).to_bytes(4, "little") + padded


def header_of(path: Path) -> Header:
    found = read_header(Source(str(path), path.name))
    assert isinstance(found, Header), found
    return found


def read(path: Path) -> Values:
    """The one slice of a file; raises why it failed."""
    values, failed = read_slices([header_of(path)])
    if failed:
        raise failed[0]
    slice_: Values = values[0]
    return slice_


def code_of(path: Path) -> str:
    found = read_header(Source(str(path), path.name))
    if isinstance(found, Rejected):
        return found.code
    failed = read_slices([found]).failed
    assert not any(str(path) in error.message for error in failed.values())
    return failed[0].code if failed else "read"


def by_pydicom(path: Path) -> Values:
    with pydicom.config.disable_value_validation():
        return np.asarray(pydicom.dcmread(path).pixel_array)


# --- row 1 and 16: every syntax, every kind of stored value


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", sorted(LOSSLESS))
def test_every_lossless_syntax_gives_the_original(syntax: str, bits: int, tmp_path: Path) -> None:
    values = noisy(bits)
    path = save(compressed(encoded(values, syntax, bits), values, bits), tmp_path / "a", syntax)
    np.testing.assert_array_equal(read(path), values)
    np.testing.assert_array_equal(read(path), by_pydicom(path))


@pytest.mark.parametrize("syntax", sorted(LOSSLESS))
def test_signed_values_get_their_sign(syntax: str, tmp_path: Path) -> None:
    """12 bits of two's complement in 16: cut to 12 by most encoders, with copies of the sign above them by RLE."""
    signed = noisy(12).astype(np.int16) - 2048
    cell = signed.astype(np.uint16) if syntax == uid.RLELossless else signed.astype(np.uint16) & 0x0FFF
    made = compressed(encoded(cell, syntax, 12), signed, 12, PixelPaddingValue=-2000)
    path = save(made, tmp_path / "a", syntax)
    np.testing.assert_array_equal(read(path), signed)
    assert header_of(path).padding == -2000


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1])
@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_those_stored_are_cut(syntax: str, tmp_path: Path, *, signed: bool) -> None:
    """All 16 bits are in the code stream, with an overlay in the four above Bits Stored."""
    values = noisy(12).astype(np.int16) - 2048 if signed else noisy(12)
    dirty = (values.view(np.uint16) & 0x0FFF) | 0xA000
    dirty[0, 0] |= 0xF000
    path = save(compressed(encoded(dirty, syntax, 16), values, 12), tmp_path / "a", syntax)
    np.testing.assert_array_equal(read(path), values)


def test_signed_code_stream(tmp_path: Path) -> None:
    signed = noisy(12).astype(np.int16) - 2048
    code = bytes(imagecodecs.jpeg2k_encode(signed, level=0, codecformat="J2K", reversible=True, bitspersample=12))
    assert code[42] & 0x80, "the code stream says signed"
    for values in (signed, signed.view(np.uint16) & 0x0FFF):
        path = save(compressed(code, values, 12), tmp_path / "a", uid.JPEG2000Lossless)
        np.testing.assert_array_equal(read(path), values)
        np.testing.assert_array_equal(read(path), by_pydicom(path))


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian]
)
def test_syntaxes_without_a_decoder(syntax: str, tmp_path: Path) -> None:
    values = noisy(12)
    made = image(1, pixels=values, BitsStored=12, HighBit=11, RescaleIntercept=0)
    if syntax == uid.ExplicitVRBigEndian:
        made.PixelData = values.astype(">u2").tobytes()
    path = save(made, tmp_path / "a", syntax)
    np.testing.assert_array_equal(read(path), values)
    np.testing.assert_array_equal(read(path), by_pydicom(path))


def test_a_code_stream_in_a_jp2_file(tmp_path: Path) -> None:
    values = noisy(12)
    code = bytes(imagecodecs.jpeg2k_encode(values, level=0, codecformat="JP2", reversible=True, bitspersample=12))
    assert code[4:8] == b"jP  "
    path = save(compressed(code, values, 12), tmp_path / "a", uid.JPEG2000Lossless)
    np.testing.assert_array_equal(read(path), values)


def test_all_real_compressed_files_are_as_pydicom_reads_them(data: Path) -> None:
    folders = ("totalsegmentator-ct-mr/example_ct_dicom", "dicom-edge-cases", "lidc-idri-0314-chest-ct")
    seen = set()
    for path in sorted(path for folder in folders for path in (data / folder).rglob("*") if path.is_file()):
        found = read_header(Source(str(path), path.name))
        if not isinstance(found, Header) or found.transfer_syntax in pixels.NATIVE or found.modality_lut:
            continue
        stack = frames_of(found)
        expected = by_pydicom(path).reshape(len(stack), found.rows, found.columns)
        plain = [dataclasses.replace(header, slope=None, intercept=None) for header in stack]
        values, failed = read_slices(plain)
        assert not failed
        np.testing.assert_array_equal(values, expected)
        seen.add(found.transfer_syntax)
    assert seen >= {uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless}


# --- row 2


@pytest.mark.parametrize("syntax", sorted(LOSSY))
def test_lossy_ones_are_near_and_say_by_how_much_they_were_compressed(syntax: str, tmp_path: Path) -> None:
    encode, bits = LOSSY[syntax]
    values = noisy(bits)
    code = encode(values, bits)
    for given in ({}, {"LossyImageCompression": "01", "LossyImageCompressionRatio": "7.5"}):
        path = save(compressed(code, values, bits, **given), tmp_path / "a", syntax)
        header = header_of(path)
        assert np.abs(read(path).astype(int) - values).max() <= 64
        if syntax != uid.JPEGExtended12Bit:  # pydicom's decoders know 8 bit of it only
            np.testing.assert_array_equal(read(path), by_pydicom(path))
        if given:
            assert lossy_ratio(header) == 7.5
        elif header.lossy:
            assert lossy_ratio(header) == pytest.approx(values.nbytes / len(code), rel=0.1)
    assert header.lossy
    lossless = save(compressed(rle(values, bits), values, bits), tmp_path / "b", uid.RLELossless)
    assert lossy_ratio(header_of(lossless)) is None


# --- row 23: cut


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_code_stream_that_is_cut_gives_no_image(syntax: str, tmp_path: Path) -> None:
    """At many places, with and without an end marker put back, and with a piece lost in the middle."""
    bits = LOSSY[syntax][1] if syntax in LOSSY else 12
    values = noisy(bits)
    code = encoded(values, syntax, bits).rstrip(b"\0")
    whole = read(save(compressed(code, values, bits), tmp_path / "whole", syntax))
    last = [] if syntax in pixels_codecs.JPEG_LS else [len(code) - 3]  # CharLS makes up one byte at the end
    for cut in [*np.linspace(2, len(code) - 6, 14).astype(int), *last]:
        for end in (b"",) if syntax == uid.RLELossless else (b"", b"\xff\xd9"):
            path = save(compressed(code[:cut] + end, values, bits), tmp_path / "a", syntax)
            found = code_of(path)
            if found == "read":  # the last byte may hold nothing but padding
                assert cut == len(code) - 3
                np.testing.assert_array_equal(read(path), whole)
            else:
                assert found in ("E_TRUNCATED", "E_MALFORMED"), (cut, end)
    middle = len(code) // 2
    path = save(compressed(code[: middle - 60] + code[middle + 60 :], values, bits), tmp_path / "a", syntax)
    assert code_of(path) in ("E_TRUNCATED", "E_MALFORMED")


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_that_is_cut_is_truncated(syntax: str, tmp_path: Path) -> None:
    bits = LOSSY[syntax][1] if syntax in LOSSY else 12
    values = noisy(bits)
    whole = save(compressed(encoded(values, syntax, bits), values, bits), tmp_path / "whole", syntax)
    data, start = whole.read_bytes(), header_of(whole).pixel_offset
    assert start is not None
    for cut in (start + 4, start + 8, start + 14, start + 40, (start + len(data)) // 2, len(data) - 12):
        (tmp_path / "cut").write_bytes(data[:cut])
        assert code_of(tmp_path / "cut") in ("E_TRUNCATED", "E_MALFORMED")
        assert cut <= start + 8 or code_of(tmp_path / "cut") == "E_TRUNCATED"
    (tmp_path / "cut").write_bytes(data[:-8])  # only the delimiter is missing
    np.testing.assert_array_equal(read(tmp_path / "cut"), read(whole))


def test_end_marker_with_padding_is_an_end(tmp_path: Path) -> None:
    values = noisy(12)
    for syntax in (uid.JPEGLosslessSV1, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.HTJ2KLossless):
        path = save(compressed(encoded(values, syntax, 12) + bytes(6), values, 12), tmp_path / "a", syntax)
        np.testing.assert_array_equal(read(path), values)


# --- row 25: bombs and lies


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be decoded."""

    def refuse(jobs: Iterator[jail.Job], _children: int = 1) -> Iterator[RecordError | None]:
        for _ in jobs:
            raise AssertionError("a child was asked")
        yield from ()

    monkeypatch.setattr(jail, "run", refuse)


def patched(code: bytes, at: int, new: bytes) -> bytes:
    return code[:at] + new + code[at + len(new) :]


def frame_header(code: bytes) -> int:
    """Offset of the marker segment of a JPEG frame header."""
    return next(at for at in range(len(code)) if code[at] == 0xFF and code[at + 1] in (0xC0, 0xC1, 0xC3, 0xF7))


@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.HTJ2K])
def test_a_jpeg_2000_bomb_is_refused_before_anything_is_allocated(syntax: str, tmp_path: Path) -> None:
    values = noisy(12)
    code = encoded(values, syntax, 12)
    bombs = {
        "size": patched(code, 8, struct.pack(">II", 60_000, 60_000)),
        "offset": patched(code, 16, struct.pack(">II", 8, 0)),
        "tiles of one pixel": patched(code, 24, struct.pack(">II", 1, 1)) if values.size > 65535 else None,
        "no tiles": patched(code, 24, struct.pack(">II", 0, 0)),
        "components": patched(code, 40, struct.pack(">H", 16384)),
        "precision": patched(code, 42, b"\x25"),
        "coarse grid": patched(code, 43, b"\xff\xff"),
    }
    for name, bomb in bombs.items():
        if bomb is not None:
            path = save(compressed(bomb, values, 12), tmp_path / "a", syntax)
            assert code_of(path) == "E_MALFORMED", name


@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize("syntax", [s for s in SYNTAXES if s in pixels_codecs.SOF])
def test_a_jpeg_bomb_is_refused(syntax: str, tmp_path: Path) -> None:
    bits = LOSSY[syntax][1] if syntax in LOSSY else 12
    values = noisy(bits)
    code = encoded(values, syntax, bits)
    at = frame_header(code)
    for bomb in (
        patched(code, at + 5, b"\xff\xff\xff\xff"),  # rows, columns
        patched(code, at + 5, b"\0\0"),  # rows told later, by DNL
        patched(code, at + 4, b"\x11"),  # 17 bit
        patched(code, at + 9, b"\3"),  # components
        patched(code, at + 1, b"\xc2"),  # progressive
        code[:at] + code[at : at + 13] * 2 + code[at + 13 :],  # two frame headers
        patched(code, at + 2, b"\0\0"),
        b"\xff\xd8\xff\xd9",
        b"GIF89a" + code,
    ):
        path = save(compressed(bomb, values, bits), tmp_path / "a", syntax)
        huge = bomb[at + 5 : at + 9] == b"\xff\xff\xff\xff"
        assert code_of(path) == ("E_TOO_LARGE" if huge else "E_MALFORMED")


@pytest.mark.usefixtures("no_child")
def test_rle_headers_that_lie_are_refused(tmp_path: Path) -> None:
    values = noisy(12)
    code = rle(values, 12)
    for at, new, expected in (
        (0, struct.pack("<I", 15), "E_MALFORMED"),
        (0, struct.pack("<I", 1), "E_MALFORMED"),
        (4, struct.pack("<I", 12), "E_MALFORMED"),
        (8, struct.pack("<I", 64), "E_MALFORMED"),
        (8, struct.pack("<I", 2**31), "E_TRUNCATED"),
    ):
        path = save(compressed(patched(code, at, new), values, 12), tmp_path / "a", uid.RLELossless)
        assert code_of(path) == expected


@pytest.mark.usefixtures("no_child")
def test_a_code_stream_larger_than_its_image_could_be(tmp_path: Path) -> None:
    values = noisy(12)
    code = jpeg_2000(values, 12)
    path = save(compressed(code + bytes(2 << 20), values, 12), tmp_path / "a", uid.JPEG2000)
    assert code_of(path) == "E_MALFORMED"


@pytest.mark.usefixtures("no_child")
def test_items_that_lie_are_refused(tmp_path: Path) -> None:
    values = noisy(12)
    path = save(compressed(jpeg_2000(values, 12), values, 12), tmp_path / "whole", uid.JPEG2000)
    data, start = path.read_bytes(), header_of(path).pixel_offset
    assert start is not None
    for at, new, expected in (
        (start + 4, b"\xff\xff\xff\xff", "E_MALFORMED"),  # offset table
        (start + 4, struct.pack("<I", 1 << 30), "E_MALFORMED"),
        (start + 12 + 4, b"\xff\xff\xff\xff", "E_TRUNCATED"),  # fragment
        (start + 12, b"\x10\0\x10\0", "E_MALFORMED"),  # an element
    ):
        (tmp_path / "a").write_bytes(patched(data, at, new))
        assert code_of(tmp_path / "a") == expected


def deflated(made: pydicom.Dataset, path: Path, change: Callable[[bytes], bytes], meta: bytes = b"") -> Path:
    """A deflated file whose packed data set was changed, with `meta` put before the transfer syntax."""
    data = save(made, path, uid.DeflatedExplicitVRLittleEndian).read_bytes()
    length = struct.unpack("<I", data[140:144])[0]
    head, packed = data[: 144 + length], data[144 + length :]
    at = head.index(b"\2\0\x10\0UI")
    path.write_bytes(head[:at] + meta + head[at:] + change(packed))
    return path


def again(packed: bytes, tail: bytes) -> bytes:
    state = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return state.compress(zlib.decompress(packed, -zlib.MAX_WBITS) + tail) + state.flush()


def test_a_deflate_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_deflated, "MAX_BYTES", 8 << 20)
    zeros = b"\xe1\x7f\x10\0OB\0\0" + struct.pack("<I", 60 << 20) + bytes(60 << 20)
    hidden = b"\2\0\2\1OB\0\0" + struct.pack("<I", 6000) + bytes(6000)
    paths = [deflated(image(), tmp_path / str(len(m)), lambda packed: again(packed, zeros), m) for m in (b"", hidden)]
    for path in paths:
        assert path.stat().st_size < 100_000
        tracemalloc.start()
        try:
            assert code_of(path) == "E_TOO_LARGE"
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()


def test_deflated_ones_that_are_cut_or_broken(tmp_path: Path) -> None:
    made = image(1, pixels=noisy(12))
    assert code_of(deflated(made, tmp_path / "a", lambda packed: packed)) == "read"
    assert code_of(deflated(made, tmp_path / "a", lambda packed: packed[:-300])) == "E_TRUNCATED"
    assert code_of(deflated(made, tmp_path / "a", lambda packed: b"\xff" + packed)) == "E_MALFORMED"
    hidden = b"\2\0\2\1OB\0\0" + struct.pack("<I", 6000) + bytes(6000)
    assert code_of(deflated(made, tmp_path / "a", lambda packed: packed, hidden)) == "read"


@pytest.mark.parametrize("length", [5000, (1 << 20) + 5000])
def test_no_form_of_file_meta_hides_the_deflated_syntax(length: int, tmp_path: Path) -> None:
    """pydicom must not meet it: it unpacks without a limit."""
    hidden = b"\2\0\2\1OB\0\0" + struct.pack("<I", length) + bytes(length)
    odd = b"\2\0\2\1o?" + struct.pack("<H", 4) + bytes(4)
    implicit = tmp_path / "implicit"
    elements = (struct.pack("<HHI", 2, 0x10, 22) + dicom_deflated.SYNTAX, struct.pack("<HHI", 2, 0x102, 4) + bytes(4))
    implicit.write_bytes(bytes(128) + b"DICM" + elements[1] + elements[0] + zlib.compress(bytes(range(64)))[2:-4])
    with open(implicit, "rb") as file:  # noqa: PTH123
        assert dicom_deflated.unpacked(file) is not None
    for meta, code in ((hidden, "" if length < 1 << 20 else "E_MALFORMED"), (odd, "E_MALFORMED")):
        path = deflated(image(), tmp_path / "a", lambda packed: packed, meta)
        with open(path, "rb") as file, pytest.raises(RecordError) if code else contextlib.nullcontext() as caught:  # noqa: PTH123
            assert dicom_deflated.unpacked(file) is not None
        assert caught is None or caught.value.code == code


# --- row 26: a decoder that dies


@pytest.mark.parametrize(("name", "limits"), [("segfault", {}), ("loop", {"cpu_seconds": 1}), ("allocate", {})])
def test_a_decoder_that_dies_costs_one_slice(
    name: str, limits: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = [noisy(12, seed=number) for number in range(4)]
    paths = [
        save(compressed(jpeg_2000(each, 12), each, 12), tmp_path / str(number), uid.JPEG2000Lossless)
        for number, each in enumerate(originals)
    ]
    made = pixels._frame

    def hostile(number: int, *rest: Any) -> Any:
        frame = made(number, *rest)
        if number != 1:
            return frame
        arguments = (20,) if name == "allocate" else ()
        job = stub(name, bytearray(), *arguments, limits=frame.job.limits._replace(**limits))
        return frame._replace(job=job._replace(out=frame.job.out))

    monkeypatch.setattr(pixels, "_frame", hostile)
    for children in (1, 2) if name == "segfault" else (1,):
        values, failed = read_slices([header_of(path) for path in paths], children=children)
        assert {place: error.code for place, error in failed.items()} == {1: "E_DECODER_CRASH"}
        np.testing.assert_array_equal(values, [originals[0], np.zeros_like(originals[1]), *originals[2:]])


def test_mutated_code_streams_end_in_documented_codes(tmp_path: Path) -> None:
    """Real decoders: some mutations make GDCM abort."""
    rng = np.random.default_rng(1)
    codes = {"read", "E_TRUNCATED", "E_MALFORMED", "E_DECODER_CRASH", "E_TOO_LARGE"}
    for syntax in SYNTAXES:
        bits = LOSSY[syntax][1] if syntax in LOSSY else 12
        values = noisy(bits)
        code = encoded(values, syntax, bits)
        for _ in range(40):
            hostile = bytearray(code)
            for at in rng.integers(0, min(len(code), 400), rng.integers(1, 4)):
                hostile[at] = (0, 255, int(rng.integers(256)))[rng.integers(3)]
            path = save(compressed(bytes(hostile), values, bits), tmp_path / "a", syntax)
            assert code_of(path) in codes


def test_what_a_decoder_needs_it_gets(tmp_path: Path) -> None:
    """The largest slices there are: 2048 x 2048 pixels and more, in one tile."""
    values = np.tile(noisy(12, (64, 64)), (32, 32))
    path = save(compressed(jpeg_2000(values, 12), values, 12), tmp_path / "a", uid.JPEG2000Lossless)
    np.testing.assert_array_equal(read(path), values)


def test_a_child_imports_only_what_it_needs(tmp_path: Path) -> None:
    values = noisy(12)
    read(save(compressed(jpeg_2000(values, 12), values, 12), tmp_path / "a", uid.JPEG2000Lossless))
    for name, expected in (("rrg.pixels_codecs", b"\1"), ("pydicom", b"\0"), ("rrg.dicom", b"\0")):
        out = bytearray(1)
        assert list(jail.run([stub("loaded", out, name)])) == [None]
        assert bytes(out) == expected, name


# --- decoders


def test_a_missing_decoder_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("imagecodecs", "openjpeg", "gdcm", "rle", "rle.rle"):
        monkeypatch.setitem(sys.modules, name, None)
    expected = {
        uid.JPEG2000Lossless: "pip install imagecodecs or pylibjpeg-openjpeg",
        uid.JPEGLSLossless: "pip install imagecodecs or python-gdcm",
        uid.JPEGLosslessSV1: "pip install imagecodecs or python-gdcm",
        uid.RLELossless: "pip install pylibjpeg-rle or imagecodecs",
    }
    for syntax, package in expected.items():
        with pytest.raises(RecordError, match=package) as caught:
            pixels_codecs.decode(bytearray(b"code"), syntax, 40, 56, 16, 12)
        assert caught.value.code == "E_CODEC"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_decoder_of_a_syntax_alone_gives_the_same(syntax: str) -> None:
    bits = LOSSY[syntax][1] if syntax in LOSSY else 12
    values = noisy(bits)
    size = 8 * values.dtype.itemsize
    stream = pixels_codecs.checked(encoded(values, syntax, bits), syntax, 40, 56, size)
    found = [
        np.asarray(decoder(bytes(stream.code), 40, 56, size, stream.precision, syntax))
        for _, decoder in pixels_codecs.decoders(syntax)
    ]
    assert len(found) == 2
    for each in found:
        assert np.abs(each.astype(int) - found[0]).max() <= (1 if syntax in pixels_codecs.JPEG_LOSSY else 0)
    if syntax in LOSSLESS:
        np.testing.assert_array_equal(found[0], values)


def test_the_second_decoder_is_taken_when_the_first_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("does not like this stream")

    monkeypatch.setattr(pixels_codecs, "_imagecodecs_jpeg_2000", broken)
    values = noisy(12)
    code = bytearray(jpeg_2000(values, 12))
    found = pixels_codecs.decode(code, uid.JPEG2000, 40, 56, 16, 12)
    np.testing.assert_array_equal(found, values)
    monkeypatch.setattr(pixels_codecs, "_openjpeg", broken)
    with pytest.raises(RecordError, match="RuntimeError") as caught:
        pixels_codecs.decode(code, uid.JPEG2000, 40, 56, 16, 12)
    assert caught.value.code == "E_MALFORMED"
    assert "does not like" not in caught.value.message


@pytest.mark.usefixtures("no_child")
def test_syntaxes_that_nothing_decodes(tmp_path: Path) -> None:
    values = noisy(12)
    path = save(compressed(b"\0\0\1\xb3 not a film  ", values, 12), tmp_path / "a", uid.MPEG2MPML)
    with pytest.raises(RecordError, match="MPEG2") as caught:
        read(path)
    assert caught.value.code == "E_CODEC"
    native = image(1, pixels=values, BitsStored=12, HighBit=11)
    private = save(native, tmp_path / "b")
    private.write_bytes(private.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0", 1))
    assert code_of(private) == "E_CODEC", "its values may be in another byte order"
    lying = save(native, tmp_path / "c")
    lying.write_bytes(lying.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1))
    assert code_of(lying) == "E_MALFORMED"
    code = compressed(jpeg_2000(values, 12), values, 12)
    lying = save(code, tmp_path / "d", uid.JPEG2000)
    lying.write_bytes(lying.read_bytes().replace(b"1.2.840.10008.1.2.4.91", b"1.2.840.10008.1.2.1\0\0\0", 1))
    assert code_of(lying) == "E_MALFORMED"


# --- multi-frame objects


def multi(fragments: Sequence[bytes], count: int, values: Values, **tags: Any) -> pydicom.Dataset:
    made = enhanced(list(range(count)), **tags)
    made.Rows, made.Columns = values.shape
    for group in made.PerFrameFunctionalGroupsSequence:
        group.PixelValueTransformationSequence[0].RescaleSlope = 1
        group.PixelValueTransformationSequence[0].RescaleIntercept = 0
    made.PixelData = b"".join(fragments) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return made


def halves(code: bytes) -> list[bytes]:
    middle = len(code) // 4 * 2
    return [code[:middle], code[middle:]]


@pytest.mark.parametrize("table", ["one fragment each", "basic", "extended", "end markers"])
def test_frames_are_found_by_every_kind_of_table(table: str, tmp_path: Path) -> None:
    originals = [noisy(12, seed=number) for number in range(5)]
    codes = [jpeg_2000(each, 12) for each in originals]
    codes = [code + b"\0" * (len(code) % 2) for code in codes]
    pieces = [[code] if table == "one fragment each" else halves(code) for code in codes]
    items = [b"".join(map(item, each)) for each in pieces]
    starts = [sum(map(len, items[:number])) for number in range(5)]
    basic = struct.pack("<5I", *starts) if table == "basic" else b""
    made = multi([item(basic), *items], 5, originals[0], BitsStored=12, HighBit=11)
    if table == "extended":
        made.ExtendedOffsetTable = struct.pack("<5Q", *starts)
        made.ExtendedOffsetTableLengths = encapsulate_extended(codes)[2]
    frames = frames_of(header_of(save(made, tmp_path / "a", uid.JPEG2000Lossless)))
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 1, 3]):
        values, failed = read_slices([frames[number] for number in order])
        assert not failed
        np.testing.assert_array_equal(values, [originals[number] for number in order])
    values, failed = read_slices(frames, [3, 1], children=2)
    np.testing.assert_array_equal(values, [originals[3], originals[1]])


def test_one_broken_frame_costs_one_frame(tmp_path: Path) -> None:
    originals = [noisy(12, seed=number) for number in range(3)]
    codes = [jpeg_2000(each, 12) for each in originals]
    codes[1] = codes[1][: len(codes[1]) // 2]
    path = save(multi([item(b""), *map(item, codes)], 3, originals[0]), tmp_path / "a", uid.JPEG2000Lossless)
    values, failed = read_slices(frames_of(header_of(path)))
    assert {place: error.code for place, error in failed.items()} == {1: "E_TRUNCATED"}
    np.testing.assert_array_equal(values, [originals[0], np.zeros_like(originals[1]), originals[2]])


def test_frames_that_are_missing_or_misplaced(tmp_path: Path) -> None:
    original = noisy(12)
    code = jpeg_2000(original, 12)
    two = multi([item(b""), *map(item, [code, code])], 3, original)
    assert {e.code for e in read_slices(frames_of(header_of(save(two, tmp_path / "a", uid.JPEG2000))))[1].values()} == {
        "E_TRUNCATED"
    }
    for offsets in ((0, 7, 9), (4, 8, 12), (0, 0, 0), (0, 2**31, 2**31 + 1)):
        wrong = multi([item(struct.pack("<3I", *offsets)), *map(item, [code] * 3)], 3, original)
        failed = read_slices(frames_of(header_of(save(wrong, tmp_path / "a", uid.JPEG2000))))[1]
        assert {error.code for error in failed.values()} == {"E_MALFORMED"}


def test_a_large_object_is_not_held(tmp_path: Path) -> None:
    """64 frames of 0.5 MB: a few of them at a time are."""
    values = noisy(12, (512, 512))
    code = rle(values, 12)
    path = save(multi([item(b""), *[item(code)] * 64], 64, values), tmp_path / "a", uid.RLELossless)
    frames = frames_of(header_of(path))
    read_slices(frames[:1])
    gc.collect()
    tracemalloc.start()
    try:
        seen = 0
        for _, stored in decode_frames(frames):
            np.testing.assert_array_equal(stored, values)
            seen += 1
        assert seen == 64
        assert tracemalloc.get_traced_memory()[1] < 8 * (values.nbytes + len(code))
    finally:
        tracemalloc.stop()


# --- some slices, places, dtypes


def stack(folder: Path, *, slope: float = 1, compress: bool = True) -> tuple[list[Header], list[Values]]:
    originals = [noisy(12, seed=number) for number in range(5)]
    made = []
    for number, each in enumerate(originals):
        if compress and number % 2:
            path = save(compressed(rle(each, 12), each, 12, RescaleSlope=slope), folder / str(number), uid.RLELossless)
        else:
            plain = image(1, pixels=each, BitsStored=12, HighBit=11, RescaleIntercept=0, RescaleSlope=slope)
            path = save(plain, folder / str(number))
        made.append(header_of(path))
    return made, originals


def test_only_wanted_slices_are_read(tmp_path: Path) -> None:
    headers, originals = stack(tmp_path)
    for number in (0, 2):
        (tmp_path / str(number)).unlink()
    values, failed = read_slices(headers, [4, 1, 3])
    assert not failed
    np.testing.assert_array_equal(values, [originals[4], originals[1], originals[3]])
    assert read_slices(headers, []).values.shape[0] == 0


def test_a_slice_that_fails_keeps_its_place(tmp_path: Path) -> None:
    headers, originals = stack(tmp_path)
    (tmp_path / "2").write_bytes((tmp_path / "2").read_bytes()[:-10])
    (tmp_path / "3").unlink()
    values, failed = read_slices(headers, [1, 2, 3, 4])
    assert {index: error.code for index, error in failed.items()} == {2: "E_TRUNCATED", 3: "E_PATH"}
    blank = np.zeros_like(originals[0])
    np.testing.assert_array_equal(values, [originals[1], blank, blank, originals[4]])


@pytest.mark.parametrize("compress", [False, True])
def test_a_given_dtype_is_kept_or_refused(tmp_path: Path, *, compress: bool) -> None:
    headers, originals = stack(tmp_path, compress=compress)
    for dtype in (np.int16, np.uint16, np.float32):
        values, failed = read_slices(headers, [0, 1], np.dtype(dtype))
        assert values.dtype == dtype
        assert not failed
        np.testing.assert_array_equal(values, originals[:2])
    odd = [dataclasses.replace(headers[0], slope=0.5), dataclasses.replace(headers[1], intercept=-1), *headers[2:]]
    values, failed = read_slices(odd, dtype=np.dtype(np.uint16))
    assert {index: error.code for index, error in failed.items()} == {0: "E_RESCALE", 1: "E_RESCALE"}
    assert not values[:2].any()
    np.testing.assert_array_equal(values[2:], originals[2:])
    assert read_slices(odd).values.dtype == np.float32
    assert read_slices(odd, [1, 2]).values.dtype == np.int16


# --- two files


def test_same_image_by_its_values(tmp_path: Path) -> None:
    values, other = noisy(12), noisy(12, seed=1)
    plain = header_of(save(image(1, pixels=values, RescaleIntercept=0, BitsStored=12, HighBit=11), tmp_path / "plain"))
    packed = header_of(save(compressed(jpeg_2000(values, 12), values, 12), tmp_path / "a", uid.JPEG2000Lossless))
    deflated = header_of(
        save(
            image(1, pixels=values, RescaleIntercept=0, PatientID="X"),
            tmp_path / "d",
            uid.DeflatedExplicitVRLittleEndian,
        )
    )
    assert same_image(plain, plain)
    assert same_image(plain, packed)
    assert same_image(packed, deflated)
    different = header_of(save(compressed(jpeg_2000(other, 12), other, 12), tmp_path / "b", uid.JPEG2000Lossless))
    assert not same_image(plain, different)
    assert not same_image(packed, dataclasses.replace(plain, slope=2.0)), "the values are others after rescale"
    assert not same_image(packed, dataclasses.replace(plain, path=str(tmp_path / "none")))
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-40])
    assert not same_image(plain, packed), "nobody can say"


def test_same_image_of_many_frames(tmp_path: Path) -> None:
    originals = [noisy(12, seed=number) for number in range(3)]
    codes = [rle(each, 12) for each in originals]
    one = header_of(save(multi([item(b""), *map(item, codes)], 3, originals[0]), tmp_path / "a", uid.RLELossless))
    codes = [jpeg_2000(each, 16) for each in originals]
    two = header_of(save(multi([item(b""), *map(item, codes)], 3, originals[0]), tmp_path / "b", uid.JPEG2000Lossless))
    assert same_image(one, two)
    codes[2] = codes[1]
    two = header_of(save(multi([item(b""), *map(item, codes)], 3, originals[0]), tmp_path / "b", uid.JPEG2000Lossless))
    assert not same_image(one, two)
