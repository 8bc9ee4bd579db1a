"""Voxels, patient millimetres (LPS) and boxes. Pure functions.

Voxel order is (slice, row, column), zero-based, at voxel centres; patient order is (x, y, z) in mm, LPS: x grows to the
patient's left, y to the back, z to the head.
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError
from rrg.records import Box, Slice

Array = NDArray[np.float64]
Plane = Literal["axial", "coronal", "sagittal", "oblique"]
KEPT = 256
"""Normals that are kept to be used again: slices of a series have the same."""
AXIAL_COSINE = 0.8
"""A slice normal within about 37 degrees of an axis counts as that plane; the rest is oblique."""


def slice_normal(orientation: Sequence[float]) -> Array:
    """Unit normal of a slice, (3,): row direction x column direction (DICOM PS3.3 C.7.6.2.1.1)."""
    return _normal(tuple(map(float, orientation))).copy()


@functools.lru_cache(KEPT)
def _normal(orientation: tuple[float, ...]) -> Array:
    normal = np.cross(np.asarray(orientation[:3], float), np.asarray(orientation[3:], float))
    return np.asarray(normal / np.linalg.norm(normal))


def plane_of(orientation: Sequence[float]) -> Plane:
    """``axial``, ``coronal``, ``sagittal`` or ``oblique``, by the largest component of the normal."""
    normal = np.abs(slice_normal(orientation))
    axis = int(normal.argmax())
    planes: tuple[Plane, Plane, Plane] = ("sagittal", "coronal", "axial")
    return planes[axis] if normal[axis] > AXIAL_COSINE else "oblique"


def slice_affine(slice_: Slice) -> Array:
    """(3, 3) matrix that maps (row, column, 1) of a slice to (x, y, z) in mm, LPS. RecordError without geometry."""
    if slice_.spacing_mm is None or slice_.position_mm is None or slice_.orientation is None:
        raise RecordError("E_GEOMETRY", "slice has no spacing, position or orientation; no millimetres can be given")
    along_row, along_column = np.asarray(slice_.orientation[:3]), np.asarray(slice_.orientation[3:])
    return np.column_stack(
        [along_column * slice_.spacing_mm[0], along_row * slice_.spacing_mm[1], np.asarray(slice_.position_mm)]
    )


def volume_affine(slices: Sequence[Slice]) -> Array:
    """(4, 4) affine of a volume: (slice, row, column, 1) -> (x, y, z, 1) in mm, LPS.

    `slices` are slices of one series in index order. The step between slices is measured from their positions, so
    gantry tilt stays a sheared affine. One slice gets its normal times its spacing (or 1 mm). RecordError(E_GEOMETRY)
    for unevenly spaced slices (no affine is right for them: use `slice_affine` of each) and without geometry.
    """
    first, last = slices[0], slices[-1]
    in_plane = slice_affine(first)
    if len(slices) > 1:
        slice_affine(last)  # has a position, or raises
        if first.slice_spacing_mm is None:
            raise RecordError(
                "E_GEOMETRY",
                f"series of {first.count} slices is not evenly spaced: no single grid describes it; split the series",
            )
        step = (np.asarray(last.position_mm) - np.asarray(first.position_mm)) / (last.index - first.index)
    else:
        assert first.orientation is not None
        step = slice_normal(first.orientation) * (first.slice_spacing_mm or 1.0)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1:3] = in_plane[:, :2]
    affine[:3, 3] = in_plane[:, 2] - step * first.index
    return affine


def patient_from_voxel(voxel: Array, affine: Array) -> Array:
    """(n, 3) (slice, row, column) at voxel centres -> (n, 3) (x, y, z) in mm, LPS."""
    return voxel @ affine[:3, :3].T + affine[:3, 3]


def box_of(mask: NDArray[Any]) -> Box | None:
    """Half-open box of the non-zero pixels of a (rows, columns) array; None when there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return Box(x0=float(columns[0]), y0=float(rows[0]), x1=float(columns[-1] + 1), y1=float(rows[-1] + 1))


def component_boxes(mask: NDArray[Any]) -> tuple[Box, ...]:
    """Boxes of the 8-connected components of a (rows, columns) array, largest area first, then top to bottom."""
    from scipy import ndimage

    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    found = ndimage.find_objects(labels)
    boxes = [Box(x0=float(c.start), y0=float(r.start), x1=float(c.stop), y1=float(r.stop)) for r, c in found]
    order = sorted(range(count), key=lambda i: (-int(areas[i]), boxes[i].y0, boxes[i].x0))
    return tuple(boxes[i] for i in order)


def union_box(boxes: Sequence[Box]) -> Box:
    """Smallest box that holds all `boxes` (at least one)."""
    if len(boxes) == 1:
        return boxes[0]
    return Box(
        x0=min(b.x0 for b in boxes),
        y0=min(b.y0 for b in boxes),
        x1=max(b.x1 for b in boxes),
        y1=max(b.y1 for b in boxes),
    )


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared)
