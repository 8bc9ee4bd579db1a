"""NIfTI-1 and NIfTI-2 files (``.nii``, ``.nii.gz``, told by content) as multi-frame images.

The rule of the geometry: the sform when sform_code > 0, else the qform when qform_code > 0, else none (slices without
millimetres, flag ``no_mm``: pixdim alone says neither where the patient's left is nor which way is up). When both are
set and put a corner of the volume more than `SAME_MM` apart, the sform counts and the flag ``sform_qform`` is set.
World coordinates of NIfTI are RAS mm; ours are LPS, so x and y change their signs. Frame k is ``image[:, :, k]``,
turned as radiologists look at it and DICOM images lie: columns grow to the patient's left (sagittal: to the back), rows
to the back (else to the feet). Only transposed and flipped, the affine with it; so affines of either determinant keep
the patient's left where it is, and a model sees the same picture as from DICOM. No affine: ``image[:, :, k].T``.
A fourth axis is time: one stack per time, by Temporal Position.

A NIfTI file names no patient, study or series. The patient is the BIDS ``sub-...`` of its path (with the data set's
folder), else the file itself; the study is the patient's BIDS session, else the file; each file is one series.
"""

import dataclasses
import hashlib
import math
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from nibabel import Nifti1Header, Nifti2Header
from numpy.typing import NDArray

from rrg.archives import HEAD, kind_of
from rrg.archives_inflate import GZIP, Inflated, OpenFile, Reader
from rrg.dicom import NIFTI, Header, usable_orientation, usable_position
from rrg.errors import RecordError
from rrg.files import Opened, Source, open_file
from rrg.labels import Labels

SAME_MM = 1e-3
"""sform and qform that put every corner of the volume nearer than this are one."""
FLAT = 1e-3
"""Axes whose unit vectors span less than this volume do not place voxels."""
MAX_FRAMES = 200_000
MAX_RATIO = 1032
"""More than this no deflate stream unpacks to (zlib's documentation)."""
MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Spatial code of xyzt_units -> mm; a file that says nothing means mm."""
SAMPLES = 64
"""Pieces of 4 KiB of a file that tell it from others."""


class _View(NamedTuple):
    """How a slice lies in the file: (second axis, first axis) -> (rows, columns)."""

    swap: bool = False
    flip_columns: bool = False
    flip_rows: bool = False

    def of(self, stored: NDArray[Any]) -> NDArray[Any]:
        """(rows, columns) of a slice as it is stored."""
        turned = stored.T if self.swap else stored
        return turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


class _Image(NamedTuple):
    """What the header of a file says."""

    shape: tuple[int, int, int, int]
    """Columns, rows, slices and times."""
    view: _View
    dtype: "np.dtype[Any]"
    offset: int
    """Byte offset of the values, in the unpacked file."""
    slope: float | None
    intercept: float | None
    affine: NDArray[np.float64] | None
    """(4, 4) (column, row, slice, 1) -> (x, y, z, 1) in mm, LPS."""
    flags: tuple[str, ...]


def read_header(source: Source) -> Header:
    """Header of a NIfTI file. RecordError: E_ARCHIVE (a gzip file of something else), E_MALFORMED, E_GEOMETRY, ..."""
    with open_file(source.path) as file:
        size = file.seek(0, os.SEEK_END)
        reader, packed = _reader(file)
        image = _image(reader, packed=packed)
        columns, rows, slices, times = image.shape
        frames = slices * times
        bits = image.dtype.itemsize * 8
        _check_claim(image, frames, size, packed=packed)
        digest = _digest(file, size)
    stem = re.sub(r"\.nii(\.gz)?$|\.gz$", "", source.name, flags=re.IGNORECASE)
    patient, study = _bids(source.path) or (f"{stem} {digest}",) * 2
    spacing, orientation = _plane(image.affine)
    return Header(
        path=source.path,
        name=source.name,
        study=f"nifti {study}",
        series=f"nifti {source.name} {digest}",
        sop="",
        sop_class="",
        frame_of_reference=None,
        patient_id=patient,
        accession=None,
        institution=None,
        study_date=None,
        modality="OT",
        image_type=(),
        series_number=None,
        instance_number=None,
        body_part=None,
        contrast_agent=None,
        phase=(None,) * 5,
        rows=rows,
        columns=columns,
        frames=frames,
        samples=1,
        photometric="MONOCHROME2",
        bits_allocated=bits,
        bits_stored=bits,
        high_bit=bits - 1,
        signed=image.dtype.kind != "u",
        spacing=spacing,
        position=_position(image, 0),
        orientation=orientation,
        slope=image.slope,
        intercept=image.intercept,
        rescale_type=None,
        modality_lut=False,
        tilt=0.0,
        burned_in=False,
        lossy=False,
        lossy_ratio=None,
        padding=None,
        window=None,
        window_function=None,
        labels=Labels(),
        transfer_syntax=NIFTI,
        size=size,
        pixel_offset=None,
        pixel_length=None,
        multi_frame=True,
        flags=image.flags,
        real=image.dtype.kind == "f",
    )


def with_modality(header: Header, modality: str | None) -> Header:
    """The header with the modality that the user names, where the file (NIfTI) does not tell; None: as it is.

    Values of a CT are taken to be HU, as all converters write them.
    """
    if modality is None or header.transfer_syntax != NIFTI:
        return header
    if modality != "CT":
        return dataclasses.replace(header, modality=modality)
    slope, intercept = (1.0 if header.slope is None else header.slope), header.intercept or 0.0
    return dataclasses.replace(header, modality=modality, slope=slope, intercept=intercept, rescale_type="HU")


def frames_of(header: Header) -> list[Header]:
    """One header per slice and time: slices of the first time, then of the second, as in the file."""
    with open_file(header.path) as file:
        reader, packed = _reader(file)
        image = _image(reader, packed=packed)
    slices, times = image.shape[2:]
    if slices * times != header.frames:
        raise RecordError("E_MALFORMED", "NIfTI file is not the one that was indexed; index it again")
    return [
        dataclasses.replace(
            header,
            frame=time * slices + k + 1,
            position=_position(image, k),
            phase=(None, None, float(time + 1) if times > 1 else None, None, None),
        )
        for time in range(times)
        for k in range(slices)
    ]


def read_frames(path: str, headers: Sequence[Header]) -> Iterator[NDArray[Any]]:
    """Stored values of frames of one file, (rows, columns) each, in the order of `headers`. RecordError.

    A gzip file is unpacked as far as the frames lie, one block of it held. The headers rescale (scl_slope, scl_inter).
    """
    try:
        with open_file(path) as file:
            reader, packed = _reader(file)
            image = _image(reader, packed=packed)
            columns, rows, slices, times = image.shape
            length = rows * columns * image.dtype.itemsize
            end = image.offset + length * slices * times
            for header in headers:
                if (header.rows, header.columns) != (rows, columns):
                    raise RecordError("E_MALFORMED", "NIfTI file is not the one that was indexed; index it again")
                start = image.offset + ((header.frame or 1) - 1) * length
                held = reader.read_at(start, length)
                if packed and start + length == end:
                    reader.read_at(end, 1)  # so that the checksum behind the values is looked at
                if len(held) < length:
                    raise RecordError("E_TRUNCATED", "file ends inside the voxels; copy it again from its source")
                stored = (columns, rows) if image.view.swap else (rows, columns)
                values = image.view.of(np.frombuffer(held, image.dtype).reshape(stored))
                if header.real and not np.isfinite(values).all():
                    raise RecordError("E_RESCALE", "slice holds NaN or infinite values; replace them in the file")
                yield values.astype(image.dtype.newbyteorder("="), order="C")
    except OSError as error:
        raise RecordError("E_PATH", f"file can not be read: {error.strerror}; check its permissions") from None


# --- the file


def _reader(file: Opened) -> tuple[Reader, bool]:
    """Bytes of the unpacked file, and whether it is packed."""
    plain = OpenFile(file)
    packed = kind_of(plain.read_at(0, HEAD)) == "gzip"
    return (Inflated(plain, GZIP) if packed else plain), packed


def _image(reader: Reader, *, packed: bool) -> _Image:
    with warnings.catch_warnings():  # of nibabel and numpy, about numbers that are none: they are refused
        warnings.simplefilter("ignore")
        return _told(reader, packed=packed)


def _told(reader: Reader, *, packed: bool) -> _Image:
    head = _head(reader, packed=packed)
    try:
        one = head[0] in (0x5C, 0) and head[344:347] == b"n+1"
        kind: Any = Nifti1Header if one else Nifti2Header
        length = kind.sizeof_hdr
        raw = reader.read_at(0, length)
        if len(raw) < length:
            raise RecordError("E_TRUNCATED", "file ends inside its header; copy it again from its source")
        header = kind(raw, check=False)
        dtype = header.get_data_dtype()
        if dtype.kind not in "iuf" or dtype.itemsize > 8:
            raise RecordError("E_NOT_IMAGE", "colour, complex or binary voxels; only grey images are read")
        shape = _shape(header)
        slope, intercept = _scaling(header)
        offset = int(header.get_data_offset())
        if offset < length:
            raise ValueError("values inside the header")
        affine, flags = _affine(header, shape)
        view, shape, affine = _turned(shape, affine)
    except RecordError:
        raise
    except Exception as error:  # nibabel raises whatever a hostile header provokes
        raise RecordError(
            "E_MALFORMED", f"NIfTI header can not be parsed ({type(error).__name__}); leave the file out"
        ) from None
    return _Image(shape, view, dtype, offset, slope, intercept, affine, flags)


def _head(reader: Reader, *, packed: bool) -> bytes:
    """The first bytes of a NIfTI file. E_ARCHIVE: a gzip file of something else."""
    other = RecordError("E_ARCHIVE", "packed file that holds no NIfTI image; unpack it first")
    try:
        head = reader.read_at(0, HEAD)
    except RecordError as error:
        raise (other if error.code == "E_ARCHIVE" else error) from None
    if kind_of(head) == "nifti":
        return head
    if kind_of(head) == "nifti pair":
        raise RecordError("E_NOT_DICOM", "NIfTI header of a pair of files; convert it to one .nii file")
    raise other if packed else RecordError("E_NOT_DICOM", "no NIfTI file any more; index it again")


def _shape(header: Any) -> tuple[int, int, int, int]:
    axes = int(header["dim"][0])
    sizes = [int(size) for size in header["dim"][1 : axes + 1]]
    if not 1 <= axes <= 7 or min(sizes) < 1:
        raise RecordError("E_MALFORMED", f"claims {axes} axes, or one without voxels; leave the file out")
    if math.prod(sizes[4:]) > 1 or len(sizes) < 2:
        raise RecordError("E_NOT_IMAGE", f"{axes} axes: vectors, matrices or a list, no image")
    columns, rows, slices, times = (*sizes[:4], 1, 1)[:4]
    return columns, rows, slices, times


def _scaling(header: Any) -> tuple[float | None, float | None]:
    """scl_slope and scl_inter; None: no scaling (a slope of 0 or NaN, by the standard)."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        return None, None
    if not math.isfinite(intercept):
        raise RecordError("E_RESCALE", "scl_slope is given and scl_inter is no number; repair the header")
    return slope, intercept


def _check_claim(image: _Image, frames: int, size: int, *, packed: bool) -> None:
    """Refuse what the file can not hold, before anything is allocated."""
    columns, rows = image.shape[:2]
    if frames > MAX_FRAMES:
        raise RecordError("E_TOO_LARGE", f"claims {frames} slices, the limit is {MAX_FRAMES}; split the file")
    needed = image.offset + frames * rows * columns * image.dtype.itemsize
    if needed > size * (MAX_RATIO if packed else 1):
        # A claim far beyond any image is a matter of size, a smaller one of a file that was cut.
        code = "E_TOO_LARGE" if needed > 1 << 40 else "E_TRUNCATED"
        raise RecordError(
            code, f"claims {columns} x {rows} x {frames} voxels, {needed} bytes, in a file of {size}; copy it again"
        )


# --- geometry


def _affine(header: Any, shape: Sequence[int]) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """The affine by the rule of this module, and the flags."""
    if int(header["sform_code"]) > 0:
        chosen = _lps(header, header.get_sform(), shape)
        return chosen, (() if _same(chosen, header, shape) else ("sform_qform",))
    if int(header["qform_code"]) > 0:
        try:
            return _lps(header, header.get_qform(), shape), ()
        except RecordError:
            raise
        except Exception:  # a quaternion that is none, negative pixdim
            raise RecordError("E_GEOMETRY", "qform is no rotation; repair the header of the file") from None
    return None, ()


def _turned(
    shape: tuple[int, int, int, int], affine: NDArray[np.float64] | None
) -> tuple[_View, tuple[int, int, int, int], NDArray[np.float64] | None]:
    """How slices are turned, and shape and affine of the turned image."""
    if affine is None:
        return _View(), shape, None
    made, size = affine.copy(), list(shape)
    toward = [int(np.abs(made[:3, axis]).argmax()) for axis in (0, 1)]  # 0, 1, 2: x, y, z
    swap = toward[0] > toward[1]
    if swap:
        made[:, :2], size[:2], toward = made[:, [1, 0]], [size[1], size[0]], toward[::-1]
    flips = []
    for axis in (0, 1):
        wanted = -1 if toward[axis] == 2 else 1
        flips.append(bool(made[toward[axis], axis] * wanted < 0))
        if flips[axis]:
            made[:3, 3] += made[:3, axis] * (size[axis] - 1)
            made[:3, axis] *= -1
    return _View(swap, *flips), (size[0], size[1], size[2], size[3]), made


def _same(chosen: NDArray[np.float64], header: Any, shape: Sequence[int]) -> bool:
    """Whether a qform, if set, puts the corners where the sform does."""
    if int(header["qform_code"]) <= 0:
        return True
    try:
        other = _lps(header, header.get_qform(), shape)
    except Exception:  # set, and no rotation
        return False
    corners = np.array([(i, j, k, 1) for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(shape[:3]) - 1
    return float(np.abs(corners @ (chosen - other).T).max()) <= SAME_MM


def _lps(header: Any, affine: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    """RAS in the units of the file -> LPS in mm. E_GEOMETRY: no affine that places voxels."""
    unit = MM.get(int(header["xyzt_units"]) & 7)
    if unit is None or not np.isfinite(affine).all():
        raise RecordError("E_GEOMETRY", "affine is not finite or of an unknown unit; repair the header of the file")
    made = np.diag([-unit, -unit, unit, 1.0]) @ affine
    if shape[2] == 1:  # one slice: where a next one would lie does not matter, and pixdim often says 0
        made[:3, 2] = np.cross(made[:3, 0], made[:3, 1])
    lengths = np.linalg.norm(made[:3, :3], axis=0)
    if min(lengths) == 0 or abs(np.linalg.det(made[:3, :3] / lengths)) < FLAT:
        raise RecordError("E_GEOMETRY", "affine is singular: it puts voxels on one another; repair the header")
    return np.asarray(made, np.float64)


def _plane(affine: NDArray[np.float64] | None) -> tuple[Any, Any]:
    """(spacing, orientation) as DICOM has them. E_GEOMETRY: in-plane axes at no right angle."""
    if affine is None:
        return None, None
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    along_row, along_column = affine[:3, 0] / lengths[0], affine[:3, 1] / lengths[1]
    orientation = usable_orientation((*map(float, along_row), *map(float, along_column)))
    if orientation is None:
        angle = math.degrees(math.acos(max(-1.0, min(1.0, float(along_row @ along_column)))))
        raise RecordError(
            "E_GEOMETRY", f"rows and columns of the slices are at {angle:.1f} degrees, not 90; resample the file"
        )
    return (float(lengths[1]), float(lengths[0])), orientation


def _position(image: _Image, k: int) -> tuple[float, float, float] | None:
    """Centre of the first voxel of slice k, in mm, LPS."""
    if image.affine is None:
        return None
    position = usable_position(tuple(map(float, image.affine[:3, 3] + k * image.affine[:3, 2])))
    if position is None:
        raise RecordError("E_GEOMETRY", "slices lie more than a kilometre away; repair the header of the file")
    return position


# --- who it is


def _bids(path: str) -> tuple[str, str] | None:
    """(patient, study) of a path in a BIDS data set: ``dataset/sub-01`` and ``dataset/sub-01/ses-2``."""
    parts = re.split("[/\0]", os.path.abspath(path.partition("\0")[0]) + "\0" + path.partition("\0")[2])  # noqa: PTH100
    for number, part in enumerate(parts):
        if found := re.match(r"(sub-[A-Za-z0-9]+)(?:_|$)", part):
            above = parts[:number]
            cut = (above.index(word) for word in ("derivatives", "sourcedata", "rawdata") if word in above)
            patient = f"{['', *above[: min(cut, default=number)]][-1]}/{found[1]}"
            session = next((s[1] for p in parts[number:] if (s := re.search(r"(?:^|_)(ses-[A-Za-z0-9]+)", p))), None)
            return patient, f"{patient}/{session}" if session else patient
    return None


def _digest(file: Opened, size: int) -> str:
    """Tells files apart wherever they lie: a hash of the size and of pieces all over the file, packed as it is."""
    digest = hashlib.sha256(str(size).encode())
    for number in range(SAMPLES):
        file.seek(max(size - 4096, 0) * number // (SAMPLES - 1))
        digest.update(file.read(4096))
    return digest.hexdigest()[:32]
