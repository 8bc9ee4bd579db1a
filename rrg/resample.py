"""Gantry tilt taken out of a sheared stack: each slice moved within its own plane. Only for ``--resample``.

The slices of a stack lie in parallel planes whatever the tilt. So nothing is interpolated between slices: slice k of
the result lies in the plane of slice k of the files and is made of its pixels only, and SOP Instance UID <-> index
stays as it was. The middle slice (the later one of two) stays in place, pixel for pixel: drift, and what leaves the
picture at its edge, is half of what it would be with the first slice as the reference.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.dicom import Header
from rrg.errors import RecordError
from rrg.geometry import slice_normal
from rrg.pixels import is_hu, rescale_of
from rrg.stacks import layout_of

AIR_HU = -1024.0
"""What is not known is air in CT: the lowest value of a 12-bit scanner."""
SAME_PIXEL = 1e-6
"""Shifts by less than this share of a pixel copy the pixel, so that a rounded zero mixes no padding in."""


class Unsheared(NamedTuple):
    """A stack without tilt."""

    values: NDArray[Any]
    """(slices, rows, columns), the array that was given, with the slices moved; dtype and unit as they were."""
    headers: tuple[Header, ...]
    """Those that were given, with new positions and no tilt: `layout_of` them flags neither tilt nor shear."""
    flags: frozenset[str]
    """What to add to the flags of the slices: ``resampled``, or nothing where nothing was moved."""


def unsheared(values: NDArray[Any], places: Sequence[int], headers: Sequence[Header]) -> Unsheared:
    """Move each slice within its plane onto the normal through the middle slice. Changes `values` in place.

    `headers` are those of the whole stack, in order; `values` (slices, rows, columns) after rescale are the slices at
    `places` of it, all or some. A slice moves alike whichever others were read.
    Linear interpolation of four pixels; integers are rounded to the nearest. A pixel whose place lies outside of the
    slice, or that would mix padding in, gets `fill_of` its slice: no tissue is invented. A stack without the flag
    ``shear`` (see `rrg.stacks.layout_of`) comes back as it is. Uneven gaps do no harm: each slice moves by its own
    drift. Needs two float32 slices beside the volume. RecordError(E_GEOMETRY) for slices that are not parallel.
    """
    if "shear" not in layout_of(headers).flags:
        return Unsheared(values, tuple(headers), frozenset())
    middle = headers[len(headers) // 2]
    assert middle.orientation is not None
    assert middle.position is not None
    assert middle.spacing is not None, "layout_of flags shear of stacks with spacing and places only"
    along_row, along_column = np.asarray(middle.orientation[:3]), np.asarray(middle.orientation[3:])
    normal, origin = slice_normal(middle.orientation), np.asarray(middle.position)
    pixels_of = dict(zip(places, values, strict=True))
    moved: list[Header] = []
    for place, header in enumerate(headers):
        if header.orientation is None or float(slice_normal(header.orientation) @ normal) < 1 - 1e-5:
            raise RecordError("E_GEOMETRY", "slices are not parallel: no shift within the planes takes the tilt out")
        way = np.asarray(header.position) - origin
        upright = origin + normal * float(way @ normal)
        drift = np.asarray(header.position) - upright
        position = float(upright[0]), float(upright[1]), float(upright[2])
        moved.append(dataclasses.replace(header, position=position, tilt=0.0))
        if (pixels := pixels_of.get(place)) is None:
            continue
        rows = -float(drift @ along_column) / middle.spacing[0]
        columns = -float(drift @ along_row) / middle.spacing[1]
        _shift(pixels, rows, columns, fill_of(header, values.dtype), _padding_of(header))
    return Unsheared(values, tuple(moved), frozenset({"resampled"}))


def fill_of(header: Header, dtype: "np.dtype[Any]") -> float:
    """Value of pixels that nobody measured: the padding of the file (after rescale), else -1024 HU, else 0."""
    padding = _padding_of(header)
    fill = padding if padding is not None else AIR_HU if is_hu(header) else 0.0
    if dtype.kind == "f":
        return fill
    return float(np.clip(round(fill), np.iinfo(dtype).min, np.iinfo(dtype).max))


def _padding_of(header: Header) -> float | None:
    if header.padding is None:
        return None
    slope, intercept = rescale_of(header)
    return header.padding * slope + intercept


def _shift(pixels: NDArray[Any], rows: float, columns: float, fill: float, padding: float | None) -> None:
    """Pixel (r, c) becomes what lies at (r + rows, c + columns); in place."""
    if abs(rows) < SAME_PIXEL and abs(columns) < SAME_PIXEL:
        return
    unknown = np.zeros(pixels.shape, bool) if padding is None else pixels == padding
    image = pixels.astype(np.float32)
    for axis, way in ((0, rows), (1, columns)):
        image, unknown = _shift_axis(image, unknown, way, axis)
    if pixels.dtype.kind in "iu":
        np.rint(image, out=image)
    image[unknown] = fill
    np.copyto(pixels, image, casting="unsafe")


def _shift_axis(
    image: NDArray[np.float32], unknown: NDArray[np.bool_], way: float, axis: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Shift along one axis: (1 - share) * pixel + share * next pixel. Outside, and beside the unknown: unknown."""
    if abs(way - round(way)) < SAME_PIXEL:
        way = float(round(way))
    whole = int(np.floor(way))
    share = np.float32(way - whole)
    size = image.shape[axis]
    low, high = max(0, -whole), min(size, size - whole - (1 if share else 0))
    out, gone = np.zeros_like(image), np.ones_like(unknown)
    if low < high:
        here, source, after = (_along(axis, low + by, high + by) for by in (0, whole, whole + 1))
        np.multiply(image[source], 1 - share, out=out[here])
        gone[here] = unknown[source]
        if share:
            out[here] += share * image[after]
            gone[here] |= unknown[after]
    return out, gone


def _along(axis: int, start: int, stop: int) -> tuple[slice, slice]:
    part = slice(start, stop)
    return (part, slice(None)) if axis == 0 else (slice(None), part)
