"""pack's first pass: the stream is checked, sorted by study and spooled; what later passes need to know is gathered."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from rrg.codec import encode, schema_of, word_of
from rrg.columns import Columns
from rrg.errors import RecordError, RrgError
from rrg.pack_arrays import Arrays
from rrg.pack_facts import Facts, Noted, Numbers, content_of, cut, noted, packed, unpacked
from rrg.pack_leaks import Repeats, Texts, Things, text_of
from rrg.pack_runs import Runs, decoded
from rrg.pack_split import Split, Visit
from rrg.pipe import studies_of
from rrg.records import KINDS, Mask, Sample, Slice
from rrg.store import split_reference
from rrg.stream import Line
from rrg.synth.blind import Blind, is_question

R = TypeVar("R", Slice, Mask, Sample)


class Place(NamedTuple):
    """Where a study lies in the spool: lines of slices and masks, of samples, then what is known of them."""

    number: int
    """Of the study, in the order of `Gathered.visits`."""
    slices: int
    masks: int
    offset: int
    sizes: tuple[int, ...]
    """Bytes of lines of slices and masks; of lines of samples; of the three columns of `Facts`."""


class Spooled(NamedTuple):
    """A study as it is read back."""

    place: Place
    facts: Facts
    blind: NDArray[np.float64]
    """Blind scores of its samples, NaN for none."""


@dataclass
class _Study:
    """A study on its way to the spool."""

    slices: dict[str, Slice] = field(default_factory=dict[str, Slice])
    masks: dict[str, Mask] = field(default_factory=dict[str, Mask])
    samples: dict[bytes, tuple[tuple[int, str, str, str], Noted]] = field(
        default_factory=dict[bytes, tuple[tuple[int, str, str, str], Noted]]
    )
    """By what they say (`content_of`): where each comes in its study, and what is known of it."""
    patients: set[str] = field(default_factory=set[str])
    splits: set[Split] = field(default_factory=set[Split])
    """That its samples came with."""

    def in_order(self) -> list[Slice]:
        """The slices by series and place."""
        return sorted(self.slices.values(), key=lambda s: (s.series, s.index, s.id))

    def ranks(self) -> dict[str, int]:
        """Slice -> its place in that order."""
        return {slice_.id: rank for rank, slice_ in enumerate(self.in_order())}


class Gathered:
    """All that is known of a stream; its lines and facts lie in files. Memory: the lines of a study, and some bytes
    each of the others."""

    def __init__(
        self, columns: Columns, spool: IO[bytes], merged: Mapping[str, str], arrays: Arrays, seed: int
    ) -> None:
        """`columns`: to add to. `merged`: pseudonym -> the one that stands for the person, where they differ. `arrays`
        takes those named."""
        self._columns, self._spool, self._merged, self._seed = columns, spool, merged, seed
        self._places: list[tuple[str, Place]] = []
        self.runs = Runs()
        self.blind = Blind(columns)
        self.visits: list[Visit] = []
        self._arrays = arrays
        self.label_maps: set[str] = set()
        self.merged_ids: set[str] = set()
        """Of the patients that are merged, those who are here, by the ids that they came with."""
        self.images, self.texts = Things(columns), Texts(columns)
        self.repeated = Repeats(columns)
        """What samples say of their pixels."""
        self.numbers = Numbers()
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
        for _, place in sorted(self._places):
            self._spool.seek(place.offset + sum(place.sizes[:2]))
            facts = unpacked(*map(self._spool.read, place.sizes[2:]))
            yield Spooled(place, facts, self._scores(facts))

    def lines_of(self, place: Place) -> tuple[bytes, bytes]:
        """The lines of a study's slices and masks; and those of its samples as `cut` left them."""
        self._spool.seek(place.offset)
        return self._spool.read(place.sizes[0]), self._spool.read(place.sizes[1])

    def _scores(self, facts: Facts) -> NDArray[np.float64]:
        """As they came, or for questions as they are settled."""
        scores = facts.rows["blind"].copy()
        asked = facts.rows[facts.rows["question"]]
        settled = self.blind.scores(asked["words"], asked["kind"], asked["blind"]).tolist()
        scores[facts.rows["question"]] = [round(score, 3) for score in settled]
        return scores

    def _read_single(self, line: Line) -> None:
        schema = schema_of(line.head)
        if schema in ("rrg.run/1", "rrg.end/1"):
            self.runs.bracket(line)
        elif schema == "rrg.error/1":
            self.seen[f"error.{line.value.get('code')}"] += 1
        else:
            self.seen[word_of(schema or "other")] += 1

    def _read_study(self, name: str, lines: list[Line]) -> None:
        """Drop what is there twice, spool the lines, remember the rest. A sample is let go when it is noted."""
        study, given = _Study(), list[bytes]()
        for line in lines:
            kind = KINDS.get(schema_of(line.head) or "")
            if kind is Sample:
                given.append(line.raw)  # the slices that it shows may still come
            elif kind is Slice:
                slice_ = self._record(line.raw, Slice, study)
                self._once(study.slices, slice_.id, slice_, "slice")
            elif kind is Mask:
                mask = self._record(line.raw, Mask, study)
                self._once(study.masks, mask.id, mask, "mask")
            else:
                self._read_single(line)
                if kind is not None:
                    self._name_run(line)
        self._note(study, given)
        if not study.patients:
            return
        if len(study.patients) > 1:
            raise RrgError(
                f"study {name} has records of {len(study.patients)} patients; a study has one", "E_MIXED_PATIENT"
            )
        self._remember(name, study)
        self._write(name, study)

    def _record(self, raw: bytes, kind: type[R], study: _Study) -> R:
        """A record of the person that it is of."""
        record: R = decoded(raw, kind)
        merged = self._merged.get(record.patient, record.patient)
        if record.patient in self._merged:
            self.merged_ids.add(record.patient)
            record = replace(record, patient=merged)
        study.patients.add(merged)
        self.runs.names(record, record.run)
        return record

    def _note(self, study: _Study, given: list[bytes]) -> None:
        """Take the samples of a study, of which slices and masks are known."""
        images = {slice_.pixels: _pixels_number(slice_.sha256) for slice_ in study.slices.values()}
        ranks = study.ranks()
        ids: dict[str, bytes] = {}
        checked: set[str] = set()
        for raw in given:
            sample = self._record(raw, Sample, study)
            parts = cut(sample)
            content = content_of(sample, *parts)
            if ids.setdefault(sample.id, content) != content:
                raise RrgError(
                    f"two different samples have the id {sample.id}; pack the output of one run of each stage"
                )
            if content in study.samples:
                self.seen["dropped.duplicate_sample"] += 1
                continue
            self.seen["sample"] += 1
            self._check_images(sample, study.slices, checked)
            question = self.blind.add(sample) if is_question(sample) else None
            known = noted(sample, parts, images, question, self.numbers, self._seed)
            if sample.images:
                self.repeated.add(known.near)
            if (text := text_of(sample)) is not None:
                self.texts.add(text, len(self.visits))
            if sample.split:
                study.splits.add(sample.split)
            first = sample.images[0].slice if sample.images else None
            study.samples[content] = (ranks.get(first or "", len(ranks)), sample.lang, sample.task, sample.id), known

    def _check_images(self, sample: Sample, slices: Mapping[str, Slice], checked: set[str]) -> None:
        """Raise RrgError for an image that is no slice of the stream; what is packed can be read back."""
        for image in sample.images:
            known = slices.get(image.slice or "")
            if image.ref not in checked:
                self._arrays.take(*_place_of(sample, image.ref))
                checked.add(image.ref)
            if known is not None and known.pixels != image.ref:
                raise RrgError(f"sample {sample.id}: {image.ref} is not where slice {image.slice} lies", "E_PATH")
        for mask in {region.mask for mention in sample.mentions for region in mention.regions if region.mask}:
            if mask not in checked:
                self._arrays.take(*_place_of(sample, mask))
                checked.add(mask)

    def _name_run(self, line: Line) -> None:
        run = line.value.get("run")
        if isinstance(run, str) and run and run not in self.runs.runs:
            self.runs.names(decoded(line.raw, KINDS[line.value["schema"]]), run)

    def _once(self, known: dict[str, R], key: str, record: R, word: str) -> None:
        if key in known:
            self.seen[f"dropped.duplicate_{word}"] += 1
            return
        known[key] = record
        self.seen[word] += 1

    def _remember(self, name: str, study: _Study) -> None:
        number, slices = len(self.visits), study.slices.values()
        for slice_ in slices:
            self._arrays.take(*split_reference(slice_.pixels))
            self.images.add(_pixels_number(slice_.sha256), number)
        for mask in study.masks.values():
            self._arrays.take(*split_reference(mask.array))
            self.label_maps.add(mask.label_map)
        dates = {each.study_date or str(each.study_year or "") for each in slices} - {""}
        sites = {each.site for each in slices if each.site}
        splits = frozenset(study.splits)
        self.visits.append(Visit(name, study.patients.pop(), frozenset(dates), frozenset(sites), splits))

    def _write(self, name: str, study: _Study) -> None:
        slices, ranks = study.in_order(), study.ranks()
        masks = sorted(study.masks.values(), key=lambda m: (ranks.get(m.slice, len(ranks)), m.engine, m.id))
        records: list[Slice | Mask] = [*slices, *masks]
        samples = [each for _, each in sorted(study.samples.values(), key=itemgetter(0))]
        written = (
            b"".join(encode(record) + b"\n" for record in records),
            b"".join(part for each in samples for part in (each.head, each.tail, b"\n")),
            *packed(samples),
        )
        sizes = tuple(map(len, written))
        number = len(self.visits) - 1
        self._places.append((name, Place(number, len(slices), len(masks), self._spool.tell(), sizes)))
        self._spool.writelines(written)
        self._columns.spill()


def _place_of(sample: Sample, ref: str) -> tuple[str, int]:
    try:
        return split_reference(ref)
    except RecordError as error:
        raise RrgError(f"sample {sample.id}: {error.message}", error.code) from None


def _pixels_number(sha256: str) -> int:
    """The first 64 bits of the hash of pixels."""
    return int(sha256[:16], 16)
