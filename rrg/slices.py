"""DICOM studies -> slice records, pixels to the store. One series in memory at a time."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal, cast

from tqdm import tqdm

from rrg import private, store
from rrg.dicom import Header, Rejected, frames_of, read_headers
from rrg.errors import RecordError
from rrg.files import files_under
from rrg.geometry import plane_of
from rrg.keys import pseudonym, shifted_day
from rrg.parallel import ordered_map
from rrg.pipe import Count, Item, Made, error_record
from rrg.pixels import check_claim, check_size, is_hu, read_volume, same_image
from rrg.records import Error, Slice
from rrg.stacks import Stack, StudyFiles, layout_of, series_of, stacks_of, studies_of, without_duplicates

COMMAND = "extract-slices"
HEADERS_PER_TASK = 256
FEW_FILES = 2048
"""Below this, starting processes costs more than reading the headers in this one."""
MODALITIES = frozenset({"CT", "MR", "PT", "CR", "DX"})
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
class Work:
    """One item: a study, or files that give no image."""

    study: StudyFiles | None = None
    bucket: str = ""
    rejected: tuple[Rejected, ...] = ()


def items(paths: Sequence[Path], key: bytes, *, workers: int = 1) -> Iterator[Item]:
    """One header pass over all files, then an item per study (and per bucket of files that give no image).

    Order is by pseudonym: it does not depend on the order of the paths.
    """
    headers: list[Header] = []
    buckets: dict[str, list[Rejected]] = defaultdict(list)
    for found in _headers(paths, workers):
        if isinstance(found, Header):
            headers.append(found)
        else:
            buckets[_file_id(key, found.name)[5:7]].append(found)
    for bucket, rejected in sorted(buckets.items()):
        rejected.sort(key=lambda each: _file_id(key, each.name))
        work = Work(bucket=bucket, rejected=tuple(rejected))
        yield Item(f"files/{bucket}:{_digest(repr(work.rejected))}", f"files/{bucket}", work)
    studies = [
        (pseudonym(key, "patient", study.patient_id), pseudonym(key, "study", study.uid), study)
        for study in studies_of(headers)
    ]
    del headers
    for patient, study_id, study in sorted(studies, key=lambda each: each[:2]):
        yield Item(f"{study_id}:{_digest(study.digest())}", patient, Work(study=study))


def _headers(paths: Sequence[Path], workers: int) -> Iterator[Header | Rejected]:
    sources = list(files_under(paths))
    tasks = [sources[i : i + HEADERS_PER_TASK] for i in range(0, len(sources), HEADERS_PER_TASK)]
    with tqdm(total=len(sources), desc=f"rrg {COMMAND}: headers", unit=" files", disable=None) as progress:
        for found in ordered_map(read_headers, tasks, workers if len(sources) > FEW_FILES else 1):
            progress.update(len(found))
            yield from found


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _file_id(key: bytes, name: str) -> str:
    return f"file/{pseudonym(key, 'file', name)}"


def extract(work: Work, *, key: bytes, folder: Path, max_bytes: int) -> Iterable[Made]:
    """The step of `rrg extract-slices`: arrays to the store `folder`, then the slice records that name them."""
    if work.study is not None:
        return _Study(work.study, key, folder, max_bytes).extract()
    return _rejected_files(work, key, folder)


def _rejected_files(work: Work, key: bytes, folder: Path) -> Iterator[Made]:
    names = {_file_id(key, each.name): each.name for each in work.rejected}
    private.remember_files(folder, work.bucket, names)
    yield Count("file", len(work.rejected))
    for each in work.rejected:
        yield error_record(RecordError(each.code, each.message), COMMAND, _file_id(key, each.name))


class _Study:
    """One study on its way into the store; gathers what goes to the private map."""

    def __init__(self, study: StudyFiles, key: bytes, folder: Path, max_bytes: int) -> None:
        self.files, self.key, self.folder, self.max_bytes = study, key, folder, max_bytes
        self.id = pseudonym(key, "study", study.uid)
        self.patient = pseudonym(key, "patient", study.patient_id)
        self.series: private.Entries = {}
        self.rejected: dict[str, str] = {}

    def extract(self) -> Iterator[Made]:
        """Every file gives slices or one error record."""
        yield Count("file", len(self.files.headers))
        if self.files.problem is not None:
            for header in self.files.headers:
                yield self._reject(header, RecordError(self.files.problem.code, self.files.problem.message))
        else:
            first, again = without_duplicates(self.files.headers)
            kept = {header.sop: header for header in first}
            for header in again:
                if same_image(header.path, kept[header.sop].path):
                    message = "the same image as another file of the study; the first by name is kept"
                    yield self._reject(header, RecordError("E_DUPLICATE", message))
                else:
                    message = (
                        "another object of the study has the same SOP Instance UID; which one is right is not known"
                    )
                    yield self._reject(header, RecordError("E_MALFORMED", message))
            for value, headers in series_of(replace(self.files, headers=tuple(first))):
                yield from self._series(value, headers)
        uid = next((header.study for header in self.files.headers), None)
        private.remember_study(self.folder, self.id, uid, self.series, self.rejected)

    def _series(self, value: str, headers: Sequence[Header]) -> Iterator[Made]:
        frames: list[Header] = []
        for header in headers:
            try:
                check_claim(header, self.max_bytes)
                frames += frames_of(header)
            except RecordError as error:
                yield self._reject(header, error)
        for stack in stacks_of(frames):
            series = pseudonym(self.key, "series", f"{value}#{stack.number}" if stack.number else value)
            yield from self._stack(series, stack)

    def _stack(self, series: str, stack: Stack) -> Iterator[Made]:
        """Read, check, write and describe one stack; a slice that fails is left out and the others close up."""
        try:
            check_size(stack.headers, self.max_bytes)
        except RecordError as error:
            for header in stack.headers:
                yield self._reject(header, error)
            return
        values, headers, rejected = read_volume(stack.headers)
        for header, why in rejected:
            yield self._reject(header, why)
        if not headers:
            return
        array = f"series/{series}"
        store.write_array(self.folder, array, values)
        yield Count("series")
        entry = private.series_entry(headers[0].series, headers[0].sop_class, headers[0].frame_of_reference)
        layout = layout_of(headers)
        unit: Literal["HU", "stored"] = "HU" if all(map(is_hu, headers)) else "stored"
        dtype = cast(Literal["int16", "uint16", "float32"], values.dtype.name)
        for index, header in enumerate(headers):
            made = Slice(
                id=self._slice_id(header),
                patient=self.patient,
                study=self.id,
                series=series,
                accession=pseudonym(self.key, "accession", header.accession) if header.accession else None,
                index=index,
                count=len(headers),
                series_number=header.series_number,
                instance_number=header.instance_number,
                frame=header.frame,
                study_day=shifted_day(self.key, self.files.patient_id, header.study_date or ""),
                pixels=store.reference(array, index),
                sha256=store.sha256_pixels(values[index]),
                rows=header.rows,
                columns=header.columns,
                dtype=dtype,
                unit=unit,
                modality=header.modality if header.modality in MODALITIES else "OT",
                body_part=body_part(header.body_part),
                contrast=contrast(header.contrast_agent),
                plane=plane_of(header.orientation) if header.orientation else None,
                role=stack.role,
                spacing_mm=header.spacing,
                slice_spacing_mm=layout.spacing_mm,
                position_mm=header.position,
                orientation=header.orientation,
                flags=tuple(sorted({*layout.flags, *own_flags(header)})),
            )
            entry["slices"][made.id] = private.slice_entry(header.sop, header.frame, header.name)
            yield made
        self.series[series] = entry

    def _slice_id(self, header: Header) -> str:
        value = header.sop or f"file {header.name}"
        return pseudonym(self.key, "sop", value if header.frame is None else f"{value}#{header.frame}")

    def _reject(self, header: Header, error: RecordError) -> Error:
        source = _file_id(self.key, header.name)
        self.rejected[source] = header.name
        if header.frame is not None:
            error = RecordError(error.code, f"frame {header.frame}: {error.message}")
        return error_record(error, COMMAND, source, study=self.id, patient=self.patient)


def own_flags(header: Header) -> Iterator[str]:
    """Flags of one image: what is doubtful about it but does not hinder its use."""
    if header.lossy:
        yield "lossy"
    if header.burned_in:
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
