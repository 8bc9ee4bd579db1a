"""Made-up series as DICOM files: CT Image Storage and MR Image Storage with all attributes of type 1 and 2."""

import gzip
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)

from rrg.phantom_body import Array, Grid

TransferSyntax = Literal["raw", "rle", "j2k"]
SYNTAX = {"raw": ExplicitVRLittleEndian, "rle": RLELossless, "j2k": JPEG2000Lossless}
IMPLEMENTATION_UID = "2.25.80302813137786398554742050926734630921"
"""A fixed UUID-derived root-less UID that marks files of the phantom (DICOM PS3.5 B.2)."""


def made_up_uid(seed: int, *names: object) -> str:
    """A UID ``2.25.<128-bit number>`` (DICOM PS3.5 B.2) that depends on the seed and the names only."""
    text = "\0".join(map(str, ("rrg phantom", seed, *names)))
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A patient that does not exist."""

    id: str
    name: str
    birth_date: str
    sex: Literal["F", "M"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyHeader:
    """What all images of a study share."""

    person: Person
    uid: str
    id: str
    accession: str
    date: str
    """YYYYMMDD."""
    time: str
    modality: Literal["CT", "MR"]
    description: str
    frame_of_reference: str
    position: Literal["HFS", "FFS"]
    body_part: str
    contrast: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesHeader:
    """What all images of a series share, and where they lie."""

    uid: str
    number: int
    description: str
    image_type: tuple[str, ...]
    weighting: Literal["CT", "T2", "T1"]
    grid: Grid
    """Slices in order of the slice normal."""
    thickness_mm: float
    instance_numbers: tuple[int, ...]
    """Instance Number of each slice of the grid."""
    sop_uids: tuple[str, ...]
    signed: bool = False
    """CT only: two's complement with intercept 0, else unsigned with intercept -1024."""


def _decimal(values: Sequence[float] | Array) -> list[str]:
    """Numbers as DS of at most 16 characters."""
    return [f"{float(value) + 0.0:.6f}".rstrip("0").rstrip(".") or "0" for value in values]


def geometry(grid: Grid, index: int) -> tuple[list[str], list[str], list[str]]:
    """(Image Position, Image Orientation, Pixel Spacing) of one slice, as text."""
    along_column, along_row = grid.affine[:3, 1], grid.affine[:3, 2]
    spacing = [float(np.linalg.norm(along_column)), float(np.linalg.norm(along_row))]
    corner = grid.affine[:3, 3] + index * grid.affine[:3, 0]
    orientation = np.concatenate([along_row / spacing[1], along_column / spacing[0]])
    cosines = [f"{value + 0.0:.12f}".rstrip("0").rstrip(".") or "0" for value in orientation]
    return _decimal(corner), cosines, _decimal(spacing)


def _study_attributes(study: StudyHeader) -> Dataset:
    head = Dataset()
    head.SpecificCharacterSet = "ISO_IR 100"
    head.StudyDate = head.SeriesDate = head.AcquisitionDate = head.ContentDate = study.date
    head.StudyTime = head.SeriesTime = head.AcquisitionTime = head.ContentTime = study.time
    head.AccessionNumber = study.accession
    head.Modality = study.modality
    head.Manufacturer = "rrg phantom (no scanner)"
    head.ReferringPhysicianName = ""
    head.StudyDescription = study.description
    head.PatientName, head.PatientID = study.person.name, study.person.id
    head.PatientBirthDate, head.PatientSex = study.person.birth_date, study.person.sex
    head.PatientComments = "Made-up phantom, not a person"
    head.BodyPartExamined = study.body_part
    head.PatientPosition = study.position
    head.StudyInstanceUID, head.StudyID = study.uid, study.id
    head.FrameOfReferenceUID = study.frame_of_reference
    head.PositionReferenceIndicator = ""
    head.PatientOrientation = None
    if study.contrast:
        head.ContrastBolusAgent = "Phantom contrast agent"
        head.ContrastBolusRoute = "IV"
    return head


def _series_attributes(head: Dataset, study: StudyHeader, series: SeriesHeader) -> None:
    head.ImageType = list(series.image_type)
    head.SeriesInstanceUID, head.SeriesNumber = series.uid, series.number
    head.SeriesDescription = head.ProtocolName = series.description
    head.AcquisitionNumber = 1
    head.BurnedInAnnotation = "NO"
    head.SliceThickness = f"{series.thickness_mm:g}"
    head.SamplesPerPixel, head.PhotometricInterpretation = 1, "MONOCHROME2"
    head.Rows, head.Columns = series.grid.shape[1:]
    head.BitsAllocated = 16
    if study.modality == "CT":
        head.SOPClassUID = CTImageStorage
        head.BitsStored, head.HighBit, head.PixelRepresentation = (16, 15, 1) if series.signed else (12, 11, 0)
        head.RescaleIntercept, head.RescaleSlope, head.RescaleType = "0" if series.signed else "-1024", "1", "HU"
        head.KVP = "120"
        head.ConvolutionKernel = "PHANTOM"
        head.WindowCenter, head.WindowWidth = "40", "400"
    else:
        head.SOPClassUID = MRImageStorage
        head.BitsStored, head.HighBit, head.PixelRepresentation = 12, 11, 0
        head.ScanningSequence, head.SequenceVariant = ("SE", "SK") if series.weighting == "T2" else ("GR", "SP")
        head.ScanOptions = "FS" if series.weighting == "T2" else ""
        head.MRAcquisitionType = "2D"
        head.RepetitionTime, head.EchoTime = ("2400", "90") if series.weighting == "T2" else ("150", "4.6")
        head.EchoTrainLength = 18 if series.weighting == "T2" else 1
        head.MagneticFieldStrength = "1.5"


def _compressed(dataset: Dataset, stored: NDArray[np.uint16] | NDArray[np.int16], syntax: TransferSyntax) -> None:
    if syntax == "raw":
        little = stored.astype(stored.dtype.newbyteorder("<"), copy=False)
        dataset.PixelData = little.tobytes()
        dataset["PixelData"].VR = "OW"
        return
    dataset.compress(SYNTAX[syntax], stored, encoding_plugin="pylibjpeg", generate_instance_uid=False)


def series_files(
    study: StudyHeader, series: SeriesHeader, values: NDArray[np.int16], syntax: TransferSyntax
) -> Iterator[tuple[str, bytes]]:
    """(file name, bytes) of each slice of `values` (slices, rows, columns): HU for CT, signal for MR."""
    head = _study_attributes(study)
    _series_attributes(head, study, series)
    for index, pixels in enumerate(values):
        dataset = Dataset()
        dataset.update(head)
        dataset.SOPInstanceUID = series.sop_uids[index]
        number = series.instance_numbers[index]
        dataset.InstanceNumber = number
        position, orientation, spacing = geometry(series.grid, index)
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = position, orientation
        dataset.PixelSpacing = spacing
        normal = np.cross(np.array(orientation[:3], float), np.array(orientation[3:], float))
        dataset.SliceLocation = _decimal([float(normal @ np.array(position, float))])[0]
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = head.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
        meta.ImplementationVersionName = "RRG_PHANTOM"
        dataset.file_meta = meta
        signed = study.modality == "CT" and series.signed
        offset = 1024 if study.modality == "CT" and not signed else 0
        stored = pixels if signed else (pixels + np.int16(offset)).astype(np.uint16)
        _compressed(dataset, stored, syntax)
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
        yield f"IM{number:04d}.dcm", buffer.getvalue()


def nifti_bytes(labels: NDArray[np.uint8], grid: Grid) -> bytes:
    """A gzipped NIfTI-1 file of (slices, rows, columns) labels on `grid`; the same bytes for the same labels.

    The array of the file is (column, row, slice) and its affine goes to RAS mm, as NIfTI has it.
    """
    import nibabel

    nifti: Any = nibabel
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine[:, [2, 1, 0, 3]]
    image = nifti.Nifti1Image(np.ascontiguousarray(labels.transpose(2, 1, 0)), affine, dtype=np.uint8)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), compresslevel=4, mtime=0)
