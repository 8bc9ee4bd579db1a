"""What SEG and SR share: the source objects, who made the result, codes, identifiers, whole files."""

import contextlib
import datetime
import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rrg.dicom import NIFTI, Header
from rrg.errors import RecordError, RrgError
from rrg.files import open_file
from rrg.outputs.marks import Structure
from rrg.pipe import talk
from rrg.provenance import rrg_version
from rrg.study_choice import Chosen

MANUFACTURER = "rrg"
PRIVATE_SCHEME = "99RRG"
"""Coding scheme of phrases that no standard code is known for."""
LEFT, RIGHT = ("7771000", "SCT", "Left"), ("24028007", "SCT", "Right")
ANATOMY, ABNORMAL = (
    ("123037004", "SCT", "Anatomical Structure"),
    ("49755003", "SCT", "Morphologically Abnormal Structure"),
)
LESION = ("52988006", "SCT", "Lesion")
LESIONS = ("lesion", "lung_nodule", "kidney_cyst_left", "kidney_cyst_right")

MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Type 2 of patient and study: what a source has left out is empty in what is made from it."""


class Maker(NamedTuple):
    """Who made a result, and what must be said with it."""

    weights: str
    """Hash of the weights."""
    notice: str
    lang: str
    moment: datetime.datetime


class Origin(NamedTuple):
    """A series that was asked about."""

    headers: tuple[Header, ...]
    """Of its slices, in order along the stack."""
    datasets: tuple[Any, ...]
    """Its objects without pixels: one per slice, or the one that holds all frames."""

    @property
    def multi_frame(self) -> bool:
        """One object holds all slices."""
        return self.headers[0].frame is not None


def origin_of(chosen: Chosen) -> Origin:
    """The source objects of a stack, headers only. RecordError where they are no DICOM objects that can be named."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    headers = chosen.stack.headers
    if headers[0].transfer_syntax == NIFTI:
        raise RecordError(
            "E_NOT_DICOM", "--dicom needs DICOM input: a NIfTI file has no objects to point at; use --nifti"
        )
    paths = list(dict.fromkeys(header.path for header in headers))
    if headers[0].frame is not None and len(paths) > 1:
        raise RecordError("E_GEOMETRY", f"--dicom: a volume in {len(paths)} multi-frame objects; SEG needs one object")
    datasets = []
    for path in paths:
        try:
            with open_file(path) as file:
                datasets.append(dcmread(file, stop_before_pixels=True))
        except (OSError, InvalidDicomError) as error:
            raise RecordError(
                "E_PATH", f"--dicom: a source file can not be read again: {type(error).__name__}"
            ) from None
    of_path = {header.path: header for header in headers}
    for path, dataset in zip(paths, datasets, strict=True):
        told = {"SOPInstanceUID": of_path[path].sop, "SOPClassUID": of_path[path].sop_class}  # file meta, where need be
        for keyword, value in told.items():
            if not value:
                raise RecordError("E_MALFORMED", f"--dicom: a source object has no {keyword}; it can not be pointed at")
            setattr(dataset, keyword, value)
        _shared_grid(dataset)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        if not all(getattr(dataset, keyword, None) for dataset in datasets):
            talk("infer", f"DICOM: source objects have no {keyword}; one is made up, and viewers will not join them")
            for dataset in datasets:
                setattr(dataset, keyword, uid(keyword, str(datasets[0].SOPInstanceUID)))
    for dataset in datasets:
        for keyword in MAY_BE_EMPTY:
            if keyword not in dataset:
                setattr(dataset, keyword, None)
    _one_frame(datasets)
    return Origin(headers, tuple(datasets))


def _shared_grid(dataset: Any) -> None:
    """What all frames of an object say alike of their grid is said once: highdicom looks for it there."""
    frames = getattr(dataset, "PerFrameFunctionalGroupsSequence", None)
    if not frames:
        return
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        if keyword not in shared and all(keyword in frame for frame in frames):
            setattr(shared, keyword, getattr(frames[0], keyword))


def _one_frame(datasets: Sequence[Any]) -> None:
    """One Frame of Reference UID for all: slices of one stack lie in one frame, whatever anonymisers wrote there."""
    named = [str(uid_) for each in datasets if (uid_ := getattr(each, "FrameOfReferenceUID", None))]
    frame = named[0] if named else uid("frame of reference", str(datasets[0].SeriesInstanceUID))
    if len(set(named)) != 1 or len(named) < len(datasets):
        talk("infer", "DICOM: slices of the series name different frames of reference, or none; the first one is taken")
    for dataset in datasets:
        dataset.FrameOfReferenceUID = frame


def uid(*parts: str) -> str:
    """A UID of the kind 2.25 (a number of 128 bits, DICOM PS3.5 B.2), always the same for the same parts."""
    return f"2.25.{int.from_bytes(hashlib.sha256(chr(0).join(parts).encode()).digest()[:16], 'big')}"


def code(triple: tuple[str, str, str]) -> Any:
    """A coded concept of highdicom."""
    from highdicom.sr import CodedConcept

    value, scheme, meaning = triple
    return CodedConcept(value=value, scheme_designator=scheme, meaning=meaning)


def structure_code(structure: Structure) -> tuple[str, str, str]:
    """SNOMED CT where the label table has a code, else a code of our own scheme."""
    label = structure.label
    if label is not None and label.snomed:
        return label.snomed, "SCT", _words(label.en, label.side)
    if label is not None and label.name == "lesion":
        return LESION
    meaning = label.en if label is not None else structure.name
    return hashlib.sha256(structure.key.encode()).hexdigest()[:12].upper(), PRIVATE_SCHEME, meaning[:64]


def _words(name: str, side: str | None) -> str:
    """SNOMED codes of the table are without side."""
    return name.replace(f"{side} ", "", 1).replace(f" {side}", "", 1)[:64] if side else name[:64]


def laterality(structure: Structure) -> tuple[str, str, str] | None:
    """Left or right, of the patient."""
    side = structure.label.side if structure.label is not None else None
    return None if side is None else LEFT if side == "left" else RIGHT


def equipment(maker: Maker) -> Any:
    """Contributing Equipment: what made the result, and from which weights."""
    from highdicom import ContributingEquipment
    from pydicom.sr.codedict import codes

    return ContributingEquipment(
        manufacturer=MANUFACTURER,
        manufacturer_model_name="rrg infer",
        software_versions=(rrg_version(), f"weights {maker.weights}"),
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        contribution_description=maker.notice[:1024],
        contribution_datetime=maker.moment,
    )


@contextlib.contextmanager
def unworried() -> Iterator[None]:
    """Without highdicom's and pydicom's advice about names and values of the source, which are kept as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def stamp(dataset: Any, maker: Maker, description: str) -> None:
    """What every object says: research, by whom, when."""
    dataset.ContentQualification = "RESEARCH"
    dataset.SeriesDescription = description
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for name, form in (("Date", "%Y%m%d"), ("Time", "%H%M%S")):
        for what in ("Series", "Content", "InstanceCreation"):
            setattr(dataset, what + name, maker.moment.strftime(form))


def save(dataset: Any, path: Path) -> None:
    """Write an object, whole or not at all. RrgError(E_IO)."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with partial.open("wb") as file, unworried():
            dataset.save_as(file, enforce_file_format=True)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise RrgError(f"{path.name}: {error.strerror or error}; choose another --dicom", "E_IO") from None
