"""Body, lungs, airways and bone of a CT by Hounsfield units: no weights, no network.

What each step does and where its numbers come from:

========  ============================================================================================================
body      above -300 HU (between fat, about -100, and lung or foam, below -500), opened by 3 mm to let go of the table,
          the largest parts, holes of each axial slice filled, so that lungs and gut gas count as body, also where an
          edge of the picture cuts through them.
airways   grown from the trachea, a round dark tube between the lungs, at the highest of several thresholds before the
          region leaks into the lungs ("explosion control": Mori et al., IEEE Trans Med Imaging 19 (2000) 103).
lungs     body below -400 HU without airways (about the mean of parenchyma and soft tissue: Hu, Hoffman, Reinhardt, IEEE
          Trans Med Imaging 20 (2001) 490), without sections of nothing but gas, parts whose median looks like
          parenchyma, closed by 4 mm, vessels and nodules filled, cut in two where they touch; sides from the patient's
          x axis.
bone      cortical bone above 200 HU, closed by 4 mm and filled, so that marrow counts, and what touches it above 130 HU
          (trabecular bone 100 to 300, cortical above 300 HU: Schreiber et al., J Bone Joint Surg Am 93 (2011) 1057).
          Thick bright parts without a brighter rim are enhanced blood or organs and do not count.
========  ============================================================================================================

Arrays here are (z, y, x) in patient order: z grows to the head, y to the back, x to the patient's left.
"""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rrg.anatomy import LABELS
from rrg.geometry import Array
from rrg.masks import Labels, stacked
from rrg.threshold_bone import bone_of
from rrg.threshold_lungs import AIR_HU, GAS_HU, airways_and_lungs
from rrg.threshold_shapes import Mask3D, Volume, filled, opened, parts, voxel_ml

VERSION = 2
"""Grows with every change that can change a mask."""
FINDS = ("lung_left", "lung_right", "body", "airways", "bone")
"""What the engine looks for."""

BODY_HU = -300
TABLE_MM = 3.0
PART_OF_BODY = 0.05
"""Parts at least this large, against the largest, are body too (arms, legs)."""
CUT_LUNG_ML = 100.0
ENCLOSED = 0.6
"""Part of the surface of a lung that is body; foam of the table has less."""
EDGE_GAP_MM = 40.0
"""Where an edge of the picture cuts the body, air between two pieces of its wall at most this far apart is inside."""


def segment_ct(hu: Volume, affine: Array) -> Labels:
    """(slices, rows, columns) HU -> (slices, 2, rows, columns) class ids: lungs, airways and bone; then the body.

    `affine` maps (slice, row, column) to mm, LPS.
    """
    axes, flips = patient_order(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[axes]
    turned = hu.transpose(axes)[flips]
    body = body_of(turned, spacing, axial=axes[0] == 0)
    found = np.zeros(turned.shape, np.uint8)
    if body.any():
        box = ndimage.find_objects(body.view(np.uint8))[0]
        inside = body[box]
        near, inner = np.where(inside, turned[box], np.int16(-1024)), found[box]
        inner[bone_of(near, inside, spacing)] = LABELS["bone"].class_id
        airways, left, right = airways_and_lungs(near, inside, spacing)
        for mask, name in ((left, "lung_left"), (right, "lung_right"), (airways, "airways")):
            inner[mask] = LABELS[name].class_id
    whole = body.astype(np.uint8) * np.uint8(LABELS["body"].class_id)
    back = np.argsort(axes)
    return stacked([layer[flips].transpose(back) for layer in (found, whole)])


def patient_order(affine: Array) -> tuple[list[int], tuple[slice, ...]]:
    """Axes of (slice, row, column) nearest to z, y, x, and the flips that then make them grow as in LPS."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axes: list[int] = []
    for patient in (2, 1, 0):
        free = [axis for axis in range(3) if axis not in axes]
        axes.append(max(free, key=lambda axis: abs(directions[patient, axis])))
    signs = [directions[patient, axis] for patient, axis in zip((2, 1, 0), axes, strict=True)]
    return axes, tuple(slice(None, None, -1 if sign < 0 else 1) for sign in signs)


def body_of(hu: Volume, spacing: Array, *, axial: bool = True) -> Mask3D:
    """The patient without the table.

    Axial planes of a series that is not axial may be cut off or thick: there lungs are told by their HU.
    """
    dense = opened(hu > BODY_HU, (0.0, TABLE_MM, TABLE_MM), spacing)
    labels, sizes = parts(dense)
    if not sizes.size:
        return dense
    kept = np.flatnonzero(sizes >= PART_OF_BODY * sizes.max()) + 1
    body = _walled(np.isin(labels, kept), spacing)
    if axial:
        return body
    rest, sizes = parts(~body & (hu > GAS_HU) & (hu < AIR_HU))
    for number in (np.flatnonzero(sizes * voxel_ml(spacing) >= CUT_LUNG_ML) + 1).tolist():
        part = rest == number
        around = ndimage.binary_dilation(part, np.ones((3, 3, 3))) & ~part
        if dense[around].mean() > ENCLOSED:
            body |= part
    return filled(body)


def _walled(dense: Mask3D, spacing: Array) -> Mask3D:
    """Holes of each axial slice filled, also those that an edge of the picture opens."""
    walls = dense.copy()
    for plane, out in zip(dense, walls, strict=True):
        for edge in (0, -1):
            _bridge(plane[edge], out[edge], EDGE_GAP_MM / spacing[2])
            _bridge(plane[:, edge], out[:, edge], EDGE_GAP_MM / spacing[1])
    return dense | (filled(walls) & ~(walls & ~dense))


def _bridge(line: NDArray[np.bool_], out: NDArray[np.bool_], longest: float) -> None:
    """Set the gaps of `line` of at most `longest` pixels in `out`."""
    ends = np.flatnonzero(line)
    for start, stop in itertools.pairwise(ends):
        if 1 < stop - start <= longest:
            out[start:stop] = True
