"""Measures of all structures of a label volume: counts, centres, extent, HU. One pass over it, slice by slice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import BY_ID
from rrg.geometry import Array
from rrg.masks import Labels

CLASSES = 256
HU_LOW, HU_STEP, HU_BINS = -1024, 8, 512
"""Bins of the histogram that medians are read from, -1024 to 3071 HU."""
TAIL = 0.005
"""Part of a structure that may lie beyond its extent at either end: stray voxels do not make it long."""


@dataclass(frozen=True, slots=True)
class Structure:
    """What one class of a label volume measures."""

    class_id: int
    """Its value in the volume."""
    voxels: int
    ml: float
    centre_mm: Array
    """(3,) mean of its voxel centres, LPS."""
    box: tuple[slice, slice, slice]
    """Slices, rows, columns that it occupies."""
    layers: tuple[int, ...]
    cut: tuple[bool, bool, bool]
    """Along x, y, z of the patient: it touches the first or last slice, row or column, so there may be more of it."""
    long_mm: float
    """The longest of its extents along slices, rows, columns, without what lies far out."""
    hu: float | None
    """Median, to 8 HU; None without HU."""
    hu_top: float | None
    """90th percentile."""

    @property
    def whole(self) -> bool:
        """The picture does not cut it."""
        return not any(self.cut)


@dataclass
class _Sums:
    """Counts per class along each axis, and per HU bin."""

    along: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    hu: NDArray[np.int64] | None
    layers: dict[int, set[int]] = field(default_factory=dict)


def measure(volume: Labels, affine: Array, hu: NDArray[Any] | None) -> dict[str, Structure]:
    """Measures of each label in `volume`, (slices, layers, rows, columns) class ids.

    `affine` maps (slice, row, column) to mm, LPS; `hu` is (slices, rows, columns) or None.
    """
    sums = _sums(volume, hu)
    voxel_ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
    shape = (volume.shape[0], *volume.shape[2:])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    facing = np.abs(affine[:3, :3] / spacing).argmax(axis=0).tolist()  # patient axis of slices, rows, columns
    found = {}
    for class_id, label in BY_ID.items():
        voxels = int(sums.along[0][class_id].sum())
        if not voxels:
            continue
        profiles = [along[class_id] for along in sums.along]
        places = [np.flatnonzero(profile) for profile in profiles]
        box = tuple(slice(int(place[0]), int(place[-1]) + 1) for place in places)
        touched = [part.start == 0 or part.stop == size for part, size in zip(box, shape, strict=True)]
        mean = [float(profile @ np.arange(len(profile))) / voxels for profile in profiles]
        found[label.name] = Structure(
            class_id=class_id,
            voxels=voxels,
            ml=voxels * voxel_ml,
            centre_mm=affine[:3, :3] @ mean + affine[:3, 3],
            box=(box[0], box[1], box[2]),
            layers=tuple(sorted(sums.layers[class_id])),
            cut=_along_patient(touched, facing),
            long_mm=float((spacing * [_extent(profile) for profile in profiles]).max()),
            hu=None if sums.hu is None else _percentile(sums.hu[class_id], 0.5),
            hu_top=None if sums.hu is None else _percentile(sums.hu[class_id], 0.9),
        )
    return found


def _sums(volume: Labels, hu: NDArray[Any] | None) -> _Sums:
    slices, layers, rows, columns = volume.shape
    by_slice = np.zeros((CLASSES, slices), np.int64)
    by_row, by_column = np.zeros(CLASSES * rows, np.int64), np.zeros(CLASSES * columns, np.int64)
    bins = None if hu is None else np.zeros(CLASSES * HU_BINS, np.int64)
    seen: dict[int, set[int]] = {}
    for number in range(slices):
        for layer in range(layers):
            row, column = np.nonzero(volume[number, layer])
            if not row.size:
                continue
            value = volume[number, layer][row, column].astype(np.int32)
            counts = np.bincount(value, minlength=CLASSES)
            by_slice[:, number] += counts
            for class_id in np.flatnonzero(counts).tolist():
                seen.setdefault(class_id, set()).add(layer)
            by_row += np.bincount(value * rows + row, minlength=by_row.size)
            by_column += np.bincount(value * columns + column, minlength=by_column.size)
            if hu is not None and bins is not None:
                place = (hu[number][row, column].astype(np.int32) - HU_LOW) // HU_STEP
                bins += np.bincount(value * HU_BINS + place.clip(0, HU_BINS - 1), minlength=bins.size)
    return _Sums(
        along=(by_slice, by_row.reshape(CLASSES, rows), by_column.reshape(CLASSES, columns)),
        hu=None if bins is None else bins.reshape(CLASSES, HU_BINS),
        layers=seen,
    )


def _along_patient(touched: Sequence[bool], facing: Sequence[int]) -> tuple[bool, bool, bool]:
    x, y, z = (any(cut for cut, of in zip(touched, facing, strict=True) if of == axis) for axis in range(3))
    return x, y, z


def _extent(profile: NDArray[np.int64]) -> int:
    """Voxels along one axis between both tails."""
    sums = profile.cumsum()
    low, high = np.searchsorted(sums, [TAIL * sums[-1], (1 - TAIL) * sums[-1]])
    return int(high - low) + 1


def _percentile(counts: NDArray[np.int64], part: float) -> float:
    at = int(np.searchsorted(counts.cumsum(), max(1, math.ceil(part * int(counts.sum())))))
    return HU_LOW + HU_STEP * (at + 0.5)


def by_name(found: Mapping[str, Structure], name: str) -> Structure | None:
    """The measures of a label, None where it is not in the volume or too small to be judged."""
    structure = found.get(name)
    return structure if structure is not None and structure.voxels >= MIN_VOXELS else None


MIN_VOXELS = 20
"""Smaller ones have no reliable centre, shape or median."""
