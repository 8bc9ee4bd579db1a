"""Measures of all structures of a label volume: counts, centres, extent, HU, pieces, holes. One pass over the volume.

The volume is never copied as a whole: counts come from each slice, shapes from the box of each structure in cells of
a few millimetres.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rrg.anatomy import BY_ID, LABELS
from rrg.geometry import Array
from rrg.masks import Labels

CLASSES = 256
HU_LOW, HU_STEP, HU_BINS = -1024, 8, 512
"""Bins of the histogram that medians are read from, -1024 to 3071 HU."""
CELL_MM = 2.0
"""Smallest edge of the cells that shapes are looked at in."""
CELLS = 1_000_000
"""About the largest number of cells of one structure."""
BODY = LABELS["body"].class_id


@dataclass(frozen=True, slots=True)
class Structure:
    """What one class of a label volume measures."""

    voxels: int
    ml: float
    centre_mm: Array
    """(3,) mean of its voxel centres, LPS."""
    box: tuple[slice, slice, slice]
    """Slices, rows, columns that it occupies."""
    layers: tuple[int, ...]
    cut: bool
    """It touches the first or last slice, row or column: there may be more of it beyond."""
    hu: float | None
    """Median, to 8 HU; None without HU."""


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
    found = {}
    for class_id, label in BY_ID.items():
        voxels = int(sums.along[0][class_id].sum())
        if not voxels:
            continue
        profiles = [along[class_id] for along in sums.along]
        places = [np.flatnonzero(profile) for profile in profiles]
        box = tuple(slice(int(place[0]), int(place[-1]) + 1) for place in places)
        mean = [float(profile @ np.arange(len(profile))) / voxels for profile in profiles]
        found[label.name] = Structure(
            voxels=voxels,
            ml=voxels * voxel_ml,
            centre_mm=affine[:3, :3] @ mean + affine[:3, 3],
            box=(box[0], box[1], box[2]),
            layers=tuple(sorted(sums.layers[class_id])),
            cut=any(part.start == 0 or part.stop == size for part, size in zip(box, shape, strict=True)),
            hu=None if sums.hu is None else _median(sums.hu[class_id]),
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


def _median(counts: NDArray[np.int64]) -> float:
    at = int(np.searchsorted(counts.cumsum(), (counts.sum() + 1) // 2))
    return HU_LOW + HU_STEP * (at + 0.5)


@dataclass(frozen=True, slots=True)
class Cells:
    """One structure in coarse cells: how many of its voxels lie in each."""

    counts: NDArray[np.int32]
    """(slices, rows, columns) of cells in its box."""
    step: tuple[int, int, int]
    """Voxels along the edges of a cell."""
    origin: tuple[int, int, int]
    """First voxel of the box."""

    def points_mm(self, affine: Array) -> Array:
        """(n, 3) centres of the cells that it occupies, LPS."""
        middle = (np.argwhere(self.counts) + 0.5) * self.step - 0.5 + self.origin
        points: Array = middle @ affine[:3, :3].T + affine[:3, 3]
        return points


def cells_of(volume: Labels, structure: Structure, class_id: int, affine: Array) -> Cells:
    """`structure` in cells that are small where it is small."""
    place = structure.box
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    sizes = np.array([part.stop - part.start for part in place])
    edge = max(CELL_MM, float(np.prod(sizes * spacing) / CELLS) ** (1 / 3))
    step = np.maximum(1, np.floor(edge / spacing + 1e-6)).astype(int)
    inside = np.zeros(sizes, bool)
    for layer in structure.layers:
        inside |= volume[(place[0], layer, place[1], place[2])] == class_id
    counts = _pooled(inside, step)
    origin = tuple(part.start for part in place)
    return Cells(counts, (int(step[0]), int(step[1]), int(step[2])), (origin[0], origin[1], origin[2]))


def _pooled(inside: NDArray[np.bool_], step: NDArray[Any]) -> NDArray[np.int32]:
    """How many voxels of each cell are set."""
    counts = inside.view(np.uint8)
    kinds = (np.uint8, np.uint16, np.int32)
    for axis, width in enumerate(step.tolist()):
        starts = np.arange(0, counts.shape[axis], width)
        counts = np.add.reduceat(counts, starts, axis=axis, dtype=kinds[axis] if width < 256 else np.int32)
    return counts.astype(np.int32)


def largest_piece(cells: Cells) -> float:
    """Part of the structure that its largest piece holds, 0..1; pieces touch by faces, edges or corners."""
    pieces, count = ndimage.label(cells.counts, np.ones((3, 3, 3)))
    if count == 1:
        return 1.0
    sizes = np.bincount(pieces.ravel(), weights=cells.counts.ravel())[1:]
    return float(sizes.max() / sizes.sum())


def enclosed(cells: Cells, volume: Labels, structure: Structure) -> float:
    """Part of the filled structure that is cavities without any label (the body does not count), 0..1."""
    empty = np.pad(cells.counts == 0, 1, constant_values=True)
    rooms, count = ndimage.label(empty)
    if count < 2:
        return 0.0
    rooms = rooms[1:-1, 1:-1, 1:-1]
    outside = 1  # the padding is labelled first
    hole = rooms > outside
    place = structure.box
    for layer in range(volume.shape[1]):
        near = volume[(place[0], layer, place[1], place[2])]
        hole &= _pooled((near != 0) & (near != BODY), np.array(cells.step)) == 0
    voxels = int(hole.sum()) * int(np.prod(cells.step))
    return voxels / (voxels + structure.voxels)


def by_name(found: Mapping[str, Structure], name: str) -> Structure | None:
    """The measures of a label, None where it is not in the volume or too small to be judged."""
    structure = found.get(name)
    return structure if structure is not None and structure.voxels >= MIN_VOXELS else None


MIN_VOXELS = 20
"""Smaller ones have no reliable centre, shape or median."""
