"""Headers of a stack -> the records that describe it, in closed words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from rrg import store
from rrg.burned_in import likely_burned_in
from rrg.dicom import Header
from rrg.geometry import plane_of
from rrg.keys import Dates, date_fields, pseudonym, sop_instance_id
from rrg.pixels import is_hu, lossy_ratio, rescale_of
from rrg.records import Series, Slice
from rrg.series_choice import acquisition_of, reach_of
from rrg.series_rules import Decision, StackFacts
from rrg.stacks import Stack, layout_of, series_value, study_value

UID = re.compile(r"[0-9.]{1,64}")
MODALITIES = frozenset({"CT", "MR", "PT", "CR", "DX", "US"})
BODY_PARTS = frozenset(
    re.findall(
        "[A-Z]+",
        """
    ABDOMEN ABDOMENPELVIS ANKLE AORTA ARM BLADDER BRAIN BREAST CALF CERVIX CHEST CHESTABDOMEN CHESTABDPELVIS CLAVICLE
    COLON CSPINE CTSPINE EAR ELBOW ESOPHAGUS EXTREMITY EYE FEMUR FINGER FOOT FOREARM HAND HEAD HEADNECK HEART HIP JAW
    KIDNEY KNEE LEG LIVER LSPINE LSSPINE LUNG MEDIASTINUM NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV ORBIT
    OVARY PANCREAS PAROTID PELVIS PROSTATE RECTUM SCAPULA SHOULDER SINUS SKULL SPINE SPLEEN SSPINE STERNUM STOMACH
    TESTIS THIGH THYROID TLSPINE TOE TSPINE UTERUS WHOLEBODY WRIST
    """,
    )
)
"""Body Part Examined we pass on (DICOM PS3.16, Annex L, the terms of CT and MR); other text might name a person."""


class Found(NamedTuple):
    """A stack of a study."""

    id: str
    """Keyed hash: the id of its series."""
    stack: Stack


def slice_id(key: bytes, header: Header) -> str:
    """Keyed hash of the UIDs of series and object (and the frame number); of the file's name where there is no UID.

    An object that was copied into another series and kept its UID is another slice. Where UIDs do not tell series of
    the world apart (another study uses the same one, one of the three is missing or no UID), the study counts too.
    """
    value = f"{series_value(header)}/{header.sop or f'file {header.name}'}"
    if header.shared or not (header.study and header.series and UID.fullmatch(header.sop)):
        value = f"{value}@{study_value(header)}"
    return pseudonym(key, "slice", value if header.frame is None else f"{value}#{header.frame}")


@dataclass(frozen=True)
class Described:
    """A stack that was read, and what its records share."""

    found: Found
    headers: Sequence[Header]
    """In order; those of the stack, or moved ones where it was resampled."""
    key: bytes
    patient: str
    study: str
    patient_id: str
    """The original, behind the shift of dates."""
    dates: Dates
    flags: frozenset[str] = frozenset()
    """Of what was done to the pixels."""

    def series(self, decision: Decision, reason: str) -> Series:
        """The record of the series."""
        first = self.headers[0]
        layout, labels = layout_of(self.headers), first.labels
        return Series(
            id=self.found.id,
            patient=self.patient,
            study=self.study,
            accession=_accession(self.key, first),
            series_number=first.series_number,
            count=len(self.headers),
            rows=first.rows,
            columns=first.columns,
            modality=modality(first),
            role=self.found.stack.role,
            plane=_plane(first),
            body_part=body_part(first.body_part),
            contrast=contrast(first.contrast_agent),
            contrast_phase=labels.contrast_phase,
            kernel=labels.kernel,
            sequence=labels.sequence,
            thickness_mm=labels.thickness_mm,
            slice_spacing_mm=layout.spacing_mm,
            taken=decision.taken,
            reason=reason,
            flags=tuple(sorted({*layout.flags, *self.flags})),
        )

    def slices(self, places: Sequence[int], hashes: Sequence[str], dtype: "np.dtype[Any]") -> Iterator[Slice]:
        """The record of each slice at `places`; `hashes` in the same order."""
        layout, stack = layout_of(self.headers), self.found.stack
        unit: Literal["HU", "stored"] = "HU" if all(map(is_hu, self.headers)) else "stored"
        number = acquisition_of(self.headers)
        acquisition = int(number) if number is not None and number.is_integer() else None
        for place, sha256 in zip(places, hashes, strict=True):
            header = self.headers[place]
            labels = header.labels
            slope, intercept = rescale_of(header)
            yield Slice(
                id=slice_id(self.key, header),
                patient=self.patient,
                study=self.study,
                series=self.found.id,
                accession=_accession(self.key, header),
                site=_site(self.key, header),
                sop_instance=sop_instance_id(self.key, header.sop, header.frame),
                index=place,
                count=len(self.headers),
                series_number=header.series_number,
                instance_number=header.instance_number,
                frame=header.frame,
                frame_of_reference=_frame_of_reference(self.key, header),
                acquisition=acquisition,
                **date_fields(self.key, self.patient_id, header.study_date or "", self.dates),
                pixels=store.reference(f"series/{self.found.id}", place),
                sha256=sha256,
                rows=header.rows,
                columns=header.columns,
                dtype=cast(Literal["int16", "uint16", "float32"], dtype.name),
                unit=unit,
                modality=modality(header),
                body_part=body_part(header.body_part),
                contrast=contrast(header.contrast_agent),
                plane=_plane(header),
                role=stack.role,
                time_index=stack.time_index,
                thickness_mm=labels.thickness_mm,
                kernel=labels.kernel,  # type: ignore[arg-type]
                contrast_phase=labels.contrast_phase,  # type: ignore[arg-type]
                sequence=labels.sequence,  # type: ignore[arg-type]
                fat_suppressed=labels.fat_suppressed,
                scanner=labels.scanner,
                field_strength_t=labels.field_strength_t,
                sex=labels.sex,  # type: ignore[arg-type]
                age_band=labels.age_band,  # type: ignore[arg-type]
                spacing_mm=header.spacing,
                slice_spacing_mm=layout.spacing_mm,
                position_mm=header.position,
                orientation=header.orientation,
                gaps_mm=layout.gaps_mm,
                tilt_degrees=layout.tilt_degrees,
                padding=None if header.padding is None else header.padding * slope + intercept,
                window=header.window,
                window_function=header.window_function if header.window else None,  # type: ignore[arg-type]
                lossy_ratio=lossy_ratio(header),
                flags=tuple(sorted({*layout.flags, *own_flags(header), *self.flags})),
            )


def _accession(key: bytes, header: Header) -> str | None:
    return pseudonym(key, "accession", header.accession) if header.accession else None


def _site(key: bytes, header: Header) -> str | None:
    """Spelling apart, one institution is one site."""
    words = " ".join((header.institution or "").split()).casefold()
    return pseudonym(key, "site", words) if words else None


def _frame_of_reference(key: bytes, header: Header) -> str | None:
    return pseudonym(key, "frame-of-reference", header.frame_of_reference) if header.frame_of_reference else None


def _plane(header: Header) -> Literal["axial", "coronal", "sagittal", "oblique"] | None:
    return plane_of(header.orientation) if header.orientation else None


def facts_of(found: Found) -> StackFacts:
    """What rules may look at."""
    first, layout = found.stack.headers[0], layout_of(found.stack.headers)
    return StackFacts(
        id=found.id,
        role=found.stack.role,
        modality=modality(first),
        plane=plane_of(first.orientation) if first.orientation else None,
        body_part=body_part(first.body_part),
        contrast=contrast(first.contrast_agent),
        slices=len(found.stack.headers),
        slice_spacing_mm=layout.spacing_mm,
        labels=first.labels,
        frame_of_reference=first.frame_of_reference,
        series_number=first.series_number,
        reach_mm=reach_of(found.stack.headers),
        acquisition=acquisition_of(found.stack.headers),
        flags=tuple(sorted({*layout.flags, *(flag for each in found.stack.headers for flag in own_flags(each))})),
    )


def modality(header: Header) -> str:
    """Modality from the closed list; ``OT`` for anything else."""
    return header.modality if header.modality in MODALITIES else "OT"


def own_flags(header: Header) -> Iterator[str]:
    """Flags of one image: what is doubtful about it but does not hinder its use."""
    yield from header.flags
    if header.lossy:
        yield "lossy"
    if likely_burned_in(header):
        yield "burned_in"
    if header.photometric == "MONOCHROME1":
        yield "monochrome1"
    if not (header.study and header.series and header.sop):
        yield "no_uid"


def body_part(text: str | None) -> str | None:
    """Body Part Examined from the closed list; None for anything else."""
    word = re.sub(r"[^A-Z]", "", (text or "").upper())
    return word if word in BODY_PARTS else None


def contrast(agent: str | None) -> bool | None:
    """True when an agent is named, False when the field says none, None when it says nothing."""
    if agent is None:
        return None
    return agent.strip().upper() not in ("NONE", "NO", "N", "KEIN", "KEINE", "OHNE", "WITHOUT")
