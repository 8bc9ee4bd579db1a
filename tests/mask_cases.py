"""Volumes as slice records and store arrays, for tests of masks: no DICOM needed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rrg import store
from rrg.codec import decode, encode
from rrg.keys import pseudonym
from rrg.provenance import make_run
from rrg.records import KINDS, End, Mask, Record, Slice

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Axial, rows to the patient's left, columns to the back."""


def make_slices(
    volume: np.ndarray[Any, Any],
    folder: Path,
    key: bytes,
    uid: str,
    *,
    modality: str = "CT",
    study: str = "1.2.3.4",
    orientation: Sequence[float] = IDENTITY,
    origin: Sequence[float] = (-40.0, -60.0, 100.0),
    spacing: tuple[float, float, float] = (2.0, 1.0, 1.5),
    **changes: Any,
) -> list[Slice]:
    """(slices, rows, columns) pixels to the store and to records. `spacing` is between slices, rows, columns in mm."""
    series = pseudonym(key, "series", uid)
    store.write_array(folder, f"series/{series}", volume)
    normal = np.cross(orientation[:3], orientation[3:])
    return [
        Slice(
            **{
                "id": pseudonym(key, "slice", f"{uid}/{uid}.{index + 1}"),
                "sop_instance": pseudonym(key, "sop", f"{uid}.{index + 1}"),
                "patient": pseudonym(key, "patient", "P"),
                "study": pseudonym(key, "study", study),
                "series": series,
                "index": index,
                "count": len(volume),
                "pixels": f"series/{series}#{index}",
                "sha256": store.sha256_pixels(plane),
                "rows": plane.shape[0],
                "columns": plane.shape[1],
                "dtype": str(volume.dtype),
                "unit": "HU" if modality == "CT" else "stored",
                "modality": modality,
                "spacing_mm": spacing[1:],
                "slice_spacing_mm": spacing[0],
                "position_mm": tuple(np.asarray(origin) + normal * spacing[0] * index),
                "orientation": tuple(map(float, orientation)),
                **changes,
            }
        )
        for index, plane in enumerate(volume)
    ]


def ras_affine(slices: Sequence[Slice]) -> np.ndarray[Any, Any]:
    """Affine of NIfTI for (column, row, slice), computed from the DICOM attributes on its own (PS3.3 C.7.6.2.1.1)."""
    first = slices[0]
    assert first.orientation is not None
    assert first.spacing_mm is not None
    assert first.position_mm is not None
    assert first.slice_spacing_mm is not None
    along_row, along_column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    affine = np.eye(4)
    affine[:3, 0] = along_row * first.spacing_mm[1]
    affine[:3, 1] = along_column * first.spacing_mm[0]
    affine[:3, 2] = np.cross(along_row, along_column) * first.slice_spacing_mm
    affine[:3, 3] = first.position_mm
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def save_nifti(path: Path, values: np.ndarray[Any, Any], affine: np.ndarray[Any, Any]) -> Path:
    """(i, j, k) labels to a file."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def stream(path: Path, slices: Sequence[Slice]) -> Path:
    """Slice records as a closed stream."""
    run = make_run("extract-slices", {})
    path.write_bytes(b"".join(encode(record) + b"\n" for record in [run, *slices, End(run=run.id, counts={})]))
    return path


def records(output: bytes) -> list[Record]:
    """All records of an output, validated."""
    return [decode(line, KINDS[json.loads(line)["schema"]]) for line in output.splitlines()]


def masks(output: bytes) -> list[Mask]:
    """The mask records of an output."""
    return [record for record in records(output) if isinstance(record, Mask)]
