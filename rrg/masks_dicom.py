"""DICOM SEG objects: their frames placed on the slices of the series that they refer to (PS3.3 A.51, C.8.20)."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rrg.anatomy import LABELS
from rrg.errors import RecordError
from rrg.keys import pseudonym, sop_instance_id
from rrg.masks import Labelled, Labels, label_name, stacked
from rrg.masks_grid import SAME_POINT_MM, Grid
from rrg.provenance import sha256_file
from rrg.records import Slice

if TYPE_CHECKING:
    from pydicom import Dataset
SEGMENTATION_STORAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""


def is_segmentation(path: Path) -> bool:
    """True for a DICOM SEG object."""
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    except (pydicom.errors.InvalidDicomError, AttributeError, EOFError, OSError, ValueError, zlib.error):
        return False
    return header.get("SOPClassUID") in SEGMENTATION_STORAGE


def referenced_series(path: Path) -> str | None:
    """Series Instance UID that a SEG refers to; None where it names its source images only."""
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["ReferencedSeriesSequence"])
        return str(header.ReferencedSeriesSequence[0].SeriesInstanceUID)
    except (AttributeError, IndexError):
        return None


def draw_frames(
    path: Path, slices: Sequence[Slice], grid: Grid | RecordError, key: bytes, labels: Mapping[int, str | None] | None
) -> Labelled | None:
    """Segments on the slices of one series; None when the object names source images and none of them is here.

    Names come from `labels` (by segment number), else from Segment Label. Frames are placed by their position in the
    patient, or, where they have none, on the image that they were derived from. Fractional segmentations count from one
    half on. Raises RecordError: E_GRID for another frame of reference, a frame that lies on no slice, or on other
    pixels; E_MALFORMED for objects that lack what the standard demands.
    """
    import pydicom

    try:
        data = pydicom.dcmread(path)
        _same_frame_of_reference(data, slices[0], key)
        return _drawn(data, slices, grid, key, labels, sha256_file(path))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise RecordError(
            "E_MALFORMED", f"segmentation can not be read ({type(error).__name__}); check it with dciodvfy"
        ) from None


def _same_frame_of_reference(data: "Dataset", first: Slice, key: bytes) -> None:
    named = data.get("FrameOfReferenceUID")
    if (
        named
        and first.frame_of_reference
        and pseudonym(key, "frame-of-reference", str(named)) != (first.frame_of_reference)
    ):
        raise RecordError(
            "E_GRID",
            "segmentation has another frame of reference than its series: the same millimetres are other places; "
            "register it first, or give the segmentation of this series",
        )


def _drawn(
    data: "Dataset",
    slices: Sequence[Slice],
    grid: Grid | RecordError,
    key: bytes,
    labels: Mapping[int, str | None] | None,
    sha256: str,
) -> Labelled | None:
    from pydicom.pixels.utils import iter_pixels

    numbers = {int(item.SegmentNumber): str(item.SegmentLabel) for item in data.SegmentSequence}
    ours = {number: _name(number, label, labels) for number, label in numbers.items()}
    known = {number: LABELS[name].class_id for number, name in ours.items() if name}
    half = int(data.get("MaximumFractionalValue", 1)) / 2
    kind = str(data.get("SegmentationType", "BINARY"))
    first = slices[0]
    layers: list[Labels] = [np.zeros((first.count, first.rows, first.columns), np.uint8)]
    touched = False
    for item, pixels in zip(data.PerFrameFunctionalGroupsSequence, iter_pixels(data), strict=True):
        if (at := _place(item, data, slices, grid, key)) is None:
            continue
        touched = True
        if kind == "LABELMAP":
            for number, class_id in known.items():
                _put(layers, at, pixels == number, class_id)
        elif class_id := known.get(_segment(item, data), 0):
            _put(layers, at, pixels >= half if kind == "FRACTIONAL" else pixels > 0, class_id)
    if not touched:
        return None
    unknown = sum(
        1 for number in numbers if number and ours[number] is None and (labels is None or number not in labels)
    )
    return Labelled(
        volume=stacked(layers),
        looked_for=tuple({name for name in ours.values() if name}),
        counts=Counter({"label.unknown": unknown} if unknown else {}),
        flags=(),
        fingerprint=sha256,
    )


def _segment(item: "Dataset", data: "Dataset") -> int:
    return int(_group(item, data, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _place(
    item: "Dataset", data: "Dataset", slices: Sequence[Slice], grid: Grid | RecordError, key: bytes
) -> int | None:
    """Index of the slice that a frame lies on; None when it was derived from an image of another series."""
    if _has(item, data, "PlanePositionSequence"):
        if isinstance(grid, RecordError):
            raise grid
        return _slice_of(item, data, grid)
    source = _group(item, data, "DerivationImageSequence").SourceImageSequence[0]
    first, frame = slices[0], source.get("ReferencedFrameNumber")
    number = int(frame[0] if isinstance(frame, Sequence) else frame) if frame else None
    uid = str(source.ReferencedSOPInstanceUID)
    named = {sop_instance_id(key, uid, number), sop_instance_id(key, uid)}
    at = next((slice_.index for slice_ in slices if slice_.sop_instance in named), None)
    if at is not None and (data.Rows, data.Columns) != (first.rows, first.columns):
        raise RecordError(
            "E_GRID",
            f"segmentation frame of {data.Columns} x {data.Rows} pixels, its image has {first.columns} x {first.rows}; "
            "give the segmentation of this series",
        )
    return at


def _has(item: "Dataset", data: "Dataset", name: str) -> bool:
    return name in item or name in data.get("SharedFunctionalGroupsSequence", [{}])[0]


def _name(number: int, label: str, labels: Mapping[int, str | None] | None) -> str | None:
    return label_name(label) if labels is None else labels.get(number)


def _put(layers: list[Labels], at: int, inside: Any, class_id: int) -> None:
    """Write one segment of one slice into the first layer where its pixels are free."""
    for layer in layers:
        if not np.any(inside & (layer[at] != 0) & (layer[at] != class_id)):
            layer[at][inside] = class_id
            return
    layers.append(np.zeros_like(layers[0]))
    layers[-1][at][inside] = class_id


def _group(item: "Dataset", data: "Dataset", name: str) -> "Dataset":
    """A functional group of one frame, else the one that all frames share."""
    for place in (item, data.SharedFunctionalGroupsSequence[0]):
        if name in place:
            group: Dataset = place[name].value[0]
            return group
    raise RecordError("E_GEOMETRY", f"segmentation has no {name}; its frames have no place in the patient")


def _slice_of(item: "Dataset", data: "Dataset", grid: Grid) -> int:
    """Index of the slice whose pixels are those of a frame, to 0.01 mm."""
    position = np.asarray(_group(item, data, "PlanePositionSequence").ImagePositionPatient, float)
    turned = np.asarray(_group(item, data, "PlaneOrientationSequence").ImageOrientationPatient, float)
    spacing = np.asarray(_group(item, data, "PixelMeasuresSequence").PixelSpacing, float)
    rows, columns = int(data.Rows), int(data.Columns)
    index = int(np.rint(np.linalg.inv(grid.affine) @ [*position, 1.0])[0])
    corners = np.array([[0, 0], [rows - 1, 0], [0, columns - 1], [rows - 1, columns - 1]], float)
    frame = (
        position + np.outer(corners[:, 0] * spacing[0], turned[3:]) + np.outer(corners[:, 1] * spacing[1], turned[:3])
    )
    ours = np.column_stack([np.full(4, float(index)), corners]) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    apart = float(np.linalg.norm(frame - ours, axis=1).max())
    if (rows, columns) != grid.shape[1:] or not 0 <= index < grid.shape[0] or apart > SAME_POINT_MM:
        raise RecordError(
            "E_GRID",
            f"segmentation frame of {columns} x {rows} pixels lies on no slice of its series, {grid} "
            f"({apart:.2f} mm apart); give the segmentation of this series",
        )
    return index
