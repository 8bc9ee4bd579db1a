"""Voxel grids of series, and label volumes brought onto them by their place in the patient, never by index."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError
from rrg.geometry import Array, patient_from_voxel, volume_affine
from rrg.records import Slice

SAME_POINT_MM = 1e-2
"""Two grids are the same when no voxel centre differs by more."""
EVEN_PART = 0.1
"""Slice positions may differ from an even ladder by this part of the slice spacing (rounded DICOM decimals)."""
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Patient axes of NIfTI (RAS) to those of DICOM (LPS): x and y change sign."""


@dataclass(frozen=True)
class Grid:
    """The voxel centres of a volume."""

    shape: tuple[int, int, int]
    """(slices, rows, columns)."""
    affine: Array
    """(4, 4): (slice, row, column, 1) -> (x, y, z, 1) in mm, LPS."""

    def __str__(self) -> str:
        """Sizes and spacings in the order of NIfTI: columns, rows, slices."""
        return _sizes(self.shape[::-1], self.affine[:, [2, 1, 0, 3]])


def grid_of(slices: Sequence[Slice]) -> Grid:
    """Grid of a series from its slices in index order; slices that are not in the stream count too.

    Raises RecordError E_GEOMETRY without millimetres, for uneven slices, and slices that differ in size or direction.
    """
    first = slices[0]
    affine = volume_affine(slices)
    if any((s.rows, s.columns) != (first.rows, first.columns) or s.spacing_mm != first.spacing_mm for s in slices):
        raise RecordError("E_GEOMETRY", "slices of one series differ in size or pixel spacing; split the series")
    if len(slices) == 1 and first.count > 1 and first.slice_spacing_mm is None:
        raise RecordError("E_GEOMETRY", f"one slice of {first.count} and no slice spacing; keep the series together")
    step_mm = float(np.linalg.norm(affine[:3, 0]))
    for slice_ in slices:
        if slice_.position_mm is None or slice_.orientation is None or "gap_mm" in slice_.flags:
            raise RecordError(
                "E_GEOMETRY", "slices are not evenly spaced (gap_mm) or have no position; split the series"
            )
        expected = affine[:3, 3] + affine[:3, 0] * slice_.index
        apart = float(np.linalg.norm(np.asarray(slice_.position_mm) - expected))
        turned = float(np.abs(np.subtract(slice_.orientation, first.orientation)).max())  # type: ignore[arg-type]
        if apart > max(SAME_POINT_MM, EVEN_PART * step_mm) or turned > 1e-3:
            raise RecordError(
                "E_GEOMETRY",
                f"slices are not parallel and evenly spaced: one lies {apart:.2f} mm from its place "
                f"at {step_mm:.2f} mm spacing; split the series",
            )
    if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise RecordError("E_GEOMETRY", "slices lie at the same place; split the series")
    return Grid((first.count, first.rows, first.columns), affine)


def onto(values: NDArray[Any], affine: Array, grid: Grid, *, resample: bool) -> NDArray[Any]:
    """Labels (i, j, k) with `affine` (i, j, k, 1) -> mm LPS, on `grid`: (slices, rows, columns).

    The same voxel centres in another axis order or direction are rearranged exactly. Any other grid raises RecordError
    E_GRID, or with `resample` is read at the nearest voxel in the patient; outside of it is 0.
    """
    to_values = np.linalg.inv(affine) @ grid.affine
    arranged = _rearranged(values, affine, grid)
    if arranged is not None:
        return arranged
    if not resample:
        raise RecordError(
            "E_GRID",
            f"mask of {_sizes(values.shape, affine)} is not on the grid of its series, {grid}; "
            f"corners lie up to {_apart(values.shape, affine, grid):.2f} mm apart; "
            "give the mask of this series, or --resample",
        )
    from scipy import ndimage

    sampled: NDArray[Any] = ndimage.affine_transform(
        values, to_values[:3, :3], to_values[:3, 3], output_shape=grid.shape, order=0, mode="grid-constant", cval=0
    )
    return sampled


def _rearranged(values: NDArray[Any], affine: Array, grid: Grid) -> NDArray[Any] | None:
    turn = np.rint(np.linalg.inv(_directions(affine)) @ _directions(grid.affine)).astype(int)
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        return None
    axes = [int(np.abs(turn[:, axis]).argmax()) for axis in range(3)]  # grid axis -> axis of values
    if tuple(values.shape[axis] for axis in axes) != grid.shape:
        return None
    flipped = [bool(turn[axes[axis], axis] < 0) for axis in range(3)]
    start = np.zeros(3)
    for axis in range(3):
        start[axes[axis]] = grid.shape[axis] - 1 if flipped[axis] else 0
    corners = _corners(grid.shape)
    place = patient_from_voxel(corners @ turn.T + start, affine)
    if np.linalg.norm(place - patient_from_voxel(corners, grid.affine), axis=1).max() > SAME_POINT_MM:
        return None
    arranged = values.transpose(axes)
    return arranged[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]


def _directions(affine: Array) -> Array:
    """(3, 3) unit vectors of the axes: a single slice has a direction even when its thickness is not known."""
    directions: Array = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return directions


def _corners(shape: Sequence[int]) -> Array:
    """(8, 3) indices of the corner voxels."""
    return np.array(list(itertools.product(*((0, size - 1) for size in shape))), float)


def _apart(shape: Sequence[int], affine: Array, grid: Grid) -> float:
    """Largest distance, in mm, from a corner of the grid to the nearest corner of the values."""
    one = patient_from_voxel(_corners(shape), affine)
    other = patient_from_voxel(_corners(grid.shape), grid.affine)
    return float(np.linalg.norm(one[:, None] - other[None], axis=2).min(axis=0).max())


def _sizes(shape: Sequence[int], affine: Array) -> str:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return " x ".join(map(str, shape)) + " voxels of " + " x ".join(f"{mm:.2f}" for mm in spacing) + " mm"
