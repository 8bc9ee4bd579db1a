"""Stored pixel values of DICOM images -> volumes of real-world values (HU for CT).

Uncompressed pixels go straight from the file into the volume; the rest through a decoder chosen by transfer syntax.
"""

import contextlib
import dataclasses
import filecmp
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.tag import Tag

from rrg.dicom import PIXEL_DATA, UNDEFINED, Header, parse, uid_name
from rrg.errors import RecordError
from rrg.files import open_file

PACKAGES = {
    uid.JPEGBaseline8Bit: "python-gdcm or pylibjpeg-libjpeg",
    uid.JPEGExtended12Bit: "python-gdcm or pylibjpeg-libjpeg",
    uid.JPEGLossless: "python-gdcm or pylibjpeg-libjpeg",
    uid.JPEGLosslessSV1: "python-gdcm or pylibjpeg-libjpeg",
    uid.JPEGLSLossless: "pyjpegls or python-gdcm",
    uid.JPEGLSNearLossless: "pyjpegls or python-gdcm",
    uid.JPEG2000Lossless: "pylibjpeg-openjpeg",
    uid.JPEG2000: "pylibjpeg-openjpeg",
    uid.HTJ2KLossless: "pylibjpeg-openjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg-openjpeg",
    uid.HTJ2K: "pylibjpeg-openjpeg",
    uid.RLELossless: "pylibjpeg-rle",
}
"""Transfer syntax -> package with a decoder."""


FASTEST = {
    uid.RLELossless: "pylibjpeg",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.JPEGLSLossless: "pyjpegls",
}
"""Transfer syntax -> plug-in of pydicom to take first when it is installed."""


class Volume(NamedTuple):
    """The slices of one stack that could be read."""

    values: NDArray[Any]
    """(slices, rows, columns) int16, uint16 or float32, after rescale."""
    headers: tuple[Header, ...]
    """One per slice, in the order of the array."""
    rejected: tuple[tuple[Header, RecordError], ...]


def read_volume(headers: Sequence[Header]) -> Volume:
    """Read the slices of one stack, in the order of `headers` (all of one size). A slice that fails is left out.

    Value = stored * Rescale Slope + Rescale Intercept, per slice (DICOM PS3.3 C.11.1.1.2); none given: as stored.
    MONOCHROME1 is a matter of display and is not inverted here. The dtype is the first of int16, uint16, float32 that
    holds every value of the stack exactly (float32: nearest).
    """
    for dtype in _dtypes(headers):
        with contextlib.suppress(_DoesNotFitError):
            return _read_volume(headers, dtype)
    raise AssertionError("float32 holds every value")


class _DoesNotFitError(Exception):
    """A value lies outside of the dtype that was tried."""


def _dtypes(headers: Sequence[Header]) -> Iterator["np.dtype[Any]"]:
    """Dtypes to try: integers when every rescale is of whole numbers."""
    if all(float(number).is_integer() for header in headers for number in (header.slope or 1, header.intercept or 0)):
        yield from (np.dtype(np.int16), np.dtype(np.uint16))
    yield np.dtype(np.float32)


def _read_volume(headers: Sequence[Header], dtype: "np.dtype[Any]") -> Volume:
    values = np.empty((len(headers), headers[0].rows, headers[0].columns), dtype)
    kept: list[Header] = []
    rejected: list[tuple[Header, RecordError]] = []
    frames = _Decoded()
    for number, header in enumerate(headers):
        try:
            _read_slice(header, values[len(kept)], lambda n=number: frames.get(headers, n))  # type: ignore[misc]
            kept.append(header)
        except RecordError as error:
            rejected.append((header, error))
    return Volume(values[: len(kept)], tuple(kept), tuple(rejected))


def _read_slice(header: Header, out: NDArray[Any], decode: Callable[[], NDArray[Any]]) -> None:
    slope, intercept = rescale_of(header)
    dtype = stored_dtype(header)
    if is_native(header):
        in_place = out.dtype.kind in "iu" and out.dtype.itemsize == dtype.itemsize
        stored = out.view(dtype) if in_place else np.empty(out.shape, dtype)
        read_native(header, stored)
    else:
        in_place, stored = False, decode()
    if out.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(out, stored.astype(np.float64) * slope + intercept, casting="same_kind")
        if not np.isfinite(out).all():
            raise RecordError(
                "E_RESCALE", f"Rescale Slope {slope:g} gives values that no float holds; check the header"
            )
        return
    _check_range(header, stored, out.dtype, slope, intercept)
    if not in_place:
        np.copyto(out, stored, casting="unsafe")
    # Sums wrap around modulo the size of the dtype; the results fit, so they are right even where `stored` does not.
    if slope != 1:
        np.multiply(out, _wrapped(slope, out.dtype), out=out)
    if intercept:
        np.add(out, _wrapped(intercept, out.dtype), out=out)


def _check_range(header: Header, stored: NDArray[Any], dtype: "np.dtype[Any]", slope: float, intercept: float) -> None:
    """Raise _DoesNotFitError unless all values fit: by the header when that is enough, else by the pixels."""
    bits, limits = header.bits_stored, np.iinfo(dtype)
    widest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if header.signed else (0, 2**bits - 1)

    def fit(ends: tuple[int, int]) -> bool:
        return all(limits.min <= end * slope + intercept <= limits.max for end in ends)

    if not fit(widest) and not fit((int(stored.min()), int(stored.max()))):
        raise _DoesNotFitError


def _wrapped(value: float, dtype: "np.dtype[Any]") -> Any:
    """An integer as a scalar of this dtype, modulo its size."""
    return np.array(int(value), np.int64).astype(dtype)[()]


class _Decoded:
    """Frames of the compressed file that is being read: a multi-frame object is parsed once, not once per frame."""

    def __init__(self) -> None:
        self._next: list[Header] = []
        self._frames: Iterator[NDArray[Any]] = iter(())

    def get(self, headers: Sequence[Header], number: int) -> NDArray[Any]:
        """Stored values of ``headers[number]``; asked for in growing `number`."""
        header = headers[number]
        if not self._next or self._next[0] is not header:
            rest = headers[number:] if header.multi_frame else (header,)
            self._next = [other for other in rest if other.path == header.path]
            self._frames = decode_frames(header.path, tuple(self._next))
        self._next.pop(0)
        try:
            return next(self._frames)
        except StopIteration:
            raise RecordError("E_TRUNCATED", "frame is not in the pixel data; copy the file again") from None


def rescale_of(header: Header) -> tuple[float, float]:
    """(slope, intercept); (1, 0) where the file gives none. E_RESCALE for what can not be a rescale."""
    if header.modality_lut:
        raise RecordError("E_RESCALE", "Modality LUT Sequence instead of a slope is not supported; convert the image")
    slope = 1.0 if header.slope is None else header.slope
    if slope == 0:
        raise RecordError("E_RESCALE", "Rescale Slope is 0: every pixel would be the same; leave the image out")
    return slope, header.intercept or 0.0


def is_hu(header: Header) -> bool:
    """CT whose values are Hounsfield units: a slope is given, and Rescale Type is HU or not said."""
    return (
        header.modality == "CT"
        and header.slope is not None
        and header.intercept is not None
        and (header.rescale_type or "HU").upper() == "HU"
    )


def check_size(headers: Sequence[Header], max_bytes: int) -> None:
    """Raise E_TOO_LARGE when the claimed pixels exceed the limit; call it before anything is allocated."""
    claimed = sum(header.frame_bytes for header in headers)
    if claimed > max_bytes:
        raise RecordError(
            "E_TOO_LARGE",
            f"claims {claimed / 1e6:.0f} MB of pixels, the limit is {max_bytes / 1e6:.0f} MB; raise it with --max-mb",
        )


def check_claim(header: Header, max_bytes: int) -> None:
    """As `check_size`, for all frames that one file claims; and the file must be long enough to hold them."""
    check_size([dataclasses.replace(header, rows=header.rows * header.frames)], max_bytes)
    if header.pixel_offset is None or header.pixel_length in (None, UNDEFINED):
        return
    needed, claimed = header.frames * header.frame_bytes, int(header.pixel_length or 0)
    held = header.size - header.pixel_offset
    if claimed - claimed % 2 > needed + needed % 2 or claimed < needed:
        raise RecordError(
            "E_TRUNCATED",
            f"Pixel Data is {claimed} bytes long, {header.rows} x {header.columns} x {header.frames} pixels of "
            f"{header.bits_allocated} bit need {needed}; copy it again from its source",
        )
    if held < needed:
        raise RecordError(
            "E_TRUNCATED", f"file ends after {held} of {needed} bytes of pixel data; copy it again from its source"
        )


def stored_dtype(header: Header) -> "np.dtype[Any]":
    """Native dtype of stored values."""
    return np.dtype(f"{'i' if header.signed else 'u'}{header.bits_allocated // 8}")


def read_native(header: Header, out: NDArray[Any]) -> None:
    """Read uncompressed stored values of one frame straight into `out`, (rows, columns) of the stored dtype."""
    assert header.pixel_offset is not None
    start = header.pixel_offset + ((header.frame or 1) - 1) * header.frame_bytes
    with open_file(header.path) as file:
        file.seek(start)
        view = memoryview(out.view(np.uint8).reshape(-1).data)
        while view:
            if not (got := file.readinto(view)):
                raise RecordError("E_TRUNCATED", "file ends inside the pixel data; copy it again from its source")
            view = view[got:]
    if header.transfer_syntax == uid.ExplicitVRBigEndian:
        out.byteswap(inplace=True)
    clean_bits(header, out)


def clean_bits(header: Header, values: NDArray[Any]) -> None:
    """Keep only Bits Stored, in place: shift High Bit down, cut what overlays left above, extend the sign."""
    allocated, stored = header.bits_allocated, header.bits_stored
    if stored == allocated:
        return
    if header.signed:
        np.left_shift(values, allocated - 1 - header.high_bit, out=values)
        np.right_shift(values, allocated - stored, out=values)  # arithmetic: keeps the sign
        return
    if header.high_bit != stored - 1:
        np.right_shift(values, header.high_bit + 1 - stored, out=values)
    np.bitwise_and(values, values.dtype.type((1 << stored) - 1), out=values)


def is_native(header: Header) -> bool:
    """True when pixels lie uncompressed in the file."""
    return header.pixel_offset is not None and header.pixel_length != UNDEFINED


def decode_frames(path: str, headers: Sequence[Header]) -> Iterator[NDArray[Any]]:
    """Stored values of the frames of one compressed (or deflated) file, in the order of `headers`; RecordError."""
    first = headers[0]
    decoder = _decoder(first.transfer_syntax)
    try:
        with open_file(path) as file:
            dataset = parse(file, [Tag(PIXEL_DATA), Tag(0x00280006)], pixels=True)
    except OSError as error:
        raise RecordError("E_PATH", f"file can not be read: {error.strerror}; check its permissions") from None
    if PIXEL_DATA not in dataset:
        raise RecordError("E_TRUNCATED", "an image without pixel data; copy it again from its source")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if decoder is None:
                yield from _inflated(dataset, headers)
                return
            indices = [(header.frame or 1) - 1 for header in headers]
            plugin = FASTEST.get(uid.UID(first.transfer_syntax), "")
            plugin = plugin if plugin in decoder.available_plugins else ""
            decoded = decoder.iter_array(dataset, indices=indices, raw=True, decoding_plugin=plugin)
            for header, (frame, _) in zip(headers, decoded, strict=True):
                values = np.array(frame, dtype=stored_dtype(header), order="C")
                if values.shape != (header.rows, header.columns):
                    raise RecordError("E_MALFORMED", f"decoded to {values.shape}, header says otherwise")
                clean_bits(header, values)
                yield values
    except (RecordError, GeneratorExit):
        raise
    except Exception as error:  # decoders raise whatever a broken code stream provokes
        raise RecordError(
            "E_TRUNCATED" if isinstance(error, EOFError) else "E_MALFORMED",
            f"pixel data can not be decoded ({type(error).__name__}); copy it again from its source",
        ) from None


def _inflated(dataset: Dataset, headers: Sequence[Header]) -> Iterator[NDArray[Any]]:
    """Frames of a deflated data set: native values behind the inflated header."""
    data = dataset.PixelData
    for header in headers:
        start = ((header.frame or 1) - 1) * header.frame_bytes
        if len(data) < start + header.frame_bytes:
            raise RecordError("E_TRUNCATED", f"{len(data)} bytes of pixel data, {start + header.frame_bytes} needed")
        values = np.frombuffer(data, stored_dtype(header), header.rows * header.columns, start).copy()
        clean_bits(header, values)
        yield values.reshape(header.rows, header.columns)


@functools.cache
def _decoder(transfer_syntax: str) -> Any:
    """pydicom's decoder; None for a deflated (native) data set. E_CODEC names the package to install."""
    if transfer_syntax == uid.DeflatedExplicitVRLittleEndian:
        return None
    name = uid_name(transfer_syntax) or "of an unknown transfer syntax"
    try:
        decoder = get_decoder(uid.UID(transfer_syntax))
    except NotImplementedError:
        raise RecordError("E_CODEC", f"pixel data {name}: nothing here decodes it; convert it first") from None
    if not decoder.is_available:
        package = PACKAGES.get(uid.UID(transfer_syntax), "pylibjpeg")
        raise RecordError("E_CODEC", f"pixel data {name}: no decoder installed; pip install {package}")
    return decoder


def same_image(one: str, other: str) -> bool:
    """True when two files are equal, or hold the same pixel values (in another transfer syntax, say)."""
    if filecmp.cmp(one, other, shallow=False):
        return True
    try:
        first, second = (pydicom.dcmread(path).pixel_array for path in (one, other))
    except Exception:  # whatever a decoder raises: then nobody can say that they are the same
        return False
    return bool(np.array_equal(first, second))
