"""Rows with a mask: COCO RLE in the row, or a PNG, npy, npz or NIfTI file beside it. Opened when it is scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError, RrgError
from rrg.formats.read import Row, Source

Mask = NDArray[np.bool_]
NIFTI = (".nii", ".nii.gz")
FIELDS = frozenset({"segmentation", "mask", "spacing"})
KNOWN = "a COCO RLE in segmentation, or mask: FILE or FILE#KEY (PNG, npy, npz, NIfTI)"


@dataclass(frozen=True, eq=False, kw_only=True)
class MaskSource:
    """Where one mask is. Two of them are never equal, so that what was measured can be kept for each."""

    where: str
    """File and line, for messages."""
    rle: Mapping[str, Any] | None = None
    file: Path | None = None
    key: str | None = None
    """Of an npz."""
    spacing_mm: tuple[float, ...] | None = None
    """Along each axis of the array, as the row says it."""


def mask_of(source: Source, row: Row, *, needed: bool) -> MaskSource | None:
    """The mask of a row, unopened. RrgError when it has none; an explicit null is None unless a mask is `needed`."""
    where = source.where(row.line)
    spacing = _spacing(where, row.value.get("spacing"))
    if isinstance(rle := row.value.get("segmentation"), dict):
        return MaskSource(where=where, rle=rle, spacing_mm=spacing)
    if isinstance(name := row.value.get("mask"), str) and name:
        path, _, key = name.partition("#")
        folder = Path() if source.path == "-" else Path(source.path).parent
        return MaskSource(where=where, file=folder / path, key=key or None, spacing_mm=spacing)
    if not needed and any(key in row.value and row.value[key] is None for key in ("segmentation", "mask")):
        return None
    raise RrgError(f"{where}: no mask; expected {KNOWN}")


def _spacing(where: str, value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = isinstance(value, list) and all(type(each) in (int, float) and each > 0 for each in value)
    if not numbers or len(value) not in (2, 3):
        raise RrgError(f"{where}: spacing is {value!r}, expected two or three positive numbers, mm along each axis")
    return tuple(map(float, value))


def load(source: MaskSource) -> tuple[Mask, tuple[float, ...] | None]:
    """(array, spacing): a mask of two or three dimensions, true where it is not 0; mm along each axis of the array.

    The spacing of the row goes before that of a NIfTI header. RrgError when it can not be read.
    """
    values, header = _rle(source) if source.rle is not None else _file(source)
    if values.ndim not in (2, 3):
        raise RrgError(f"{source.where}: the mask has {values.ndim} dimensions {values.shape}, expected 2 or 3")
    spacing = source.spacing_mm or header
    if spacing is not None and len(spacing) != values.ndim:
        raise RrgError(f"{source.where}: {len(spacing)} numbers in spacing, the mask has {values.ndim} dimensions")
    return _binary(source, values), spacing


def _binary(source: MaskSource, values: NDArray[Any]) -> Mask:
    if values.dtype == bool:
        return values
    if values.dtype.kind not in "uif":
        raise RrgError(f"{source.where}: a mask of type {values.dtype}, expected numbers")
    if values.dtype.kind == "f" and not (values == np.round(values)).all():
        raise RrgError(f"{source.where}: the mask holds fractions, not labels; threshold it first")
    return np.asarray(values != 0)


def _rle(source: MaskSource) -> tuple[Mask, None]:
    from rrg.formats.coco import decoded

    assert source.rle is not None
    size = source.rle.get("size")
    if not (isinstance(size, list) and len(size) == 2 and all(type(each) is int and each > 0 for each in size)):
        raise RrgError(f"{source.where}: an RLE with size {size!r}, expected [rows, columns]")
    counts = source.rle.get("counts")
    if isinstance(counts, list) and (not all(type(n) is int for n in counts) or sum(counts) != size[0] * size[1]):
        raise RrgError(f"{source.where}: the counts of the RLE do not add up to {size[0]} x {size[1]} pixels")
    try:
        return decoded(source.rle, size[0], size[1]), None
    except RecordError as error:
        raise RrgError(f"{source.where}: {error.message}") from None


def _file(source: MaskSource) -> tuple[NDArray[Any], tuple[float, ...] | None]:
    assert source.file is not None
    name = source.file.name.lower()
    if not source.file.is_file():
        raise RrgError(f"{source.where}: no file {source.file}")
    if (source.key is not None) != name.endswith(".npz"):
        raise RrgError(f"{source.where}: {source.file.name}: an npz needs #KEY, and nothing else has one")
    try:
        if name.endswith(".png"):
            return _png(source), None
        if name.endswith((".npy", ".npz")):
            return _numpy(source), None
        if name.endswith(NIFTI):
            return _nifti(source.file)
    except RrgError:
        raise
    except Exception as error:  # three libraries, each with its own exceptions for a damaged file
        raise RrgError(f"{source.where}: {source.file.name} can not be read ({type(error).__name__})") from None
    raise RrgError(f"{source.where}: {source.file.name} is none of PNG, npy, npz, NIfTI")


def _png(source: MaskSource) -> NDArray[Any]:
    from PIL import Image

    with Image.open(source.file) as image:  # type: ignore[arg-type]
        if image.mode not in ("1", "L", "P", "I", "I;16"):
            raise RrgError(f"{source.where}: a PNG of mode {image.mode}; expected one channel (1, L, P or 16 bits)")
        return np.asarray(image)


def _numpy(source: MaskSource) -> NDArray[Any]:
    assert source.file is not None
    if source.key is None:
        return np.asarray(np.load(source.file, allow_pickle=False))
    with np.load(source.file, allow_pickle=False) as arrays:
        if source.key not in arrays:
            raise RrgError(f"{source.where}: no array {source.key!r}; there are {', '.join(arrays)}")
        return np.asarray(arrays[source.key])


def _nifti(path: Path) -> tuple[NDArray[Any], tuple[float, ...]]:
    import nibabel

    image: Any = nibabel.load(path)
    values = np.asarray(image.dataobj)
    return values, tuple(float(each) for each in image.header.get_zooms()[: values.ndim])
