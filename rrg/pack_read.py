"""pack's first pass: the stream is checked, sorted by study and spooled; what later passes need to know is gathered."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

from rrg.codec import decode, encode, schema_of
from rrg.errors import RecordError, RrgError
from rrg.pack_choice import said
from rrg.pack_leaks import Repeats, Texts, Things, text_of
from rrg.pack_runs import Runs, decoded
from rrg.pack_split import Visit
from rrg.pipe import studies_of
from rrg.records import KINDS, Mask, Record, Sample, Slice
from rrg.store import split_reference
from rrg.stream import Line
from rrg.synth.blind import Blind, is_question

_SAMPLE = b'{"schema":"rrg.sample/1"'
_SLICE = b'{"schema":"rrg.slice/1"'


class Spooled(NamedTuple):
    """A study as it is read back."""

    number: int
    """Of the study, in the order of `Gathered.visits`."""
    slices: tuple[bytes, ...]
    masks: tuple[bytes, ...]
    samples: tuple[Sample, ...]
    """With their blind scores, when they are settled."""


class _Place(NamedTuple):
    """Where the lines of a study lie in the spool."""

    number: int
    offset: int
    size: int
    questions: int
    """Number of its first question in `Blind`."""


class Gathered:
    """All that is known of a stream; its lines lie in a file. Memory: a study, and some bytes a sample and slice."""

    def __init__(self, spool: IO[bytes], merged: Mapping[str, str]) -> None:
        """`merged`: pseudonym -> the one that stands for the person, where they differ."""
        self._spool, self._merged = spool, merged
        self._places: dict[str, _Place] = {}
        self.runs = Runs()
        self.blind = Blind()
        self.visits: list[Visit] = []
        self.arrays: dict[str, int] = {}
        """Array that records name -> the highest index that they name in it."""
        self.label_maps: set[str] = set()
        self.merged_ids: set[str] = set()
        """Of the patients that are merged, those who are here, by the ids that they came with."""
        self.images, self.texts = Things(), Texts()
        self.repeated = Repeats()
        """What samples say of their pixels."""
        self.seen: Counter[str] = Counter()
        """What came in and what was left out."""

    def read(self, inputs: tuple[Path, ...], exclude: frozenset[str]) -> None:
        """Take the whole stream but the studies of the patients `exclude`."""
        for part in studies_of(inputs, merge=False):
            if part.key is not None:
                if part.shard_key in exclude:
                    self.seen["excluded.study"] += 1
                else:
                    self._read_study(part.key, part.lines)
                continue
            for line in part.lines:
                self._read_single(line)

    def studies(self) -> Iterator[Spooled]:
        """Every study, by its id."""
        for _, place in sorted(self._places.items()):
            self._spool.seek(place.offset)
            lines = self._spool.read(place.size).splitlines()
            samples = [decode(raw, Sample) for raw in lines if raw.startswith(_SAMPLE)]
            yield Spooled(
                place.number,
                tuple(raw for raw in lines if raw.startswith(_SLICE)),
                tuple(raw for raw in lines if not raw.startswith((_SLICE, _SAMPLE))),
                tuple(self._scored(samples, place.questions)),
            )

    def _scored(self, samples: Iterable[Sample], number: int) -> Iterator[Sample]:
        for sample in samples:
            if is_question(sample) and len(self.blind.scores):
                yield replace(sample, blind=round(float(self.blind.scores[number]), 3))
                number += 1
            else:
                yield sample

    def _read_single(self, line: Line) -> None:
        if schema_of(line.value) in ("rrg.run/1", "rrg.end/1"):
            self.runs.bracket(line)
        elif schema_of(line.value) == "rrg.error/1":
            self.seen[f"error.{line.value.get('code')}"] += 1
        else:
            self.seen[(schema_of(line.value) or "other").removeprefix("rrg.").partition("/")[0]] += 1

    def _read_study(self, study: str, lines: list[Line]) -> None:
        """Sort a study's records, drop what is there twice, spool the lines."""
        slices: dict[str, Slice] = {}
        masks: dict[str, Mask] = {}
        samples: dict[bytes, Sample] = {}
        ids: dict[str, bytes] = {}
        for line in lines:
            kind = KINDS.get(schema_of(line.value) or "")
            if kind not in (Slice, Mask, Sample):
                self._read_single(line)
                if isinstance(line.value, dict) and kind is not None:
                    self._name_run(line)
                continue
            record = self._of_person(decoded(line.raw, kind))
            self.runs.names(record, record.run)
            if isinstance(record, Slice):
                self._once(slices, record.id, record)
            elif isinstance(record, Mask):
                self._once(masks, record.id, record)
            else:
                content = _content(record)
                if ids.setdefault(record.id, content) != content:
                    raise RrgError(
                        f"two different samples have the id {record.id}; pack the output of one run of each stage"
                    )
                self._once(samples, content, record)
        for sample in samples.values():
            self._check_images(sample, slices)
        everything: list[Slice | Mask | Sample] = [*slices.values(), *masks.values(), *samples.values()]
        if not everything:
            return
        patients = {record.patient for record in everything}
        if len(patients) > 1:
            raise RrgError(f"study {study} has records of {len(patients)} patients; a study has one", "E_MIXED_PATIENT")
        self._remember(study, patients.pop(), slices, masks, samples.values())
        self._write(study, slices, masks, samples.values())

    def _of_person(self, record: Any) -> Any:
        merged = self._merged.get(record.patient, record.patient)
        if record.patient in self._merged:
            self.merged_ids.add(record.patient)
        return record if merged == record.patient else replace(record, patient=merged)

    def _check_images(self, sample: Sample, slices: Mapping[str, Slice]) -> None:
        """Raise RrgError for an image that is no slice of the stream; what is packed can be read back."""
        for image in sample.images:
            known = slices.get(image.slice or "")
            self._take(*_place_of(sample, image.ref))
            if known is not None and known.pixels != image.ref:
                raise RrgError(f"sample {sample.id}: {image.ref} is not where slice {image.slice} lies", "E_PATH")
        for mask in {region.mask for mention in sample.mentions for region in mention.regions if region.mask}:
            self._take(*_place_of(sample, mask))

    def _take(self, array: str, index: int) -> None:
        self.arrays[array] = max(index, self.arrays.get(array, 0))

    def _name_run(self, line: Line) -> None:
        run = line.value.get("run")
        if isinstance(run, str) and run and run not in self.runs.runs:
            self.runs.names(decoded(line.raw, KINDS[line.value["schema"]]), run)

    def _once(self, known: dict[Any, Any], key: object, record: Record) -> None:
        word = type(record).__name__.lower()
        if key in known:
            self.seen[f"dropped.duplicate_{word}"] += 1
            return
        known[key] = record
        self.seen[word] += 1

    def _remember(
        self,
        study: str,
        patient: str,
        slices: Mapping[str, Slice],
        masks: Mapping[str, Mask],
        samples: Iterable[Sample],
    ) -> None:
        number = len(self.visits)
        for slice_ in slices.values():
            self._take(*split_reference(slice_.pixels))
            self.images.add(pixels_number(slice_.sha256), number)
        for mask in masks.values():
            self._take(*split_reference(mask.array))
            self.label_maps.add(mask.label_map)
        samples = tuple(samples)
        images = {slice_.pixels: pixels_number(slice_.sha256) for slice_ in slices.values()}
        for sample in samples:
            if sample.images:
                self.repeated.add(said(sample, images).near)
            if (text := text_of(sample)) is not None:
                self.texts.add(text, number)
        dates = {each.study_date or str(each.study_year or "") for each in slices.values()} - {""}
        sites = {each.site for each in slices.values() if each.site}
        given = frozenset(sample.split for sample in samples if sample.split)
        self.visits.append(Visit(study, patient, frozenset(dates), frozenset(sites), given))

    def _write(
        self, study: str, slices: Mapping[str, Slice], masks: Mapping[str, Mask], samples: Iterable[Sample]
    ) -> None:
        ordered = sorted(slices.values(), key=lambda s: (s.series, s.index, s.id))
        place = {slice_.id: number for number, slice_ in enumerate(ordered)}

        def position(sample: Sample) -> tuple[int, str, str, str]:
            first = sample.images[0].slice if sample.images else None
            return place.get(first or "", len(place)), sample.lang, sample.task, sample.id

        offset, questions = self._spool.tell(), len(self.blind)
        for slice_ in ordered:
            self._spool.write(encode(slice_) + b"\n")
        for mask in sorted(masks.values(), key=lambda m: (place.get(m.slice, len(place)), m.engine, m.id)):
            self._spool.write(encode(mask) + b"\n")
        for sample in sorted(samples, key=position):
            self._spool.write(encode(sample) + b"\n")
            if is_question(sample):
                anew = sample.blind is not None and 0 < sample.blind < 1  # of an earlier packing; a model says 0 or 1
                self.blind.add(replace(sample, blind=None) if anew else sample)
        self._places[study] = _Place(len(self.visits) - 1, offset, self._spool.tell() - offset, questions)


def _place_of(sample: Sample, ref: str) -> tuple[str, int]:
    try:
        return split_reference(ref)
    except RecordError as error:
        raise RrgError(f"sample {sample.id}: {error.message}", error.code) from None


def pixels_number(sha256: str) -> int:
    """The first 64 bits of the hash of pixels."""
    return int(sha256[:16], 16)


def _content(sample: Sample) -> bytes:
    """What two samples that say the same have in common."""
    return hashlib.sha256(encode(replace(sample, id="", run="", from_=(), provenance={}, split=None))).digest()
