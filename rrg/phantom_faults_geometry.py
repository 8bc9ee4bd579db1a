"""Rows 3 to 13: frames, spacing, tilt, gaps, duplicates, orientations, patients, sides."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from rrg.anatomy import LABELS
from rrg.phantom_body import Grid
from rrg.phantom_dicom import Person, nifti_bytes
from rrg.phantom_faults_study import (
    AXIAL,
    Fault,
    another,
    changed,
    grid,
    in_block,
    put,
    put_bytes,
    study,
    with_pixels,
)

Make = Callable[[Path, int], None]
CORONAL = ((1, 0, 0), (0, 0, -1))
SAGITTAL = ((0, 1, 0), (0, 0, -1))
SECOND = Person(id="P-4712", name="Musterfrau^Anna", birth_date="19600202", sex="F")


# --- row 3 and 4: multi-frame objects


def _group(**tags: Any) -> list[Dataset]:
    item = Dataset()
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return [item]


def _enhanced(order: Sequence[int], modality: str, *, own_rescale: bool) -> Make:
    """`order`: which slice each frame is. `own_rescale`: slope and intercept differ from frame to frame."""

    def make(root: Path, seed: int) -> None:
        slices = study(seed, modality="CT" if modality == "CT" else "MR")
        pixels = np.stack([slices[number].pixel_array.astype(np.uint16) for number in order])
        sop = uid.EnhancedCTImageStorage if modality == "CT" else uid.EnhancedMRImageStorage
        gone: tuple[str, ...]
        gone = ("PixelSpacing", "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient", "SliceLocation")
        gone += ("RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth", "EchoTime")
        made = with_pixels(
            slices[0], pixels, SOPClassUID=sop, NumberOfFrames=len(order), **dict.fromkeys(gone), ImageType=[
                "ORIGINAL", "PRIMARY", "VOLUME" if modality == "CT" else "T2", "NONE"
            ],
        )  # fmt: skip
        first = slices[0]
        shared, unit = Dataset(), "HU" if modality == "CT" else "US"
        shared.PixelMeasuresSequence = _group(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
        shared.PlaneOrientationSequence = _group(ImageOrientationPatient=first.ImageOrientationPatient)
        if not own_rescale:
            shared.PixelValueTransformationSequence = _group(
                RescaleSlope=1, RescaleIntercept=-1024 if modality == "CT" else 0, RescaleType=unit
            )
        made.SharedFunctionalGroupsSequence = [shared]
        frames = []
        for place, number in enumerate(order):
            frame = Dataset()
            frame.PlanePositionSequence = _group(ImagePositionPatient=slices[number].ImagePositionPatient)
            frame.FrameContentSequence = _group(StackID="1", InStackPositionNumber=place + 1)
            if own_rescale:
                frame.PixelValueTransformationSequence = _group(
                    RescaleSlope=place + 1, RescaleIntercept=10 * place, RescaleType=unit
                )
            frames.append(frame)
        made.PerFrameFunctionalGroupsSequence = frames
        put(root, [made])

    return make


def old_multi_frame(root: Path, seed: int) -> None:
    """Three frames in one CT object that says nowhere where they lie."""
    good = study(seed)
    frames = np.stack([each.pixel_array.astype(np.uint16) for each in good[:3]])
    put(root, [*good, with_pixels(another(good[0], "frames"), frames, NumberOfFrames=3)])


# --- row 5: spacing


def _tags(**tags: Any) -> Make:
    def make(root: Path, seed: int) -> None:
        put(root, [changed(each, **tags) for each in study(seed)])

    return make


def spacing_nan(root: Path, seed: int) -> None:
    """``nan`` where a number should be: pydicom does not write it, so the bytes are changed."""
    for path in put(root, study(seed)):
        data = path.read_bytes()
        assert data.count(b"1.5\\1.25") == 1
        path.write_bytes(data.replace(b"1.5\\1.25", b"nan\\1.25"))


# --- rows 6 to 8: tilt and gaps


def _tilted(count: int, degrees: float = 15.0, tag: float | None = 15.0) -> Make:
    """Slices turned about the left-right axis, the table moving along z: a sheared stack. `tag`: what it claims."""

    def make(root: Path, seed: int) -> None:
        turn = math.radians(degrees)
        where = grid((1, 0, 0), (0, math.cos(turn), -math.sin(turn)), shape=(count, 32, 40), step=(0.0, 0.0, 5.0))
        put(root, [changed(each, GantryDetectorTilt=None if tag is None else f"{tag:g}")
                   for each in study(seed, where)])  # fmt: skip

    return make


def one_slice(root: Path, seed: int) -> None:
    """The middle slice alone."""
    put(root, study(seed)[2:3])


def missing_slice(root: Path, seed: int) -> None:
    """The second slice of five is not there."""
    good = study(seed)
    put(root, [good[0], *good[2:]])


def uneven(root: Path, seed: int) -> None:
    """Increments that change in the middle of the series: 5, 5, 5 and then 2 mm."""
    good = study(seed)
    position = [float(value) for value in good[-1].ImagePositionPatient]
    put(root, [*good[:-1], changed(good[-1], ImagePositionPatient=[*position[:2], position[2] - 3.0])])


# --- row 9: the same place twice


def duplicate_sop(root: Path, seed: int) -> None:
    """One file twice, under another name."""
    good = study(seed)
    put(root, [*good, good[1]])


def _two_phases(keyword: str, first: Any, second: Any, *, modality: str = "MR") -> Make:
    """Each place twice, with other pixels; `keyword` tells the two apart."""

    def make(root: Path, seed: int) -> None:
        slices = study(seed, modality="CT" if modality == "CT" else "MR")
        made = []
        for number, each in enumerate(slices):
            pixels = each.pixel_array.astype(np.uint16)
            made.append(changed(each, **{keyword: first}, InstanceNumber=2 * number + 1))
            made.append(
                with_pixels(another(each, "again", InstanceNumber=2 * number + 2, **{keyword: second}),
                            pixels // np.uint16(2))
            )  # fmt: skip
        put(root, made)

    return make


def same_position(root: Path, seed: int) -> None:
    """Two phases, told apart by nothing but the order of the instances."""
    slices = study(seed)
    later = [
        with_pixels(another(each, "again", InstanceNumber=len(slices) + n), each.pixel_array.astype(np.uint16) // 2)
        for n, each in enumerate(slices, 1)
    ]
    put(root, [*slices, *later])


# --- row 10: orientations


def mixed_orientation(root: Path, seed: int) -> None:
    """Axial, sagittal and coronal slices under one Series Instance UID."""
    axial = study(seed)
    made = list(axial)
    for name, axes in (("sagittal", SAGITTAL), ("coronal", CORONAL)):
        where = grid(*axes, shape=(12, 32, 40))
        made += [
            another(each, name, SeriesInstanceUID=axial[0].SeriesInstanceUID, InstanceNumber=len(made) + n)
            for n, each in enumerate(study(seed, where, name=name), 1)
        ]
    put(root, made)


def scout(root: Path, seed: int) -> None:
    """A localizer that says so (LOCALIZER) and one that only its geometry tells, both inside the axial series."""
    axial = study(seed, grid(shape=(12, 32, 40)))
    view = study(seed, grid(*CORONAL, shape=(1, 32, 40)), name="scout")[0]
    side = study(seed, grid(*SAGITTAL, shape=(1, 32, 40)), name="side")[0]
    series = axial[0].SeriesInstanceUID
    told = changed(view, SeriesInstanceUID=series, InstanceNumber=91, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    untold = changed(side, SeriesInstanceUID=series, InstanceNumber=92)
    put(root, [*axial, told, untold])


# --- row 11: patients and studies


def two_studies(root: Path, seed: int) -> None:
    """Two studies of one patient in one folder."""
    again = study(seed, name="second")
    later = uid.UID(f"{again[0].StudyInstanceUID[:-4]}7777")
    put(root, [*study(seed), *(changed(each, StudyInstanceUID=later, AccessionNumber="A-0816") for each in again)])


def two_patients(root: Path, seed: int) -> None:
    """Two patients in one folder, each with a study of its own."""
    put(root, [*study(seed), *study(seed, person=SECOND)])


def shared_series(root: Path, seed: int) -> None:
    """One Series Instance UID in two studies."""
    first, second = study(seed), study(seed, person=SECOND)
    put(root, [*first, *(changed(each, SeriesInstanceUID=first[0].SeriesInstanceUID) for each in second)])


def mixed_patient(root: Path, seed: int) -> None:
    """Two Patient IDs under one Study Instance UID, beside a good study."""
    wrong = study(seed, name="wrong", person=SECOND)[:3]
    wrong[1] = changed(wrong[1], PatientID="P-4713")
    put(root, [*study(seed), *wrong])


# --- rows 12 and 13: sides, planes, pixels that are not square


def descending(root: Path, seed: int) -> None:
    """Instance 1 is the topmost slice."""
    good = study(seed)
    put(root, [changed(each, InstanceNumber=len(good) - n) for n, each in enumerate(good)][::-1])


def _lying(along_row: Sequence[float], along_column: Sequence[float], position: str) -> Make:
    """Axial slices of a patient that lies in another way: rows and columns run along other axes of the patient."""

    def make(root: Path, seed: int) -> None:
        where = grid(along_row, along_column, shape=(5, 40, 40))
        put(root, [changed(each, PatientPosition=position) for each in study(seed, where)])

    return make


def plane_with_mask(where: Grid) -> Make:
    """A series on `where` and a mask of its block, as structure ``spleen``, named by the series."""

    def make(root: Path, seed: int) -> None:
        slices = study(seed, where)
        put(root, slices)
        labels = np.where(in_block(where), LABELS["spleen"].class_id, 0).astype(np.uint8)
        put_bytes(root, f"masks/{slices[0].SeriesInstanceUID}.nii.gz", nifti_bytes(labels, where))

    return make


def _oblique() -> Grid:
    """Turned by 20 degrees about z and by 45 about the row."""
    a, b = math.radians(20), math.radians(45)
    row = np.array([math.cos(a), math.sin(a), 0.0])
    column = math.cos(b) * np.array([-math.sin(a), math.cos(a), 0.0]) + math.sin(b) * np.array([0.0, 0.0, -1.0])
    return grid(row.tolist(), column.tolist(), spacing=(2.0, 0.5, 0.8), shape=(20, 64, 64))


_MASKED: dict[str, Any] = {
    "command": "rrg extract-slices input --store STORE | rrg segment --store STORE --engine masks --masks masks",
    "notes": "Box of the block in pixels and in mm agree with `block_mm`; the display aspect is 0.5 : 0.8.",
}
_PLANES: dict[str, Any] = {"spacing": (4.0, 0.5, 0.8), "shape": (12, 64, 64)}
_SIDES = "The bright block lies at `block_mm` in the patient, whatever the order of the files, rows and columns."
_LEN = AXIAL.shape[0]
_NO_MM = "2-D pixels only; no boxes in mm and no 3-D step (rrg segment: E_GEOMETRY)."
FAULTS = {
    "enhanced-ct": Fault(3, "enhanced CT, shared rescale", _enhanced(range(_LEN), "CT", own_rescale=False),
                         notes="Values are those of fault `none`; FrameNumber is kept."),
    "enhanced-mr": Fault(3, "enhanced MR, rescale per frame", _enhanced(range(_LEN), "MR", own_rescale=True),
                         notes="Frame f (from 1) is stored * f + 10 (f - 1)."),
    "frames-out-of-order": Fault(3, "enhanced CT, frames not in order of position",
                                 _enhanced([2, 0, 4, 1, 3], "CT", own_rescale=False),
                                 notes="Values are those of fault `none`; frames 2, 4, 1, 5, 3."),
    "old-multi-frame": Fault(4, "multi-frame object without functional groups", old_multi_frame,
                             {"E_GEOMETRY": 1}, exit=3),
    "no-pixel-spacing": Fault(5, "PixelSpacing absent", _tags(PixelSpacing=None), flags=("no_mm",), notes=_NO_MM),
    "imager-pixel-spacing": Fault(5, "only ImagerPixelSpacing", _tags(PixelSpacing=None, ImagerPixelSpacing=[1, 1]),
                                  flags=("no_mm",), notes=_NO_MM),
    "pixel-spacing-zero": Fault(5, "PixelSpacing 0", _tags(PixelSpacing=[0, 0]), flags=("no_mm",), notes=_NO_MM),
    "pixel-spacing-negative": Fault(5, "PixelSpacing negative", _tags(PixelSpacing=[-1.5, 1.25]), flags=("no_mm",),
                                    notes=_NO_MM),
    "pixel-spacing-nan": Fault(5, "PixelSpacing not a number", spacing_nan, flags=("no_mm",), notes=_NO_MM),
    "gantry-tilt": Fault(6, "gantry tilt of 15 degrees", _tilted(5), flags=("shear", "tilt"),
                         notes="Sheared affine, not resampled."),
    "tilt-disagrees": Fault(6, "tilt of 15 degrees in the geometry, 0 in the tag", _tilted(5, tag=0.0),
                            flags=("shear", "tilt"), notes="Geometry counts, not the tag."),
    "tilt-only-in-the-tag": Fault(6, "tag says 15 degrees, geometry is straight", _tilted(5, 0.0),
                                  flags=("tilt",), notes="Geometry counts, not the tag."),
    "two-slice-tilt": Fault(7, "tilt, two slices", _tilted(2), flags=("shear", "tilt")),
    "one-slice": Fault(7, "series of one slice", one_slice),
    "missing-slice": Fault(8, "one of five slices is missing", missing_slice, flags=("gap_mm",),
                           notes="Each slice keeps its own position; gaps of 5 and 10 mm are told."),
    "uneven-slices": Fault(8, "slice increment changes", uneven, flags=("gap_mm",),
                           notes="Gaps of 2 and 5 mm are told."),
    "duplicate-sop": Fault(9, "one file twice", duplicate_sop, {"E_DUPLICATE": 1}),
    "same-position": Fault(9, "two phases at the same positions, in instance order", same_position,
                           notes="Two stacks of 5."),
    "echoes": Fault(9, "two echoes at the same positions", _two_phases("EchoTime", "10", "80"),
                    notes="Two stacks of 5."),
    "b-values": Fault(9, "two b-values at the same positions", _two_phases("DiffusionBValue", 0.0, 800.0),
                      notes="Two stacks of 5."),
    "phases": Fault(9, "two temporal positions at the same positions",
                    _two_phases("TemporalPositionIdentifier", "1", "2", modality="CT"), notes="Two stacks of 5."),
    "mixed-orientation": Fault(10, "three planes in one series", mixed_orientation,
                               notes="Stacks of 5, 12 and 12 slices."),
    "scout-in-series": Fault(10, "two localizers in the series", scout,
                             notes="12 slices, and 2 localizers of one slice: role `localizer`."),
    "two-studies": Fault(11, "two studies in one folder", two_studies),
    "two-patients": Fault(11, "two patients in one folder", two_patients),
    "shared-series-uid": Fault(11, "one SeriesInstanceUID in two studies", shared_series, notes="Two series of 5."),
    "mixed-patient": Fault(11, "two PatientIDs in one study", mixed_patient, {"E_MIXED_PATIENT": 3}, exit=3,
                           notes="The study of two patients is refused, the other goes on."),
    "descending": Fault(12, "instances in descending order", descending, notes=_SIDES),
    "feet-first": Fault(12, "feet first, supine", _lying((-1, 0, 0), (0, 1, 0), "FFS"), notes=_SIDES),
    "prone": Fault(12, "head first, prone", _lying((-1, 0, 0), (0, -1, 0), "HFP"), notes=_SIDES),
    "decubitus": Fault(12, "head first, lying on the right side", _lying((0, -1, 0), (1, 0, 0), "HFDR"), notes=_SIDES),
    "sagittal-anisotropic": Fault(13, "sagittal, pixels of 0.5 x 0.8 mm", plane_with_mask(grid(*SAGITTAL, **_PLANES)),
                                  **_MASKED),
    "coronal-anisotropic": Fault(13, "coronal, pixels of 0.5 x 0.8 mm", plane_with_mask(grid(*CORONAL, **_PLANES)),
                                 **_MASKED),
    "oblique-anisotropic": Fault(13, "oblique, pixels of 0.5 x 0.8 mm", plane_with_mask(_oblique()), **_MASKED),
}  # fmt: skip
