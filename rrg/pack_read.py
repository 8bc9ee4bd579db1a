"""pack's first pass: the stream is checked, sorted by study and spooled; what later passes need to know is gathered."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.codec import encode, schema_of
from rrg.columns import Columns
from rrg.errors import RecordError, RrgError
from rrg.pack_arrays import Arrays
from rrg.pack_facts import Facts, Gathering, Numbers, content_of, cut, unpacked
from rrg.pack_leaks import Repeats, Texts, Things, text_of
from rrg.pack_runs import Runs, decoded
from rrg.pack_split import Visit
from rrg.pipe import studies_of
from rrg.records import KINDS, Mask, Record, Sample, Slice
from rrg.store import split_reference
from rrg.stream import Line
from rrg.synth.blind import Blind, is_question


class Place(NamedTuple):
    """Where a study lies in the spool: lines of slices and masks, of samples, then what is known of them."""

    number: int
    """Of the study, in the order of `Gathered.visits`."""
    slices: int
    masks: int
    questions: int
    """Number of its first question in `Blind`."""
    offset: int
    sizes: tuple[int, ...]
    """Bytes of lines of slices and masks; of lines of samples; of the three columns of `Facts`."""


class Spooled(NamedTuple):
    """A study as it is read back."""

    place: Place
    facts: Facts
    blind: NDArray[np.float64]
    """Blind scores of its samples, NaN for none."""


class _Given(NamedTuple):
    """A sample of the study that is read, and its line as `cut` gives it."""

    sample: Sample
    parts: tuple[bytes, bytes]


class Gathered:
    """All that is known of a stream; its lines and facts lie in files. Memory: a study, and some bytes each of the
    others; some a question after `Blind.settle`."""

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
            yield Spooled(place, facts, self._scores(facts, place.questions))

    def lines_of(self, place: Place) -> tuple[bytes, bytes]:
        """The lines of a study's slices and masks; and those of its samples as `cut` left them, without line ends."""
        self._spool.seek(place.offset)
        return self._spool.read(place.sizes[0]), self._spool.read(place.sizes[1])

    def _scores(self, facts: Facts, number: int) -> NDArray[np.float64]:
        """As they came, or for questions as they are settled; `number`: of the first question."""
        scores = facts.rows["blind"].copy()
        if len(self.blind.scores):
            asked = facts.rows["question"]
            settled = self.blind.scores[number : number + np.count_nonzero(asked)].tolist()
            scores[asked] = [round(score, 3) for score in settled]
        return scores

    def _read_single(self, line: Line) -> None:
        schema = schema_of(line.head)
        if schema in ("rrg.run/1", "rrg.end/1"):
            self.runs.bracket(line)
        elif schema == "rrg.error/1":
            self.seen[f"error.{line.value.get('code')}"] += 1
        else:
            self.seen[(schema or "other").removeprefix("rrg.").partition("/")[0]] += 1

    def _read_study(self, study: str, lines: list[Line]) -> None:
        """Sort a study's records, drop what is there twice, spool the lines."""
        slices: dict[str, Slice] = {}
        masks: dict[str, Mask] = {}
        samples: dict[bytes, _Given] = {}
        ids: dict[str, bytes] = {}
        for line in lines:
            kind = KINDS.get(schema_of(line.head) or "")
            if kind not in (Slice, Mask, Sample):
                self._read_single(line)
                if kind is not None:
                    self._name_run(line)
                continue
            record = self._of_person(decoded(line.raw, kind))
            self.runs.names(record, record.run)
            if isinstance(record, Slice):
                self._once(slices, record.id, record, "slice")
            elif isinstance(record, Mask):
                self._once(masks, record.id, record, "mask")
            else:
                parts = cut(record)
                content = content_of(record, *parts)
                if ids.setdefault(record.id, content) != content:
                    raise RrgError(
                        f"two different samples have the id {record.id}; pack the output of one run of each stage"
                    )
                self._once(samples, content, _Given(record, parts), "sample")
        self._check_images(samples.values(), slices)
        everything: list[Slice | Mask] = [*slices.values(), *masks.values()]
        patients = {record.patient for record in everything} | {each.sample.patient for each in samples.values()}
        if not patients:
            return
        if len(patients) > 1:
            raise RrgError(f"study {study} has records of {len(patients)} patients; a study has one", "E_MIXED_PATIENT")
        self._remember(study, patients.pop(), slices, masks, samples.values())
        self._write(study, slices, masks, samples.values())

    def _of_person(self, record: Any) -> Any:
        merged = self._merged.get(record.patient, record.patient)
        if record.patient in self._merged:
            self.merged_ids.add(record.patient)
        return record if merged == record.patient else replace(record, patient=merged)

    def _check_images(self, samples: Iterable[_Given], slices: Mapping[str, Slice]) -> None:
        """Raise RrgError for an image that is no slice of the stream; what is packed can be read back."""
        checked: set[str] = set()
        for sample, _ in samples:
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

    def _once(self, known: dict[Any, Any], key: object, record: Record | _Given, word: str) -> None:
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
        samples: Iterable[_Given],
    ) -> None:
        number = len(self.visits)
        for slice_ in slices.values():
            self._arrays.take(*split_reference(slice_.pixels))
            self.images.add(_pixels_number(slice_.sha256), number)
        for mask in masks.values():
            self._arrays.take(*split_reference(mask.array))
            self.label_maps.add(mask.label_map)
        for sample, _ in samples:
            if (text := text_of(sample)) is not None:
                self.texts.add(text, number)
        dates = {each.study_date or str(each.study_year or "") for each in slices.values()} - {""}
        sites = {each.site for each in slices.values() if each.site}
        given = frozenset(each.sample.split for each in samples if each.sample.split)
        self.visits.append(Visit(study, patient, frozenset(dates), frozenset(sites), given))

    def _write(
        self, study: str, slices: Mapping[str, Slice], masks: Mapping[str, Mask], samples: Iterable[_Given]
    ) -> None:
        ordered = sorted(slices.values(), key=lambda s: (s.series, s.index, s.id))
        place = {slice_.id: number for number, slice_ in enumerate(ordered)}
        images = {slice_.pixels: _pixels_number(slice_.sha256) for slice_ in ordered}

        def position(given: _Given) -> tuple[int, str, str, str]:
            sample = given.sample
            first = sample.images[0].slice if sample.images else None
            return place.get(first or "", len(place)), sample.lang, sample.task, sample.id

        by_mask = sorted(masks.values(), key=lambda m: (place.get(m.slice, len(place)), m.engine, m.id))
        records: list[Slice | Mask] = [*ordered, *by_mask]
        lines = b"".join(encode(record) + b"\n" for record in records)
        questions = len(self.blind)
        facts = Gathering(self.numbers, self._seed)
        in_order = sorted(samples, key=position)
        for sample, parts in in_order:
            asked = is_question(sample)
            near = facts.add(sample, parts, images, is_question=asked)
            if asked:
                self.blind.add(sample)
            if sample.images:
                self.repeated.add(near)
        body = b"".join(part for given in in_order for part in given.parts)
        written = (lines, body, *facts.packed())
        sizes = tuple(map(len, written))
        number = len(self.visits) - 1
        self._places.append((study, Place(number, len(ordered), len(masks), questions, self._spool.tell(), sizes)))
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
