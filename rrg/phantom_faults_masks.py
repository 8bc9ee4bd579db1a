"""Rows 30 to 33: NIfTI files that contradict themselves, masks that do not fit, a mirrored volume."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import LABELS
from rrg.phantom_body import Grid, class_of_tissue, draw_body, image, paint, tissue_values
from rrg.phantom_dicom import nifti_bytes
from rrg.phantom_faults_study import AXIAL, Fault, grid, hounsfield, in_block, put, put_bytes, study
from rrg.seeds import rng_for

Make = Callable[[Path, int], None]
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SCL_SLOPE = 112
"""Byte offset in a NIfTI-1 header (nifti1.h)."""
LIVER, SPLEEN = LABELS["liver"].class_id, LABELS["spleen"].class_id


# --- row 30


def nifti(
    values: NDArray[Any], affine: NDArray[Any], *, qform: NDArray[Any] | None = None, slope: float | None = None
) -> bytes:
    """A NIfTI-1 file of (column, row, slice, ...) values. `affine` is the sform, and the qform unless one is given."""
    import nibabel

    library: Any = nibabel
    made = library.Nifti1Image(values, affine, dtype=values.dtype)
    made.set_sform(affine, code=1)
    made.set_qform(affine if qform is None else qform, code=1)
    made.header.set_xyzt_units("mm", "sec")
    data: bytes = made.to_bytes()
    if slope is not None:
        data = data[:SCL_SLOPE] + struct.pack("<ff", slope, 0.0) + data[SCL_SLOPE + 8 :]
    return data


def _volume(seed: int, where: Grid = AXIAL) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """HU as (column, row, slice) and the affine to RAS mm."""
    affine = RAS_FROM_LPS @ where.affine[:, [2, 1, 0, 3]]
    return np.ascontiguousarray(hounsfield(where, seed).transpose(2, 1, 0)), affine


def sform_qform(root: Path, seed: int) -> None:
    """The qform says mirrored and moved by 40 mm."""
    values, affine = _volume(seed)
    other = affine.copy()
    other[0] *= -1
    other[0, 3] += 40
    put_bytes(root, "input/ct.nii", nifti(values, affine, qform=other))


def negative_determinant(root: Path, seed: int) -> None:
    """Columns stored from left to right and from right to left: the same volume twice, once with each hand."""
    values, affine = _volume(seed)
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, len(values) - 1
    put_bytes(root, "input/ct.nii", nifti(values, affine))
    put_bytes(root, "input/flipped/ct.nii", nifti(np.ascontiguousarray(values[::-1]), affine @ flip))


def nan_slope(root: Path, seed: int) -> None:
    """Whole numbers of 8 bit whose scale is not a number: no scale (nifti1.h: 0 or not finite)."""
    values, affine = _volume(seed)
    put_bytes(root, "input/ct.nii", nifti((values // 10).astype(np.int8), affine, slope=float("nan")))


def four_dimensions(root: Path, seed: int) -> None:
    """Three volumes in one file."""
    values, affine = _volume(seed)
    put_bytes(root, "input/ct.nii", nifti(np.stack([values, values + 10, values + 20], axis=-1), affine))


# --- rows 31 and 32


def other_grid(root: Path, seed: int) -> None:
    """A mask of the block with pixels of 1 mm and slices of 2.5 mm, and a series whose mask fits."""
    slices, fitting = study(seed), study(seed, name="fitting", number=4)
    put(root, [*slices, *fitting])
    block = np.where(in_block(AXIAL), SPLEEN, 0).astype(np.uint8)
    put_bytes(root, f"masks/{fitting[0].SeriesInstanceUID}.nii.gz", nifti_bytes(block, AXIAL))
    where = grid(spacing=(2.5, 1.0, 1.0), shape=(11, 48, 50))
    labels = np.where(in_block(where), SPLEEN, 0).astype(np.uint8)
    put_bytes(root, f"masks/{slices[0].SeriesInstanceUID}.nii.gz", nifti_bytes(labels, where))


EDGES: dict[int, dict[str, list[list[int]]]] = {
    0: {"liver": [[0, 0, 5, 4]], "spleen": [[35, 28, 40, 32]]},
    1: {"liver": [[9, 7, 10, 8]]},
    2: {"liver": [[30, 20, 36, 26], [3, 3, 6, 6]]},
    3: {"liver": [[10, 10, 20, 20]]},
    4: {},
}
"""Slice -> structure -> boxes (x0, y0, x1, y1) of its components, half-open, largest first: at the edges; one pixel;
two components; one with a hole; nothing."""


def mask_edges(root: Path, seed: int) -> dict[str, Any]:
    """The structures of `EDGES`."""
    slices = study(seed)
    put(root, slices)
    labels = np.zeros(AXIAL.shape, np.uint8)
    for number, structures in EDGES.items():
        for name, boxes in structures.items():
            for x0, y0, x1, y1 in boxes:
                labels[number, y0:y1, x0:x1] = LABELS[name].class_id
    labels[3, 13:17, 13:17] = 0
    put_bytes(root, f"masks/{slices[0].SeriesInstanceUID}.nii.gz", nifti_bytes(labels, AXIAL))
    return {"truth": {"boxes": {str(number): boxes for number, boxes in EDGES.items()}}}


# --- row 33


def flipped(root: Path, seed: int) -> None:
    """A trunk whose pixels, and the masks found on them, are mirrored; the header says nothing of it."""
    body = draw_body(rng_for(seed, "phantom", "fault/flipped"))
    where = grid(spacing=(24.0, 7.0, 7.0), shape=(20, 48, 64))
    tissue = paint(body, where, "CT")[:, :, ::-1]
    rng = rng_for(seed, "phantom", "fault/flipped/values")
    values = image(tissue, tissue_values(body, "CT", "CT", False, rng), 0.0, "CT", rng)
    slices = study(seed, where, values=values, name="flipped")
    put(root, slices)
    labels = class_of_tissue("CT")[tissue]
    put_bytes(root, f"masks/{slices[0].SeriesInstanceUID}.nii.gz", nifti_bytes(labels, where))


_NIFTI = "rrg extract-slices input --modality CT --store STORE"
_SEGMENT = "rrg extract-slices input --store STORE | rrg segment --store STORE --engine masks --masks masks"
_SIDES = "The bright block lies at `block_mm` in the patient."
FAULTS = {
    "nifti-sform-qform": Fault(30, "NIfTI: sform and qform differ", sform_qform, flags=("no_uid", "sform_qform"),
                               notes=f"sform counts. {_SIDES}", command=_NIFTI),
    "nifti-negative-determinant": Fault(30, "NIfTI: both hands of one volume", negative_determinant,
                                        flags=("no_uid",), notes=f"{_SIDES} In both files.", command=_NIFTI),
    "nifti-nan-slope": Fault(30, "NIfTI: scl_slope NaN on int8", nan_slope, flags=("no_uid",),
                             notes=f"Values as stored. {_SIDES}", command=_NIFTI),
    "nifti-4d": Fault(30, "NIfTI: three volumes in one file", four_dimensions,
                      flags=("no_uid",), notes="A series per volume, role `dynamic`, with its time index.",
                      command=_NIFTI),
    "mask-other-grid": Fault(31, "mask on another grid", other_grid, {"E_GRID": 1}, (), 3,
                             "With --resample: by place in the patient, never by index.", _SEGMENT),
    "mask-edges": Fault(32, "structures at the edge, of one pixel, in two parts, with a hole, none", mask_edges,
                        notes="Half-open boxes; the slice without structures is a mask record without labels.",
                        command=_SEGMENT),
    "flipped": Fault(33, "volume mirrored left to right", flipped, flags=("SUSPECT_LR",),
                     notes="The flag stands on the masks.", command=_SEGMENT),
}  # fmt: skip
