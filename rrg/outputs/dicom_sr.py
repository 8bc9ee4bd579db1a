"""Answers about a study -> one DICOM Structured Report (TID 1500): a measurement group (TID 1410) for each box.

A box is a closed polyline of five points in pixels of its image: corners of pixels are whole numbers, as in our boxes
(DICOM PS3.3 C.18.6.1.2). The report is preliminary, unverified and says so.
"""

from collections.abc import Mapping, Sequence
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
from rrg.outputs.dicom_seg import tracking_uid
from rrg.outputs.marks import Mark
from rrg.provenance import rrg_version
from rrg.records import Box

SERIES_NUMBER = 9002
DESCRIPTION = "AI draft, research only"
COMMENT = ("121106", "DCM", "Comment")
PROCEDURES = {
    "CT": ("25045-6", "LN", "CT unspecified body region"),
    "MR": ("25056-3", "LN", "MRI unspecified body region"),
    "other": ("18748-4", "LN", "Diagnostic imaging study"),
}
"""What was reported on, by modality (CID 100)."""
LANGUAGES = {"de": ("de-DE", "RFC5646", "German (Germany)"), "en": ("en-US", "RFC5646", "English (United States)")}


def report(
    origins: Mapping[str, Origin],
    marks: Sequence[Mark],
    places: Mapping[str, tuple[str, int]],
    texts: Sequence[str],
    maker: Maker,
) -> Any:
    """The SR object. `origins` by series id; `places`: slice id -> (series id, place); `texts` stand on top."""
    from highdicom.sr import (
        Comprehensive3DSR,
        DeviceObserverIdentifyingAttributes,
        LanguageOfContentItemAndDescendants,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes

    evidence = _evidence(origins, marks, places)
    base = ("sr", str(evidence[0].StudyInstanceUID), maker.weights, maker.moment.isoformat())
    device = DeviceObserverIdentifyingAttributes(
        uid=uid("device", maker.weights), name="rrg infer", manufacturer_name=MANUFACTURER, model_name=rrg_version()
    )
    procedure = code(PROCEDURES.get(evidence[0].Modality, PROCEDURES["other"]))
    try:
        content = MeasurementReport(
            observation_context=ObservationContext(
                observer_device_context=ObserverContext(
                    observer_type=codes.DCM.Device, observer_identifying_attributes=device
                )
            ),
            procedure_reported=procedure,
            imaging_measurements=[_group(each, origins, places, maker) for each in marks],
            title=codes.DCM.ImagingMeasurementReport,
            language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(code(LANGUAGES[maker.lang])),
        )
        for text in (maker.notice, *texts):
            _comment(content[0], text)
        made = Comprehensive3DSR(
            evidence=evidence,
            content=content[0],
            series_instance_uid=uid(*base, "series"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=uid(*base, "instance"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=False,
            is_final=False,
            is_verified=False,
            contributing_equipment=[equipment(maker)],
        )
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        raise RecordError(
            "E_MALFORMED", f"--dicom: the source headers allow no SR: {' '.join(str(error).split())[:200]}"
        ) from None
    stamp(made, maker, DESCRIPTION)
    return made


def closed(box: Box) -> Any:
    """(5, 2) float (column, row): the corners of a box, clockwise from the top left, and the first one again."""
    x0, y0, x1, y1 = box.xyxy
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], np.float64)


def _evidence(origins: Mapping[str, Origin], marks: Sequence[Mark], places: Mapping[str, tuple[str, int]]) -> list[Any]:
    """The objects that boxes point at; of a report without boxes the first of each series."""
    used = {id(d): d for mark in marks for d in [_source(mark.slice, origins, places)[0]]}
    return list(used.values()) or [origin.datasets[0] for origin in origins.values()]


def _source(
    slice_: str, origins: Mapping[str, Origin], places: Mapping[str, tuple[str, int]]
) -> tuple[Any, int | None]:
    series, place = places[slice_]
    origin = origins[series]
    return (origin.datasets[0], origin.headers[place].frame) if origin.multi_frame else (origin.datasets[place], None)


def _group(mark: Mark, origins: Mapping[str, Origin], places: Mapping[str, tuple[str, int]], maker: Maker) -> Any:
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        ImageRegion,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        SourceImageForRegion,
        TrackingIdentifier,
    )  # fmt: skip

    dataset, frame = _source(mark.slice, origins, places)
    structure = mark.structure
    side = laterality(structure)
    lesion = structure.key in LESIONS
    concept = code(structure_code(structure))
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=tracking_uid(structure, maker), identifier=structure.name[:64]),
        referenced_region=ImageRegion(
            graphic_type="POLYLINE",
            graphic_data=closed(mark.box),
            source_image=SourceImageForRegion(
                dataset.SOPClassUID, dataset.SOPInstanceUID, None if frame is None else [frame]
            ),
        ),
        finding_category=code(ABNORMAL if lesion else ANATOMY),
        finding_type=concept,
        finding_sites=None if lesion else [FindingSite(concept, laterality=code(side) if side else None)],
        algorithm_id=AlgorithmIdentification(
            name="rrg infer", version=rrg_version(), parameters=[f"weights={maker.weights}"]
        ),
    )
    if mark.sentence:
        _comment(group[0], mark.sentence)
    return group


def _comment(item: Any, text: str) -> None:
    """A text below a container. TID 1500 and TID 1410 may be extended."""
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    item.ContentSequence.append(TextContentItem(code(COMMENT), text, RelationshipTypeValues.CONTAINS))
