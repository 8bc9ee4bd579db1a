"""Stored pixel values of DICOM images -> volumes of real-world values (HU for CT).

Uncompressed pixels go straight from the file into the volume; the rest through a decoder in a child process, one frame
at a time.
"""

import contextlib
import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg import jail, pixels_codecs, pixels_fragments
from rrg.dicom import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    NIFTI,
    PIXEL_DATA,
    UNDEFINED,
    Header,
    check_unchanged,
    parse,
    uid_name,
)
from rrg.errors import RecordError
from rrg.files import open_file

NATIVE = {IMPLICIT, EXPLICIT, BIG_ENDIAN}
"""Transfer syntaxes whose pixels lie uncompressed in the file."""
MEMORY_BYTES, MEMORY_FRAMES, MEMORY_CODES = 128 << 20, 24, 4
"""What a decoder may ask for: so many bytes, decoded frames and code streams. OpenJPEG needs about 8 frames of 16 bit
(int32 samples of the image and of its tiles); the rest is for libraries that a decoder loads."""
CPU_SECONDS, CPU_SECONDS_PER_PIXEL = 5.0, 4e-6
"""Time of a decoder for one frame: JPEG 2000, the slowest, takes 1.2e-7 s a pixel."""
WALL_PER_CPU, WALL_SECONDS = 10.0, 60.0
"""Time on the clock: on a machine that is busy with other work too."""
CODE_FRAMES, CODE_BYTES = 4, 1 << 20
"""Largest code stream: so many decoded frames, at least so many bytes. Noise makes 1.1 of a frame."""
COMPARED_BYTES = 1 << 20


class Slices(NamedTuple):
    """Slices of one stack."""

    values: NDArray[Any]
    """(wanted, rows, columns) int16, uint16 or float32, after rescale; zeros at the place of a slice that failed."""
    failed: dict[int, RecordError]
    """Index in the stack -> why."""


def read_slices(
    headers: Sequence[Header],
    wanted: Sequence[int] | None = None,
    dtype: "np.dtype[Any] | None" = None,
    *,
    children: int = 1,
) -> Slices:
    """Read slices of one stack (all of one size): those at the indices `wanted` and in that order, or all.

    Value = stored * Rescale Slope + Rescale Intercept, per slice (DICOM PS3.3 C.11.1.1.2); none given: as stored.
    MONOCHROME1 is a matter of display and is not inverted here. Without `dtype` it is the first of int16, uint16,
    float32 that holds every wanted value exactly (float32: nearest); with it, a slice that does not fit is E_RESCALE.
    Compressed frames are decoded in `children` processes. Memory: the result, and one frame for each of those.
    """
    indices = range(len(headers)) if wanted is None else wanted
    chosen = [headers[index] for index in indices]
    for each in _dtypes(chosen) if dtype is None else (np.dtype(dtype),):
        with contextlib.suppress(_DoesNotFitError):
            values, failed = _read(chosen, each, children, fixed=dtype is not None)
            return Slices(values, {indices[place]: error for place, error in failed.items()})
    raise AssertionError("float32 holds every value")


class Volume(NamedTuple):
    """The slices of one stack that could be read."""

    values: NDArray[Any]
    """(slices, rows, columns) int16, uint16 or float32, after rescale."""
    headers: tuple[Header, ...]
    """One per slice, in the order of the array."""
    rejected: tuple[tuple[Header, RecordError], ...]


def read_volume(headers: Sequence[Header]) -> Volume:
    """As `read_slices` of all slices, but those that fail are left out."""
    values, failed = read_slices(headers)
    kept = [index for index in range(len(headers)) if index not in failed]
    return Volume(
        values[kept] if failed else values,
        tuple(headers[index] for index in kept),
        tuple((headers[index], error) for index, error in failed.items()),
    )


class _DoesNotFitError(Exception):
    """A value lies outside of the dtype that was tried."""


def _dtypes(headers: Sequence[Header]) -> Iterator["np.dtype[Any]"]:
    """Dtypes to try: integers when every rescale is of whole numbers."""
    if all(map(_is_whole, headers)):
        yield from (np.dtype(np.int16), np.dtype(np.uint16))
    yield np.dtype(np.float32)


def dtype_of(headers: Sequence[Header]) -> "np.dtype[Any]":
    """A dtype for a stack of which only some slices are read, by its headers alone: whichever they are, it is the same.

    The first of int16, uint16, float32 that holds all that the headers allow. CT of whole numbers is int16: HU beyond
    it are of no tissue or metal, and a slice that has them fails.
    """
    if all(map(_is_whole, headers)):
        if all(header.modality == "CT" for header in headers):
            return np.dtype(np.int16)
        for dtype in (np.dtype(np.int16), np.dtype(np.uint16)):
            if all(_fits(_widest(header), dtype, *rescale_of(header)) for header in headers):
                return dtype
    return np.dtype(np.float32)


def _widest(header: Header) -> tuple[int, int]:
    """Smallest and largest stored value that the header allows."""
    bits = header.bits_stored
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if header.signed else (0, 2**bits - 1)


def _fits(ends: tuple[int, int], dtype: "np.dtype[Any]", slope: float, intercept: float) -> bool:
    limits = np.iinfo(dtype)
    return all(limits.min <= end * slope + intercept <= limits.max for end in ends)


def _is_whole(header: Header) -> bool:
    return not header.real and all(float(number or 0).is_integer() for number in (header.slope, header.intercept))


def _read(
    headers: Sequence[Header], dtype: "np.dtype[Any]", children: int, *, fixed: bool
) -> tuple[NDArray[Any], dict[int, RecordError]]:
    """All of `headers` in this dtype; by place, what failed."""
    values = np.zeros((len(headers), headers[0].rows, headers[0].columns) if headers else (0, 0, 0), dtype)
    failed: dict[int, RecordError] = {}

    def attempt(place: int, read: Callable[[], None]) -> None:
        try:
            if fixed and dtype.kind != "f" and not _is_whole(headers[place]):
                raise _DoesNotFitError
            read()
        except RecordError as error:
            failed[place] = error
        except _DoesNotFitError:
            if not fixed:
                raise
            failed[place] = RecordError(
                "E_RESCALE", f"values that {dtype} does not hold, in which other slices are stored; extract all of them"
            )
        if place in failed:
            values[place] = 0

    compressed: list[int] = []
    for place, header in enumerate(headers):
        attempt(place, partial(check_unchanged, header))
    unpacked = _Unpacked()
    for place, header in enumerate(headers):
        if place in failed:
            continue
        if is_native(header):
            attempt(place, partial(_read_slice, header, values[place]))
        elif _is_unpacked(header):
            attempt(place, partial(_read_unpacked, headers, place, unpacked, values[place]))
        else:
            compressed.append(place)
    for number, stored in decode_frames([headers[place] for place in compressed], children):
        place = compressed[number]
        if isinstance(stored, RecordError):
            failed[place] = stored
        else:
            attempt(place, partial(_rescale, headers[place], stored, values[place]))
    return values, failed


def _read_unpacked(headers: Sequence[Header], place: int, unpacked: "_Unpacked", out: NDArray[Any]) -> None:
    _rescale(headers[place], unpacked.get(headers, place), out)


def _read_slice(header: Header, out: NDArray[Any]) -> None:
    """Read an uncompressed slice, in place where the dtypes have one size."""
    rescale_of(header)  # refused before anything is read
    dtype = stored_dtype(header)
    in_place = out.dtype.kind in "iu" and out.dtype.itemsize == dtype.itemsize
    stored = out.view(dtype) if in_place else np.empty(out.shape, dtype)
    read_native(header, stored)
    _rescale(header, stored, out, in_place=in_place)


def _rescale(header: Header, stored: NDArray[Any], out: NDArray[Any], *, in_place: bool = False) -> None:
    """`stored` -> real values in `out`; `in_place`: they share their memory."""
    slope, intercept = rescale_of(header)
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
    if _fits(_widest(header), dtype, slope, intercept):
        return
    if not _fits((int(stored.min()), int(stored.max())), dtype, slope, intercept):
        raise _DoesNotFitError


def _wrapped(value: float, dtype: "np.dtype[Any]") -> Any:
    """An integer as a scalar of this dtype, modulo its size."""
    return np.array(int(value), np.int64).astype(dtype)[()]


class _Unpacked:
    """Frames of the NIfTI or deflated file that is being read: it is opened once, not once per frame."""

    def __init__(self) -> None:
        self._next: deque[Header] = deque()
        self._frames: Iterator[NDArray[Any]] = iter(())

    def get(self, headers: Sequence[Header], number: int) -> NDArray[Any]:
        """Stored values of ``headers[number]``; asked for in growing `number`."""
        header = headers[number]
        if not self._next or self._next[0] is not header:
            rest = headers[number:] if header.multi_frame else (header,)
            self._next = deque(other for other in rest if other.path == header.path)
            self._frames = _unpacked_frames(header.path, tuple(self._next))
        self._next.popleft()
        try:
            return next(self._frames)
        except StopIteration:
            raise RecordError("E_TRUNCATED", "frame is not in the pixel data; copy the file again") from None
        except RecordError:
            self._next.clear()  # the others get a fresh start
            raise


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
    try:
        with open_file(header.path) as file:
            file.seek(start)
            view = memoryview(out.view(np.uint8).reshape(-1).data)
            while view:
                if not (got := file.readinto(view)):
                    raise RecordError("E_TRUNCATED", "file ends inside the pixel data; copy it again from its source")
                view = view[got:]
    except OSError as error:
        raise RecordError("E_PATH", f"file can not be read: {error.strerror}; check it and its rights") from None
    if header.transfer_syntax == BIG_ENDIAN:
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
    return header.transfer_syntax in NATIVE and header.pixel_offset is not None and header.pixel_length != UNDEFINED


def _is_unpacked(header: Header) -> bool:
    """True when pixels are uncompressed behind a header that is none, or in a data set that is deflated as a whole."""
    return header.transfer_syntax in (NIFTI, DEFLATED)


def lossy_ratio(header: Header) -> float | None:
    """Uncompressed : compressed size of an image that was compressed with loss, else None; None also if not known.

    Lossy Image Compression Ratio (0028,2112) where given; else by the length of what is stored.
    """
    if not header.lossy:
        return None
    if header.lossy_ratio is not None and header.lossy_ratio > 0:
        return header.lossy_ratio
    if header.pixel_offset is None or header.pixel_length != UNDEFINED or header.size <= header.pixel_offset:
        return None
    return round(header.frames * header.frame_bytes / (header.size - header.pixel_offset), 2)


# --- compressed frames


class _Frame(NamedTuple):
    """One frame on its way through a decoder."""

    number: int
    header: Header
    stored: NDArray[Any]
    """(rows, columns) of the stored dtype; filled by the decoder."""
    precision: int
    job: jail.Job


def decode_frames(headers: Sequence[Header], children: int = 1) -> Iterator[tuple[int, NDArray[Any] | RecordError]]:
    """(index, stored values or why not) of compressed frames; those that no decoder need see come last.

    Each frame is read, and its code stream checked against the header, when a child is free to decode it.
    """
    sent: deque[_Frame] = deque()
    refused: list[tuple[int, RecordError]] = []

    def jobs() -> Iterator[jail.Job]:
        with _Encapsulated() as file:
            for number, header in enumerate(headers):
                try:
                    sent.append(_frame(number, header, file))
                except RecordError as error:
                    refused.append((number, error))
                    continue
                yield sent[-1].job

    for error in jail.run(jobs(), children):
        frame = sent.popleft()
        if error is None:
            settle_bits(frame.header, frame.stored, frame.precision)
            yield frame.number, frame.stored
        elif error.code == "E_CODEC":
            name = uid_name(frame.header.transfer_syntax)
            yield frame.number, RecordError(error.code, f"pixel data {name}: {error.message}")
        else:
            yield frame.number, error
    yield from refused


def _frame(number: int, header: Header, file: "_Encapsulated") -> _Frame:
    if not any(pixels_codecs.decoders(header.transfer_syntax)) and header.transfer_syntax not in NATIVE:
        name = uid_name(header.transfer_syntax) or "of an unknown transfer syntax"
        raise RecordError("E_CODEC", f"pixel data {name}: nothing here decodes it; convert it first")
    if header.transfer_syntax in NATIVE or header.pixel_length != UNDEFINED:
        raise RecordError(
            "E_MALFORMED",
            "pixel data are compressed and the transfer syntax is not, or the reverse; leave the file out",
        )
    data = file.read(header)
    stream = pixels_codecs.checked(data, header.transfer_syntax, header.rows, header.columns, header.bits_allocated)
    stored = np.empty((header.rows, header.columns), stored_dtype(header).newbyteorder("<"))
    cpu = CPU_SECONDS + CPU_SECONDS_PER_PIXEL * stored.size
    memory = MEMORY_BYTES + MEMORY_FRAMES * stored.nbytes + MEMORY_CODES * len(stream.code)
    job = jail.Job(
        "rrg.pixels_codecs:decode",
        stream.code,
        (header.transfer_syntax, header.rows, header.columns, header.bits_allocated, stream.precision),
        memoryview(stored.view(np.uint8).reshape(-1).data),
        jail.Limits(memory, cpu, max(WALL_SECONDS, WALL_PER_CPU * cpu)),
    )
    return _Frame(number, header, stored, stream.precision, job)


class _Encapsulated:
    """The encapsulated file that is being read: opened, and its fragments listed, once."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._file: IO[bytes] | None = None
        self._frames: list[list[pixels_fragments.Fragment]] = []

    def __enter__(self) -> "_Encapsulated":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._path, self._file = None, None

    def read(self, header: Header) -> bytes:
        """The code stream of a frame."""
        try:
            if self._path != header.path or self._file is None:
                self.__exit__()
                self._file = open_file(header.path)
                self._frames = pixels_fragments.frames_at(self._file, header)
                self._path = header.path
            fragments = self._frames[(header.frame or 1) - 1]
            return pixels_fragments.read_frame(self._file, fragments, max(CODE_FRAMES * header.frame_bytes, CODE_BYTES))
        except OSError as error:
            raise RecordError("E_PATH", f"file can not be read: {error.strerror}; check its permissions") from None


def settle_bits(header: Header, values: NDArray[Any], precision: int) -> None:
    """Decoded samples of `precision` bits -> stored values, in place.

    A decoder gives samples without sign, or with the sign of the code stream; Pixel Representation counts. Where the
    code stream holds more than Bits Stored, `clean_bits` does what it does to uncompressed values.
    """
    if header.bits_stored < precision:
        clean_bits(header, values)
    elif precision < header.bits_allocated:
        shift = header.bits_allocated - precision
        np.left_shift(values, shift, out=values)
        np.right_shift(values, shift, out=values)  # arithmetic for signed ones


# --- frames of files that are unpacked as a whole


def _unpacked_frames(path: str, headers: Sequence[Header]) -> Iterator[NDArray[Any]]:
    """Stored values of the frames of a NIfTI file or a deflated data set, in the order of `headers`; RecordError."""
    if headers[0].transfer_syntax == NIFTI:
        from rrg import nifti  # nibabel is loaded only where there is such a file

        yield from nifti.read_frames(path, headers)
        return
    try:
        with open_file(path) as file:
            dataset = parse(file, [PIXEL_DATA], pixels=True)
    except OSError as error:
        raise RecordError("E_PATH", f"file can not be read: {error.strerror}; check its permissions") from None
    data = dataset.get_item(PIXEL_DATA).value if PIXEL_DATA in dataset else None
    if not isinstance(data, bytes):
        raise RecordError("E_TRUNCATED", "an image without pixel data; copy it again from its source")
    for header in headers:
        start = ((header.frame or 1) - 1) * header.frame_bytes
        if len(data) < start + header.frame_bytes:
            raise RecordError("E_TRUNCATED", f"{len(data)} bytes of pixel data, {start + header.frame_bytes} needed")
        values = np.frombuffer(data, stored_dtype(header), header.rows * header.columns, start).copy()
        clean_bits(header, values)
        yield values.reshape(header.rows, header.columns)


# --- two files


def same_image(one: Header, other: Header) -> bool:
    """True when two files are equal, or hold the same values in another transfer syntax, say."""
    try:
        if _same_bytes(one.path, other.path):
            return True
        first, second = ((h.rows, h.columns, h.frames, *rescale_of(h)) for h in (one, other))
        if first != second:
            return False
        return all(map(np.array_equal, _stored(one), _stored(other)))
    except (OSError, RecordError):  # then nobody can say that they are the same
        return False


def _same_bytes(one: str, other: str) -> bool:
    with open_file(one) as first, open_file(other) as second:
        if first.seek(0, os.SEEK_END) != second.seek(0, os.SEEK_END):
            return False
        first.seek(0)
        second.seek(0)
        while data := first.read(COMPARED_BYTES):
            if data != second.read(COMPARED_BYTES):
                return False
        return True


def _stored(header: Header) -> Iterator[NDArray[Any]]:
    """Stored values of all frames of a file, one at a time."""
    frames = [dataclasses.replace(header, frame=number) for number in range(1, header.frames + 1)]
    if is_native(header):
        for frame in frames:
            out = np.empty((header.rows, header.columns), stored_dtype(header))
            read_native(frame, out)
            yield out
    elif _is_unpacked(header):
        yield from _unpacked_frames(header.path, frames)
    else:
        for _, stored in decode_frames(frames):
            if isinstance(stored, RecordError):
                raise stored
            yield stored
