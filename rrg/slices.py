"""One DICOM study -> series and slice records, pixels to the store. One series in memory at a time."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rrg import private, store
from rrg.dicom import NIFTI, Header, frames_of
from rrg.errors import RecordError
from rrg.keys import Dates, pseudonym
from rrg.pipe import Count, Made, error_record
from rrg.pixels import check_claim, check_size, dtype_of, read_slices, same_image
from rrg.records import Error, Series
from rrg.resample import unsheared
from rrg.series_rules import Decision, Rules, choose
from rrg.slices_records import Described, Found, facts_of, slice_id
from rrg.stacks import Stack, StudyFiles, series_of, stacks_of, without_duplicates

COMMAND = "extract-slices"


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
            facts = [facts_of(each) for each in found]
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
            yield self._series(self._described(found, found.stack.headers), decision)
            return
        if self.wanted is None:
            yield from self._extracted(found, decision, places, self.settings.folder)
            return
        with store.locked(self.settings.folder, f"series/{found.id}"):
            yield from self._extracted(found, decision, places, self.settings.folder)

    def _extracted(self, found: Found, decision: Decision, places: list[int], folder: Path) -> Iterator[Made]:
        headers, array = found.stack.headers, f"series/{found.id}"
        sparse = self.wanted is not None
        try:
            check_size([headers[place] for place in places], self.settings.max_bytes)
            dtype = (store.dtype_of(folder, array) or dtype_of(headers)) if sparse else None
            values, failed = read_slices(headers, places, dtype, children=self.settings.children)
        except RecordError as error:
            for place in places:
                yield self._error(headers[place], error)
            return
        for place, why in failed.items():
            yield self._error(headers[place], why)
        if len(failed) == len(places):
            return
        flags: frozenset[str] = frozenset()
        if self.settings.resample:
            values, headers, flags = unsheared(values, places, headers)
            for at, place in enumerate(places):
                if place in failed:
                    values[at] = 0  # not a slice of air
        members = hashlib.sha256(
            " ".join(slice_id(self.key, each) for each in found.stack.headers).encode()
        ).hexdigest()
        members += "-resampled" * ("resampled" in flags)
        try:
            hashes = store.write_array(folder, array, values, places if sparse else None, len(headers), members)
        except RecordError as error:
            for place in places:
                yield self._error(headers[place], error)
            return
        described = self._described(found, headers, flags)
        yield self._series(described, decision)
        entry = private.series_entry(headers[0].series, headers[0].sop_class, headers[0].frame_of_reference)
        good = [at for at, place in enumerate(places) if place not in failed]
        for made in described.slices([places[at] for at in good], [hashes[at] for at in good], values.dtype):
            header = found.stack.headers[made.index]
            moved = header.position if "resampled" in flags else None
            private.add_slice(entry, made, sop=header.sop, frame=header.frame, file=header.name, file_position_mm=moved)
            yield made
        self.series[found.id] = entry

    def _described(self, found: Found, headers: Sequence[Header], flags: frozenset[str] = frozenset()) -> Described:
        return Described(
            found=found,
            headers=headers,
            key=self.key,
            patient=self.patient,
            study=self.id,
            patient_id=self.files.patient_id,
            dates=self.settings.dates,
            flags=flags,
        )

    def _series(self, described: Described, decision: Decision) -> Series:
        return described.series(decision, decision.reason if self.wanted is None else "referenced")

    def _reject(self, header: Header, error: RecordError) -> Iterator[Error]:
        """The error of a file, if anybody asked for it."""
        if self._is_wanted(header):
            yield self._error(header, error)

    def _error(self, header: Header, error: RecordError) -> Error:
        self.left.discard(slice_id(self.key, header))
        source = file_id(self.key, header.name)
        self.rejected[source] = header.name
        if header.frame is not None:
            error = RecordError(error.code, f"frame {header.frame}: {error.message}")
        return error_record(error, COMMAND, source, study=self.id, patient=self.patient)


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
