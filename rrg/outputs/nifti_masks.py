"""Marks of a series -> NIfTI masks, one file per structure (they may overlap), on the grid of the whole series."""

import contextlib
import gzip
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from rrg.errors import RrgError
from rrg.geometry import volume_affine
from rrg.masks_grid import LPS_FROM_RAS
from rrg.outputs.marks import Mark, Structure, filled, structures_of
from rrg.records import Slice

EXTENSION_CODE = 0
"""Unknown: readers that do not know the label table pass over it (TotalSegmentator writes it with this code)."""


def file_name(structure: Structure) -> str:
    """``liver.nii.gz``; a phrase is cut to plain letters and made distinct by a hash."""
    if structure.label is not None:
        return f"{structure.key}.nii.gz"
    plain = re.sub(r"[^a-z0-9]+", "_", structure.key).strip("_")[:40] or "phrase"
    return f"{plain}_{hashlib.sha256(structure.key.encode()).hexdigest()[:6]}.nii.gz"


def write_masks(
    folder: Path, marks: Sequence[Mark], slices: Sequence[Slice], notice: str, *, store: Path | None
) -> list[Path]:
    """Write the masks of one series; `slices` are those that were asked about, in order.

    Voxel (i, j, k) is (column, row, slice). RecordError(E_GEOMETRY) where no one grid holds the series.
    """
    affine = volume_affine(slices)  # (slice, row, column) -> LPS
    turned = np.eye(4)
    turned[:3, :3] = affine[:3, 2::-1]
    turned[:3, 3] = affine[:3, 3]
    first = slices[0]
    index: Mapping[str, int] = {slice_.id: slice_.index for slice_ in slices}
    written = []
    for structure in structures_of(marks):
        values = np.zeros((first.columns, first.rows, first.count), np.uint8)
        for mark in marks:
            if mark.structure.key == structure.key:
                shown = filled(mark, first.rows, first.columns, store)
                values[:, :, index[mark.slice]] |= shown.T.astype(np.uint8)
        path = folder / file_name(structure)
        _save(path, values, LPS_FROM_RAS @ turned, structure.name, notice)
        written.append(path)
    return written


def _save(
    path: Path, values: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", affine: object, name: str, notice: str
) -> None:
    """The same bytes each time: the gzip header holds no name and no time."""
    import nibabel

    image: Any = nibabel.Nifti1Image(values, np.asarray(affine, np.float64))  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = notice.encode("ascii", "replace")[:79]
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    table = f'<LabelTable><Label Key="1" Name={quoteattr(name)}>{escape(name)}</Label></LabelTable>'
    text = f'<?xml version="1.0" encoding="UTF-8"?><CaretExtension>{table}</CaretExtension>'
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(EXTENSION_CODE, text.encode()))
    plain, packed = io.BytesIO(image.to_bytes()), io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0, compresslevel=6) as file:
        file.write(plain.getvalue())
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(packed.getvalue())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise RrgError(f"{path.name}: {error.strerror or error}; choose another --nifti", "E_IO") from None
