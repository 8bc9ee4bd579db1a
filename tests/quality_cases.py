"""Label volumes for the quality gates, real ones and phantoms, and what two labels swapped would measure."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from rrg.anatomy import MR_TO_UNIFIED
from rrg.masks_grid import LPS_FROM_RAS
from rrg.phantom_body import class_of_tissue, paint
from rrg.phantom_plan import Settings, patient_studies, patients
from rrg.quality import Judged, judge_measured
from rrg.quality_cells import Form, form
from rrg.quality_measures import Structure, by_name, measure

Array = np.ndarray[Any, Any]
Volume = tuple[Array, Array, Array | None]
"""Labels (slices, layers, rows, columns), affine, HU or None."""
REAL = {
    "abdomen and pelvis": ("example_seg_fast_force_split.nii.gz", "example_ct.nii.gz", False, 61),
    "upper abdomen": ("example_seg.nii.gz", "example_ct_sm.nii.gz", False, 41),
    "slab of DICOM slices": ("example_seg_dicom.nii.gz", None, False, 31),
    "MR": ("example_seg_mr.nii.gz", None, True, 23),
}
"""Labels, image, is MR, structures."""


def real(folder: Path, case: str) -> Volume:
    labels, image, mr, _ = REAL[case]
    mask = nibabel.load(folder / "totalsegmentator-ct-mr" / labels)
    values = np.asarray(mask.dataobj).astype(np.uint8).transpose(2, 1, 0)
    if mr:
        table = np.zeros(256, np.uint8)
        for theirs, ours in MR_TO_UNIFIED.items():
            table[theirs] = ours
        values = table[values]
    hu = None
    if image:
        hu = np.asarray(nibabel.load(folder / "totalsegmentator-ct-mr" / image).dataobj).transpose(2, 1, 0)
    return values[:, None], (LPS_FROM_RAS @ mask.affine)[:, [2, 1, 0, 3]], hu


def phantoms(studies: int, seed: int) -> Iterator[Volume]:
    plan = Settings(seed=seed, studies=studies, slices=24, size=96, modality="both", noise=0, syntax="explicit")  # type: ignore[arg-type]
    for patient in patients(plan):
        for study in patient_studies(patient, plan):
            tissue = paint(study.body, study.primary.body_grid, study.header.modality)
            labels = class_of_tissue(study.header.modality, len(study.body.lesions))[tissue]
            yield labels[:, None], study.primary.body_grid.affine, None


def fatal(judged: Judged) -> dict[str, set[str]]:
    """Label -> its flags in capitals."""
    found = {name: {flag for flag in each.flags if flag.isupper()} for name, each in judged.verdicts.items()}
    return {name: flags for name, flags in found.items() if flags}


@dataclass(frozen=True)
class Measured:
    """A volume as `rrg.quality` measures it, before it judges."""

    found: Mapping[str, Structure]
    forms: Mapping[str, Form]
    voxel_mm: float


def measured(volume: Volume) -> Measured:
    labels, affine, hu = volume
    found = measure(labels, affine, hu)
    forms = {name: form(labels, each, affine) for name, each in found.items() if by_name(found, name)}
    return Measured(found, forms, float(np.linalg.norm(affine[:3, :3], axis=0).max()))


def swapped(given: Measured, one: str, other: str) -> Judged:
    """What is said where one structure has the label of another, and the other way round.

    No measure depends on the label, so the volume is not measured again.
    """
    names = {one: other, other: one}
    found = {name: given.found[names.get(name, name)] for name in given.found}
    forms = {name: given.forms[source] for name in given.found if (source := names.get(name, name)) in given.forms}
    return judge_measured(found, forms, given.voxel_mm)


def pairs(given: Measured) -> list[tuple[str, str]]:
    return list(itertools.combinations(given.found, 2))
