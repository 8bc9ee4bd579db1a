"""Headers without files, for tests of what is decided from headers alone."""

from typing import Any

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from rrg.dicom import Header
from rrg.labels import Labels

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
LABELS = ("hints", "thickness_mm", "kernel", "sequence", "b_value", "contrast_phase", "fat_suppressed")
PHASE = (1.0, None, None, None, None)
"""Acquisition Number, Echo Time, Temporal Position, b-value, Trigger Time."""


def header(number: int = 1, *, z: float = 0.0, **values: Any) -> Header:
    """An axial CT slice at `z` mm; `values` replace fields of the header or of its labels."""
    labels = Labels(**{name: values.pop(name) for name in LABELS if name in values})
    told: dict[str, Any] = {
        "path": f"/nowhere/{number}",
        "name": str(number),
        "study": "1.2",
        "series": "1.3",
        "sop": f"1.4.{number}",
        "sop_class": CTImageStorage,
        "frame_of_reference": "1.5",
        "patient_id": "P",
        "accession": None,
        "institution": None,
        "study_date": None,
        "modality": "CT",
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "series_number": 3,
        "instance_number": number,
        "body_part": None,
        "contrast_agent": None,
        "phase": PHASE,
        "rows": 6,
        "columns": 8,
        "frames": 1,
        "samples": 1,
        "photometric": "MONOCHROME2",
        "bits_allocated": 16,
        "bits_stored": 16,
        "high_bit": 15,
        "signed": False,
        "spacing": (0.5, 0.8),
        "position": (-10.0, -20.0, z),
        "orientation": AXIAL,
        "slope": 1.0,
        "intercept": -1024.0,
        "rescale_type": None,
        "modality_lut": False,
        "tilt": 0.0,
        "burned_in": False,
        "lossy": False,
        "lossy_ratio": None,
        "padding": None,
        "window": None,
        "window_function": None,
        "labels": labels,
        "transfer_syntax": ExplicitVRLittleEndian,
        "size": 1000,
        "pixel_offset": 900,
        "pixel_length": 96,
    }
    return Header(**{**told, **values})


def volume(count: int, *, start: int = 0, gap_mm: float = 5.0, **values: Any) -> list[Header]:
    """`count` slices along their normal, `gap_mm` apart, from instance number `start` + 1."""
    orientation = values.get("orientation", AXIAL)
    row, column = orientation[:3], orientation[3:]
    normal = [row[i - 2] * column[i - 1] - row[i - 1] * column[i - 2] for i in range(3)]
    return [
        header(start + n + 1, **{"position": tuple(gap_mm * n * part for part in normal), **values})
        for n in range(count)
    ]
