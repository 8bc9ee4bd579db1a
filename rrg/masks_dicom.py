"""DICOM SEG objects: their frames placed on the slices of the series that they refer to (PS3.3 A.51, C.8.20)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rrg.anatomy import LABELS
from rrg.errors import RecordError
from rrg.masks import Labelled, Labels, label_name, stacked
from rrg.masks_grid import SAME_POINT_MM, Grid
from rrg.provenance import sha256_file
from rrg.records import Slice

if TYPE_CHECKING:
    from pydicom import Dataset
SEGMENTATION_STORAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""


def referenced_series(path: Path) -> str | None:
    """Series Instance UID that a SEG refers to; None for any other DICOM object."""
    import pydicom

    try:
        header = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=["SOPClassUID", "ReferencedSeriesSequence"]
        )
        if header.get("SOPClassUID") not in SEGMENTATION_STORAGE:
            return None
        return str(header.ReferencedSeriesSequence[0].SeriesInstanceUID)
    except (pydicom.errors.InvalidDicomError, AttributeError, IndexError, OSError):
        return None


def draw_frames(path: Path, slices: Sequence[Slice], grid: Grid, labels: Mapping[int, str | None] | None) -> Labelled:
    """Segments on the grid of one series. Names come from `labels` (by segment number), else from Segment Label.

    Frames are placed by their position in the patient; a frame that lies on no slice, or on other pixels, raises
    RecordError E_GRID. Fractional segmentations count from one half on.
    """
    import pydicom
    from pydicom.pixels.utils import iter_pixels

    data = pydicom.dcmread(path)
    numbers = {int(item.SegmentNumber): str(item.SegmentLabel) for item in data.SegmentSequence}
    ours = {number: _name(number, label, labels) for number, label in numbers.items()}
    known = {number: LABELS[name].class_id for number, name in ours.items() if name}
    half = int(data.get("MaximumFractionalValue", 1)) / 2
    kind = str(data.get("SegmentationType", "BINARY"))
    shape = grid.shape
    layers: list[Labels] = [np.zeros(shape, np.uint8)]
    for item, pixels in zip(data.PerFrameFunctionalGroupsSequence, iter_pixels(data), strict=True):
        at = _slice_of(item, data, grid)
        if kind == "LABELMAP":
            for number, class_id in known.items():
                _put(layers, at, pixels == number, class_id)
        elif class_id := known.get(int(item.SegmentIdentificationSequence[0].ReferencedSegmentNumber), 0):
            _put(layers, at, pixels >= half if kind == "FRACTIONAL" else pixels > 0, class_id)
    unknown = sum(
        1 for number in numbers if number and ours[number] is None and (labels is None or number not in labels)
    )
    return Labelled(
        volume=stacked(layers),
        looked_for=tuple({name for name in ours.values() if name}),
        counts=Counter({"label.unknown": unknown} if unknown else {}),
        flags=(),
        fingerprint=sha256_file(path),
    )


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
