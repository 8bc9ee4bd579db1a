"""Shape of a structure in coarse cells: its pieces, its holes, where it lies at each height, its distance to others.

A structure is looked at in its box only, in cells of a few millimetres: no copy of the volume is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from rrg.anatomy import LABELS
from rrg.geometry import Array
from rrg.masks import Labels
from rrg.quality_measures import Structure

CELL_MM = 2.0
"""Smallest edge of the cells."""
CELLS = 1_000_000
"""About the largest number of cells of one structure."""
HEIGHT_MM = 10.0
"""Structures are compared at the same height in steps of this."""
FAR_MM = 200.0
"""Boxes further apart than this tell the distance well enough."""
BODY = LABELS["body"].class_id
_TOUCHING, _BY_FACES = (ndimage.generate_binary_structure(3, edges) for edges in (3, 1))
Heights = Mapping[int, Array]
"""Height in steps of `HEIGHT_MM` -> (2,) mean x, y of the structure there, mm, LPS."""


@dataclass(frozen=True, slots=True)
class Form:
    """What the cells of a structure tell."""

    largest: float
    """Part that its largest piece holds, 0..1; pieces touch by faces, edges or corners."""
    hole: float
    """Part of the filled structure that is cavities without any label (the body does not count), 0..1."""
    heights: Heights
    points_mm: NDArray[np.float32]
    """(n, 3) centres of its cells, LPS."""


@dataclass(frozen=True, slots=True)
class _Cells:
    counts: NDArray[np.int32]
    """(slices, rows, columns) voxels of the structure in each cell of its box."""
    step: NDArray[np.int64]
    """(3,) voxels along the edges of a cell."""


def form(volume: Labels, structure: Structure, affine: Array) -> Form:
    """Shape of `structure` in `volume`, (slices, layers, rows, columns); `affine`: voxel -> mm, LPS."""
    cells = _cells(volume, structure, affine)
    origin = [part.start for part in structure.box]
    middle = (np.argwhere(cells.counts) + 0.5) * cells.step - 0.5 + origin
    points = middle @ affine[:3, :3].T + affine[:3, 3]
    return Form(_largest(cells), _hole(cells, volume, structure), _heights(points), points.astype(np.float32))


def gap_mm(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Smallest distance of two sets of points; the smaller set asks the larger one's tree."""
    few, many = sorted((one, other), key=len)
    low, high = few.min(axis=0), few.max(axis=0)
    apart = np.maximum(np.maximum(low - many, many - high), 0).max(axis=1)
    if apart.min() > FAR_MM:
        return float(apart.min())
    return float(KDTree(many).query(few)[0].min())


def _cells(volume: Labels, structure: Structure, affine: Array) -> _Cells:
    """`structure` in cells that are small where it is small."""
    place = structure.box
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    sizes = np.array([part.stop - part.start for part in place])
    edge = max(CELL_MM, float(np.prod(sizes * spacing) / CELLS) ** (1 / 3))
    step = np.maximum(1, np.floor(edge / spacing + 1e-6)).astype(int)
    inside = np.zeros(sizes, bool)
    for layer in structure.layers:
        inside |= volume[(place[0], layer, place[1], place[2])] == structure.class_id
    return _Cells(_pooled(inside, step), step)


def _pooled(inside: NDArray[np.bool_], step: NDArray[Any]) -> NDArray[np.int32]:
    """How many voxels of each cell are set."""
    counts = inside.view(np.uint8)
    kinds = (np.uint8, np.uint16, np.int32)
    for axis, width in enumerate(step.tolist()):
        starts = np.arange(0, counts.shape[axis], width)
        counts = np.add.reduceat(counts, starts, axis=axis, dtype=kinds[axis] if width < 256 else np.int32)
    return counts.astype(np.int32)


def _largest(cells: _Cells) -> float:
    pieces, count = ndimage.label(cells.counts, _TOUCHING)
    if count == 1:
        return 1.0
    sizes = np.bincount(pieces.ravel(), weights=cells.counts.ravel())[1:]
    return float(sizes.max() / sizes.sum())


def _hole(cells: _Cells, volume: Labels, structure: Structure) -> float:
    empty = np.ones(np.add(cells.counts.shape, 2), bool)
    np.equal(cells.counts, 0, out=empty[1:-1, 1:-1, 1:-1])
    rooms, count = ndimage.label(empty, _BY_FACES)
    if count < 2:
        return 0.0
    outside = 1  # the padding is labelled first
    hole = rooms[1:-1, 1:-1, 1:-1] > outside
    place = structure.box
    for layer in range(volume.shape[1]):
        near = volume[(place[0], layer, place[1], place[2])]
        hole &= _pooled((near != 0) & (near != BODY), cells.step) == 0
    voxels = int(hole.sum()) * int(np.prod(cells.step))
    return voxels / (voxels + structure.voxels)


def _heights(points: Array) -> Heights:
    steps, place, counts = np.unique(
        np.round(points[:, 2] / HEIGHT_MM).astype(int), return_inverse=True, return_counts=True
    )
    sums = [np.bincount(place, weights=points[:, axis]) for axis in (0, 1)]
    return dict(zip(steps.tolist(), np.stack(sums, axis=1) / counts[:, None], strict=True))
