"""What can be measured of a structure on one slice: extents, area, longest diameter in mm, mean HU. And how exactly.

Lengths and areas take the outer edges of the pixels, each with the spacing of its own direction.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from rrg.errors import RecordError
from rrg.records import Box, Lang, Quantity, Slice
from rrg.store import read
from rrg.synth.seen import Found, at_border

AXIS_COSINE = 0.99
"""A direction of the picture within 8 degrees of a patient axis is called by it; the error is at most 1 %."""
SPACING_MM = 0.001, 100.0
"""Pixels of other sizes are no millimetres: a header of metres or nanometres. Scanners have 0.02 to 10."""
RELATIVE = 0.1
"""Tolerance of lengths and areas, relative. Two readers differ by about as much (RECIST takes 20 % for a change)."""
PIXELS = 2.0
"""And at least this number of pixels of a length: one at either end."""
HU_TOLERANCE, HU_RELATIVE = 10.0, 0.05
"""Of a mean CT number: 10 HU, from 200 HU on 5 %. Enhancement by less than 10 HU counts as none (Bosniak 2019)."""
CM2_FROM_MM2 = 1000.0
"""Areas of at least 10 cm2 are said in cm2."""
MM_DECIMAL_BELOW = 10.0
"""Lengths below are said with one decimal."""


def can_measure(slice_: Slice, box: Box) -> bool:
    """True when the slice has millimetres and its border does not cut the structure."""
    if slice_.spacing_mm is None or "no_mm" in slice_.flags or at_border(box, slice_):
        return False
    return SPACING_MM[0] <= min(slice_.spacing_mm) and max(slice_.spacing_mm) <= SPACING_MM[1]


class Arrays:
    """Pixels and masks of one slice, each read once from the store.

    RecordError: E_IO where the store has none, E_GRID for one of another size than the slice.
    """

    def __init__(self, store: Path, slice_: Slice) -> None:
        self._store, self._slice = store, slice_
        self._read: dict[str, NDArray[Any]] = {}

    def _array(self, ref: str, axes: int) -> NDArray[Any]:
        if ref not in self._read:
            array = read(self._store, ref)
            grid = (self._slice.rows, self._slice.columns)
            if array.shape[-2:] != grid or array.ndim != axes:
                raise RecordError(
                    "E_GRID",
                    f"array {ref} is {' x '.join(map(str, array.shape))}, its slice {grid[0]} x {grid[1]}; give the "
                    "--store that the records were made with",
                )
            self._read[ref] = array
        return self._read[ref]

    def mask(self, found: Found) -> NDArray[np.bool_]:
        """(rows, columns) of the structure's box: True where it is."""
        return np.asarray((self._array(found.mask, 3)[:, *_window(found.box)] == found.class_id).any(axis=0))

    def mean_hu(self, found: Found) -> float | None:
        """Mean HU of the structure's pixels, those outside of the scanned area left out; None for other units."""
        if self._slice.unit != "HU":
            return None
        values = self._array(self._slice.pixels, 2)[_window(found.box)][self.mask(found)]
        if self._slice.padding is not None:
            values = values[values != self._slice.padding]
        return float(values.mean(dtype=np.float64)) if values.size else None


def _window(box: Box) -> tuple[slice, slice]:
    return slice(int(box.y0), int(box.y1)), slice(int(box.x0), int(box.x1))


def extents_mm(slice_: Slice, box: Box) -> dict[int, float]:
    """Patient axis (0 left-right, 1 front-back, 2 head-feet) -> extent of the box along it, in mm.

    Only axes that a direction of the picture runs along; none for an oblique slice.
    """
    if slice_.spacing_mm is None or slice_.orientation is None:
        return {}
    found: dict[int, float] = {}
    sizes = ((box.x1 - box.x0) * slice_.spacing_mm[1], (box.y1 - box.y0) * slice_.spacing_mm[0])
    for direction, size in zip((slice_.orientation[:3], slice_.orientation[3:]), sizes, strict=True):
        axis = int(np.abs(direction).argmax())
        if abs(direction[axis]) >= AXIS_COSINE:
            found[axis] = size
    return found


def area_mm2(slice_: Slice, area_px: int) -> float:
    """Pixels -> mm2; the slice has a spacing."""
    assert slice_.spacing_mm is not None
    return area_px * slice_.spacing_mm[0] * slice_.spacing_mm[1]


def longest_diameter_mm(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """Largest distance of two pixel corners of a (rows, columns) mask with at least one pixel.

    `spacing_mm`: (between rows, between columns).
    """
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = np.concatenate([np.stack([y, x], axis=1) for y in (rows, rows + 1) for x in (first, last)])
    points = corners * np.asarray(spacing_mm)
    return float(pdist(points[ConvexHull(points).vertices]).max())


def length(name: str, value_mm: float, spacing_mm: tuple[float, float]) -> Quantity:
    """A length and its tolerance."""
    return lengths(name, (value_mm,), spacing_mm)


def lengths(name: str, values_mm: Sequence[float], spacing_mm: tuple[float, float] | None) -> Quantity:
    """One to three lengths of one thing; the tolerance is that of the longest."""
    tolerance = max(RELATIVE * max(values_mm), PIXELS * max(spacing_mm or (0.5,)))
    return Quantity(
        name=name, value=tuple(round(value, 3) for value in values_mm), unit="mm", tolerance=round(tolerance, 3)
    )


def area(name: str, value_mm2: float, spacing_mm: tuple[float, float]) -> Quantity:
    """An area; its outline may lie one pixel off on half of its way (that of a disc is 3.5 times its root)."""
    tolerance = max(RELATIVE * value_mm2, PIXELS * max(spacing_mm) * value_mm2**0.5)
    return Quantity(name=name, value=(round(value_mm2, 3),), unit="mm2", tolerance=round(tolerance, 3))


def density(name: str, value_hu: float) -> Quantity:
    """A mean CT number."""
    tolerance = max(HU_TOLERANCE, HU_RELATIVE * abs(value_hu))
    return Quantity(name=name, value=(round(value_hu, 3),), unit="HU", tolerance=round(tolerance, 3))


def in_words(quantity: Quantity, lang: Lang) -> str:
    """ "34 mm", "7.4 mm", "640 mm²", "18.4 cm²", "-873 HU"; with a decimal comma in German."""
    (value,) = quantity.value
    if quantity.unit == "mm2":
        text = f"{value:.0f} mm²" if value < CM2_FROM_MM2 else f"{value / 100:.1f} cm²"
    elif quantity.unit == "mm":
        text = f"{value:.1f} mm" if value < MM_DECIMAL_BELOW else f"{value:.0f} mm"
    else:
        text = f"{round(value)} HU"
    return text.replace(".", ",") if lang == "de" else text
