"""What `rrg extract-slices` works on: the studies of an index, the files that give no image, the slices of reports."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from rrg import index, private
from rrg.dicom import Rejected
from rrg.errors import RecordError
from rrg.geometry import plane_of
from rrg.index import Index, StudyRow
from rrg.keys import pseudonym
from rrg.pipe import Count, Group, Item, Made, error_record
from rrg.records import Report, Role
from rrg.slices import COMMAND, Settings, extract_study, file_id, stacks_in
from rrg.slices_records import slice_id
from rrg.stacks import StudyFiles

Has = Callable[[str], bool]
"""Whether this shard works on a key."""


@dataclass(frozen=True)
class Work:
    """One item: a study, or files that give no image."""

    study: StudyFiles | None = None
    bucket: str = ""
    rejected: tuple[Rejected, ...] = ()
    children: int = 1
    """Decoder processes for it."""


class Named(NamedTuple):
    """A study of the index and the ids it goes by."""

    patient: str
    study: str
    row: StudyRow


def studies(opened: Index, key: bytes) -> list[Named]:
    """All studies in order of their pseudonyms: it depends neither on paths nor on when they were indexed."""
    found = []
    for row in opened.studies():
        only = next(iter(row.patients)) if len(row.patients) == 1 else None
        patient = pseudonym(key, "patient", only or f"study {row.value}")
        found.append(Named(patient, pseudonym(key, "study", row.value), row))
    return sorted(found, key=lambda each: each[:2])


def indexed(paths: Sequence[Path], *, workers: int = 1) -> Index:
    """A passing index of the files under `paths`."""
    opened = index.temporary()
    opened.scan(paths, workers=workers)
    return opened


def rejected_items(opened: Index, key: bytes) -> Iterator[Item]:
    """An item per bucket of files that give no image."""
    for bucket, rejected in opened.rejected_in(lambda name: file_id(key, name)[5:7]):
        rejected.sort(key=lambda each: (file_id(key, each.name), each.code, each.message))
        work = Work(bucket=bucket, rejected=tuple(rejected))
        yield Item(f"files/{bucket}:{_digest(repr(work.rejected))}", f"files/{bucket}", work)


def study_items(opened: Index, key: bytes, has: Has = lambda _: True, *, workers: int = 1) -> Iterator[Item]:
    """An item per study of this shard, its headers loaded when its turn comes. Idle workers decode for the others."""
    own = [each for each in studies(opened, key) if has(each.patient)]
    children = max(min(workers, 2), workers // max(1, len(own)))  # two: the last studies have cores to themselves
    for patient, study, row in own:
        files = opened.study(row)
        yield Item(f"{study}:{_digest(files.digest())}", patient, Work(study=files, children=children))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def extract(work: Work, *, settings: Settings) -> Iterable[Made]:
    """The step of `rrg extract-slices` over an index."""
    if work.study is not None:
        return extract_study(work.study, replace(settings, children=work.children))
    return _rejected_files(work, settings)


def _rejected_files(work: Work, settings: Settings) -> Iterator[Made]:
    names = {file_id(settings.key, each.name): each.name for each in work.rejected}
    if settings.folder is not None:
        private.remember_files(settings.folder, work.bucket, names)
    yield Count("file", len(work.rejected))
    for each in work.rejected:
        yield error_record(RecordError(each.code, each.message), COMMAND, file_id(settings.key, each.name))


# --- what reports point at


@functools.lru_cache(maxsize=2)
def _rows(folder: Path, key: bytes) -> dict[str, StudyRow]:
    """Study id -> study of the index; built once per process."""
    return {each.study: each.row for each in studies(index.reader(folder), key)}


def files_of(folder: Path, key: bytes, study: str) -> StudyFiles | None:
    """The headers of a study of the index, by its id."""
    row = _rows(folder, key).get(study)
    return None if row is None else index.reader(folder).study(row)


def extract_referenced(group: Group, *, folder: Path, settings: Settings, context: int) -> Iterator[Made]:
    """The step of ``--only-referenced``: the slices that the reports of a study point at, and their neighbours."""
    references = [reference for report in group.of(Report) for reference in report.references]
    wanted = {slice_ for reference in references for slice_ in reference.slices}
    for status in ("ambiguous", "missing", "unresolved"):
        if n := sum(reference.status == status for reference in references):
            yield Count(f"references.{status}", n)
    if not wanted:
        return
    files = files_of(folder, settings.key, group.key)
    if files is None:
        message = "the index does not know this study; use the key file and index that parse-reports used"
        yield error_record(RecordError("E_REFERENCE", message), COMMAND, group.key, study=group.key)
        return
    yield from extract_study(files, settings, wanted, context)


class Listed(NamedTuple):
    """A slice as its header tells it: what a reference is resolved on, before any pixel is read."""

    id: str
    patient: str
    study: str
    series: str
    series_number: int | None
    instance_number: int | None
    frame: int | None
    plane: str | None
    role: Role
    modality: str | None = None


def listed(files: StudyFiles, key: bytes) -> list[Listed]:
    """The slices of a study, by series; files that can not be used are left out."""
    if files.problem is not None:
        return []
    study, patient = pseudonym(key, "study", files.uid), pseudonym(key, "patient", files.patient_id)
    return [
        Listed(
            slice_id(key, header),
            patient,
            study,
            series,
            header.series_number,
            header.instance_number,
            header.frame,
            plane_of(header.orientation) if header.orientation else None,
            stack.role,
            header.modality,
        )
        for series, stack in stacks_in(files, key)
        for header in stack.headers
    ]
