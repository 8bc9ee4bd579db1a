"""DICOM files made by hand for tests: every header value is the caller's."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

ROOT = "1.2.826.0.1.3680043.8.498"


def gradient(number: int = 0, rows: int = 6, columns: int = 8) -> NDArray[np.uint16]:
    """Stored values that differ at every pixel and slice."""
    return (np.arange(rows * columns).reshape(rows, columns) * 3 + 100 * number).astype(np.uint16)


def image(number: int = 1, *, pixels: NDArray[Any] | None = None, **tags: Any) -> Dataset:
    """A CT slice; `tags` set (or, with None, remove) elements by keyword."""
    values = gradient(number) if pixels is None else pixels
    made = Dataset()
    made.SOPClassUID = CTImageStorage
    made.SOPInstanceUID = f"{ROOT}.1.{number}"
    made.StudyInstanceUID, made.SeriesInstanceUID = f"{ROOT}.2", f"{ROOT}.3"
    made.FrameOfReferenceUID = f"{ROOT}.4"
    made.PatientID, made.PatientName, made.PatientBirthDate = "P-4711", "Mustermann^Erika", "19500101"
    made.AccessionNumber, made.StudyDate, made.Modality = "A-0815", "20240229", "CT"
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.SeriesNumber, made.InstanceNumber = 3, number
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = values.shape[-2:]
    made.BitsAllocated = made.BitsStored = 8 * values.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(values.dtype.kind == "i")
    made.PixelSpacing, made.SliceThickness = [0.5, 0.8], 5
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.ImagePositionPatient = [-10, -20, 5.0 * number]
    made.RescaleSlope, made.RescaleIntercept = 1, -1024
    made.PixelData = values.tobytes()
    made["PixelData"].VR = "OW"
    for keyword, value in tags.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return made


def magnetic(number: int = 1, **tags: Any) -> Dataset:
    """An MR slice, without rescale."""
    base = {"SOPClassUID": MRImageStorage, "Modality": "MR", "RescaleSlope": None, "RescaleIntercept": None}
    return image(number, **{**base, **tags})


def enhanced(order: list[int], **tags: Any) -> Dataset:
    """An enhanced MR object whose frames lie at 2 mm times the numbers of `order`, with a slope of its own each."""
    pixels = np.stack([gradient(number) for number in order])
    made = image(
        1,
        pixels=pixels,
        SOPClassUID=EnhancedMRImageStorage,
        Modality="MR",
        NumberOfFrames=len(order),
        PixelSpacing=None,
        ImageOrientationPatient=None,
        ImagePositionPatient=None,
        RescaleSlope=None,
        RescaleIntercept=None,
        **tags,
    )
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.8]
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = []
    for number in order:
        frame, position, values = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, 2.0 * number]
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = number + 1, 10 * number, "US"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [position], [values]
        made.PerFrameFunctionalGroupsSequence.append(frame)
    return made


def save(made: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write with file meta and preamble."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax  # type: ignore[assignment]
    made.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, numbers: range = range(1, 5), **tags: Any) -> Path:
    """Slices of one CT series, file names in the reverse of their order in space."""
    for number in numbers:
        save(image(number, **tags), folder / f"{900 - number}")
    return folder
