"""One DICOM study -> series and slice records, pixels to the store. One series in memory at a time."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from rrg import private, store
from rrg.burned_in import likely_burned_in
from rrg.dicom import NIFTI, Header, frames_of
from rrg.errors import RecordError
from rrg.geometry import plane_of
from rrg.keys import Dates, date_fields, pseudonym
from rrg.pipe import Count, Made, error_record
from rrg.pixels import check_claim, check_size, is_hu, lossy_ratio, read_slices, rescale_of, same_image
from rrg.records import Error, Series, Slice
from rrg.resample import unsheared
from rrg.series_choice import acquisition_of, reach_of
from rrg.series_rules import Decision, Rules, StackFacts, choose
from rrg.stacks import Stack, StudyFiles, layout_of, series_of, stacks_of, without_duplicates

COMMAND = "extract-slices"
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


@dataclass(frozen=True)
class Settings:
    """What to make of a study."""

    key: bytes
    """Secret of the pseudonyms."""
    folder: Path | None
    """The store; None: no pixel is read, only series records are made."""
    max_bytes: int = 4 << 30
    """Largest stack that is decoded, in bytes of pixels."""
    rules: Rules | None = None
    """Which series are taken; None: all."""
    dates: Dates = "shift"
    resample: bool = False
    """Sheared stacks become orthogonal by shifting each slice in its plane."""
    modality: str | None = None
    """Of files that do not tell (NIfTI)."""
    phi: bool = False
    """Remember which identifying attributes the files held."""
    children: int = 1
    """Decoder processes that work side by side."""


class Found(NamedTuple):
    """A stack of a study."""

    id: str
    """Keyed hash: the id of its series."""
    stack: Stack


def slice_id(key: bytes, header: Header) -> str:
    """Keyed hash of the SOP Instance UID (and frame number); of the file's name where there is none."""
    value = header.sop or f"file {header.name}"
    return pseudonym(key, "sop", value if header.frame is None else f"{value}#{header.frame}")


def file_id(key: bytes, name: str) -> str:
    """``file/<keyed hash>`` of a file's name."""
    return f"file/{pseudonym(key, 'file', name)}"


def extract_study(
    files: StudyFiles, settings: Settings, wanted: Collection[str] | None = None, context: int = 0
) -> Iterator[Made]:
    """Series and slice records of a study; every file gives slices or one error record.

    With `wanted` (slice ids) only these slices and `context` neighbours on each side are read; a wanted slice that is
    not there is an E_REFERENCE.
    """
    return _Study(files, settings, None if wanted is None else frozenset(wanted), context).extract()


class _Study:
    """One study on its way into the store; gathers what goes to the private map."""

    def __init__(self, files: StudyFiles, settings: Settings, wanted: frozenset[str] | None, context: int) -> None:
        self.files, self.settings, self.wanted, self.context = files, settings, wanted, context
        self.key = settings.key
        self.id = pseudonym(self.key, "study", files.uid)
        self.patient = pseudonym(self.key, "patient", files.patient_id)
        self.series: private.Entries = {}
        self.rejected: dict[str, str] = {}
        self.left = set(wanted or ())

    def extract(self) -> Iterator[Made]:
        """All records."""
        if self.wanted is None:
            yield Count("file", len(self.files.headers))
        if self.files.problem is not None:
            error = RecordError(self.files.problem.code, self.files.problem.message)
            for header in self.files.headers:
                yield from self._reject(header, error)
        else:
            found: list[Found] = []
            yield from self._find(found)
            facts = [_facts(each) for each in found]
            for each, decision in zip(found, choose(facts, self.settings.rules), strict=True):
                yield from self._stack(each, decision)
        for slice_ in sorted(self.left):
            message = "a report points at this slice, and no usable file holds it; index the files again"
            yield error_record(RecordError("E_REFERENCE", message), COMMAND, slice_, study=self.id)
        if self.settings.folder is not None:
            phi = self._phi() if self.settings.phi else None
            uid = next((header.study for header in self.files.headers), None)
            private.remember_study(
                self.settings.folder, self.id, uid, self.series, self.rejected, phi, patient=self.patient
            )

    def _phi(self) -> Mapping[str, Any]:
        from rrg.phi import facts_of_files  # a whole header at a time, with pydicom

        return facts_of_files(sorted({header.path for header in self.files.headers}))

    def _find(self, found: list[Found]) -> Iterator[Made]:
        """Fill `found` with the stacks of the study, in a stable order; yields errors of files that can not join."""
        first, again = without_duplicates(self.files.headers)
        kept = {header.sop: header for header in first}
        for header in again:
            if not self._is_wanted(header):
                continue
            if same_image(header, kept[header.sop]):
                message = "the same image as another file of the study; the first by name is kept"
                yield from self._reject(header, RecordError("E_DUPLICATE", message))
            else:
                message = "another object of the study has the same SOP Instance UID; which one is right is not known"
                yield from self._reject(header, RecordError("E_MALFORMED", message))
        refused: list[tuple[Header, RecordError]] = []
        files = replace(self.files, headers=tuple(first))
        found += _stacks(files, self.key, self.settings.modality, self.settings.max_bytes, refused)
        for header, error in refused:
            yield from self._reject(header, error)

    def _is_wanted(self, header: Header) -> bool:
        """Whether a file matters: all do, unless only some slices are wanted."""
        if self.wanted is None:
            return True
        if not header.multi_frame or header.frame is not None:
            return slice_id(self.key, header) in self.wanted
        frames = (replace(header, frame=number) for number in range(1, header.frames + 1))
        return any(slice_id(self.key, frame) in self.wanted for frame in frames)

    def _places(self, stack: Stack) -> list[int]:
        """Which slices of a stack to read."""
        count = len(stack.headers)
        if self.wanted is None:
            return list(range(count))
        ids = [slice_id(self.key, header) for header in stack.headers]
        places: set[int] = set()
        for index, own in enumerate(ids):
            if own in self.wanted:
                places.update(range(max(index - self.context, 0), min(index + self.context + 1, count)))
                self.left.discard(own)
        return sorted(places)

    def _stack(self, found: Found, decision: Decision) -> Iterator[Made]:
        """Read, check, write and describe one stack. A slice that fails leaves its place empty."""
        places = self._places(found.stack)
        if not places:
            return
        if not decision.taken or self.settings.folder is None:
            yield self._series(found, decision, found.stack.headers, frozenset())
            return
        headers, array = found.stack.headers, f"series/{found.id}"
        folder, sparse = self.settings.folder, self.wanted is not None
        try:
            check_size([headers[place] for place in places], self.settings.max_bytes)
            dtype = store.dtype_of(folder, array) if sparse else None
            values, failed = read_slices(headers, places, dtype, children=self.settings.children)
        except RecordError as error:
            for place in places:
                yield from self._reject(headers[place], error)
            return
        for place, why in failed.items():
            yield from self._reject(headers[place], why)
        if len(failed) == len(places):
            return
        flags: frozenset[str] = frozenset()
        if self.settings.resample:
            values, headers, flags = unsheared(values, places, headers)
            for at, place in enumerate(places):
                if place in failed:
                    values[at] = 0  # not a slice of air
        hashes = store.write_array(folder, array, values, places if sparse else None, len(headers))
        yield self._series(found, decision, headers, flags)
        entry = private.series_entry(headers[0].series, headers[0].sop_class, headers[0].frame_of_reference)
        layout = layout_of(headers)
        unit: Literal["HU", "stored"] = "HU" if all(map(is_hu, headers)) else "stored"
        for at, place in enumerate(places):
            if place in failed:
                continue
            header = headers[place]
            labels = header.labels
            slope, intercept = rescale_of(header)
            made = Slice(
                id=slice_id(self.key, header),
                patient=self.patient,
                study=self.id,
                series=found.id,
                accession=self._accession(header),
                index=place,
                count=len(headers),
                series_number=header.series_number,
                instance_number=header.instance_number,
                frame=header.frame,
                **date_fields(self.key, self.files.patient_id, header.study_date or "", self.settings.dates),
                pixels=store.reference(array, place),
                sha256=hashes[at],
                rows=header.rows,
                columns=header.columns,
                dtype=cast(Literal["int16", "uint16", "float32"], values.dtype.name),
                unit=unit,
                modality=modality(header),
                body_part=body_part(header.body_part),
                contrast=contrast(header.contrast_agent),
                plane=plane_of(header.orientation) if header.orientation else None,
                role=found.stack.role,
                time_index=found.stack.time_index,
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
                flags=tuple(sorted({*layout.flags, *own_flags(header), *flags})),
            )
            private.add_slice(
                entry,
                made,
                sop=header.sop,
                frame=header.frame,
                file=header.name,
                file_position_mm=found.stack.headers[place].position if "resampled" in flags else None,
            )
            yield made
        self.series[found.id] = entry

    def _series(self, found: Found, decision: Decision, headers: Sequence[Header], flags: frozenset[str]) -> Series:
        header = headers[0]
        layout, labels = layout_of(headers), header.labels
        return Series(
            id=found.id,
            patient=self.patient,
            study=self.id,
            accession=self._accession(header),
            series_number=header.series_number,
            count=len(headers),
            rows=header.rows,
            columns=header.columns,
            modality=modality(header),
            role=found.stack.role,
            plane=plane_of(header.orientation) if header.orientation else None,
            body_part=body_part(header.body_part),
            contrast=contrast(header.contrast_agent),
            contrast_phase=labels.contrast_phase,
            kernel=labels.kernel,
            sequence=labels.sequence,
            thickness_mm=labels.thickness_mm,
            slice_spacing_mm=layout.spacing_mm,
            taken=decision.taken,
            reason=decision.reason if self.wanted is None else "referenced",
            flags=tuple(sorted({*layout.flags, *flags})),
        )

    def _accession(self, header: Header) -> str | None:
        return pseudonym(self.key, "accession", header.accession) if header.accession else None

    def _reject(self, header: Header, error: RecordError) -> Iterator[Error]:
        if not self._is_wanted(header):
            return
        self.left.discard(slice_id(self.key, header))
        source = file_id(self.key, header.name)
        self.rejected[source] = header.name
        if header.frame is not None:
            error = RecordError(error.code, f"frame {header.frame}: {error.message}")
        yield error_record(error, COMMAND, source, study=self.id, patient=self.patient)


def stacks_in(files: StudyFiles, key: bytes, modality: str | None = None) -> list[Found]:
    """The stacks of a study by its headers, in a stable order; files that can not join one are left out."""
    first, _ = without_duplicates(files.headers)
    return _stacks(replace(files, headers=tuple(first)), key, modality, None, [])


def _stacks(
    files: StudyFiles,
    key: bytes,
    modality: str | None,
    max_bytes: int | None,
    refused: list[tuple[Header, RecordError]],
) -> list[Found]:
    found: list[Found] = []
    for value, headers in series_of(files):
        frames: list[Header] = []
        for header in headers:
            try:
                if max_bytes is not None:
                    check_claim(header, max_bytes)
                frames += frames_of(_told(header, modality))
            except RecordError as error:
                refused.append((header, error))
        for stack in stacks_of(frames):
            found.append(Found(pseudonym(key, "series", f"{value}#{stack.number}" if stack.number else value), stack))
    return found


def _told(header: Header, modality: str | None) -> Header:
    """A header with the modality that the user tells, where the file has none."""
    if header.transfer_syntax != NIFTI:
        return header
    from rrg.nifti import with_modality

    return with_modality(header, modality)


def _facts(found: Found) -> StackFacts:
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
