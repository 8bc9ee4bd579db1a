"""One NIfTI label file: values, place in the patient, names."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError
from rrg.masks_grid import LPS_FROM_RAS, SAME_POINT_MM


def read_nifti(path: Path) -> tuple[NDArray[np.uint16], NDArray[np.float64], dict[int, str], tuple[str, ...]]:
    """Label values (i, j, k), affine (i, j, k, 1) -> mm LPS, names of the header extension, flags.

    The sform counts where it is set, else the qform; where both are set and differ, the flag ``sform_qform`` says so.
    Raises RecordError E_MALFORMED for other than three-dimensional whole numbers, E_GEOMETRY without orientation.
    """
    import nibabel

    try:
        image: Any = nibabel.load(path)
        values = np.asanyarray(image.dataobj)
    except Exception as error:  # nibabel raises many kinds for files cut short, zip errors, wrong magic
        raise RecordError(
            "E_MALFORMED", f"mask file is no readable NIfTI ({type(error).__name__}); make it again"
        ) from None
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise RecordError("E_MALFORMED", f"mask has {values.ndim} dimensions, expected 3 with one label per voxel")
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.uint16)
    if not np.array_equal(whole, values):
        raise RecordError("E_MALFORMED", "mask values are not whole numbers from 0 to 65535; give a label map")
    header = image.header
    if not (header["sform_code"] or header["qform_code"]):
        raise RecordError("E_GEOMETRY", "mask has neither sform nor qform: nobody knows where it lies; add one")
    flags: tuple[str, ...] = ()
    if header["sform_code"] and header["qform_code"]:
        corner = np.array([*values.shape, 1.0])
        apart = float(np.abs(image.get_sform() @ corner - image.get_qform() @ corner).max())
        flags = ("sform_qform",) if apart > SAME_POINT_MM or np.isnan(apart) else ()
    affine = LPS_FROM_RAS @ np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise RecordError("E_GEOMETRY", "mask has an affine that can not be inverted; write its sform again")
    return whole, affine, _names(image), flags


_LABEL = re.compile(rb'<Label\s[^>]*\bKey="(\d{1,5})"[^>]*>\s*(?:<!\[CDATA\[)?([^<\]]{1,100})')


def _names(image: Any) -> dict[int, str]:
    """Label table of the header extension as TotalSegmentator and Connectome Workbench write it; empty without one."""
    return {
        int(value): name.decode("utf-8", "replace").strip()
        for extension in image.header.extensions
        for value, name in _LABEL.findall(extension.get_content()[: 1 << 20])
        if int(value)
    }
