"""Marks of a series -> one DICOM Segmentation: a segment per structure, a frame per slice of the source series.

Empty frames are kept, because some viewers show the others shifted without them; ``compact`` leaves them out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rrg.errors import RecordError
from rrg.outputs.dicom_common import (
    ABNORMAL,
    ANATOMY,
    LESIONS,
    MANUFACTURER,
    Maker,
    Origin,
    code,
    equipment,
    laterality,
    stamp,
    structure_code,
    uid,
)  # fmt: skip
from rrg.outputs.marks import Mark, Structure, filled, structures_of
from rrg.provenance import rrg_version

MOST_BYTES = 1 << 30
"""Of the array of all frames and segments; beyond it empty frames are left out."""
SERIES_NUMBER = 9001
DESCRIPTION = "AI boxes and masks, research only"


def segmentation(
    origin: Origin, marks: Sequence[Mark], places: Mapping[str, int], maker: Maker, *, store: Path | None, compact: bool
) -> Any:
    """The SEG object. `places`: id of a slice -> its place in the stack. RecordError: not with these headers."""
    from highdicom.seg import Segmentation, SegmentationTypeValues

    structures = structures_of(marks)
    first = origin.headers[0]
    count, rows, columns = _frames(origin), first.rows, first.columns
    compact = compact or count * rows * columns * len(structures) > MOST_BYTES
    kept = sorted({places[mark.slice] for mark in marks}) if compact else list(range(len(origin.headers)))
    if origin.multi_frame:
        sources = [origin.datasets[0]]
        row_of = {place: (origin.headers[place].frame or 1) - 1 for place in range(len(origin.headers))}
    else:
        sources = [origin.datasets[place] for place in kept]
        row_of = {place: row for row, place in enumerate(kept)}
        count = len(kept)
    pixels = np.zeros((count, rows, columns, len(structures)), np.uint8)
    segment = {each.key: number for number, each in enumerate(structures)}
    for mark in marks:
        target = pixels[row_of[places[mark.slice]], :, :, segment[mark.structure.key]]
        target |= filled(mark, rows, columns, store).astype(np.uint8)
    base = ("seg", str(sources[0].SeriesInstanceUID), maker.weights, maker.moment.isoformat())
    try:
        made = Segmentation(
            source_images=sources,
            pixel_array=pixels,
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(n, each, maker) for n, each in enumerate(structures, 1)],
            series_instance_uid=uid(*base, "series"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=uid(*base, "instance"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name="rrg infer",
            software_versions=rrg_version(),
            device_serial_number=maker.weights,
            content_label="AI_RESEARCH",
            content_description=DESCRIPTION,
            omit_empty_frames=compact,
            contributing_equipment=[equipment(maker)],
        )
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        raise RecordError("E_GEOMETRY", f"--dicom: the source headers allow no SEG: {_line(error)}") from None
    stamp(made, maker, DESCRIPTION)
    return made


def _frames(origin: Origin) -> int:
    return int(origin.datasets[0].NumberOfFrames) if origin.multi_frame else len(origin.headers)


def _description(number: int, structure: Structure, maker: Maker) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes

    made = SegmentDescription(
        segment_number=number,
        segment_label=structure.name[:64],
        segmented_property_category=code(ABNORMAL if structure.key in LESIONS else ANATOMY),
        segmented_property_type=code(structure_code(structure)),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name="rrg infer",
            family=codes.DCM.ArtificialIntelligence,
            version=rrg_version(),
            parameters={"weights": maker.weights},
        ),
        tracking_uid=tracking_uid(structure, maker),
        tracking_id=structure.key[:64],
    )
    if (side := laterality(structure)) is not None:
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [code(side)]
    return made


def tracking_uid(structure: Structure, maker: Maker) -> str:
    """The same in SEG and SR of one run."""
    return uid("tracking", structure.key, maker.weights, maker.moment.isoformat())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
