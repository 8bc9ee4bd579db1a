"""Records -> a data set folder: split by patient, balanced, whole or absent, manifest last."""

import enum
import hashlib
import itertools
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from rrg.balance import YES_NO, Balance, Stratum
from rrg.codec import decode, encode, schema_of
from rrg.errors import RecordError, RrgError, UsageError
from rrg.folders import building, publish
from rrg.pack_card import card
from rrg.pipe import check_closed, studies_of
from rrg.provenance import sha256_file, sha256_files
from rrg.records import KINDS, End, Mask, Record, Run, Sample, Slice
from rrg.store import split_reference
from rrg.stream import Line
from rrg.synth.blind import SOLVABLE, Blind, is_question
from rrg.synth.terms import NO, YES

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
COMMAND = "pack"
SCHEMA = "rrg.dataset/1"
TEXT_TASKS = ("report", "grounded-report")
"""Tasks whose answers are sentences of reports: the same sentence in two splits is a leak of text."""


@dataclass(frozen=True)
class Options:
    """How to pack. All of it changes the result."""

    split: tuple[int, int, int] = (80, 10, 10)
    """Parts of train, val, test."""
    balance: bool = True
    drop_blind: float | None = None
    """Leave out questions that are answered as well as this without the image, 0..1."""
    pixels: Literal["copy", "link"] = "copy"
    partial: bool = False
    seed: int = 0
    made_up: bool = False
    """The studies are phantoms: the card says so."""

    def results(self) -> dict[str, Any]:
        """The options for the run record."""
        return {name: value for name, value in asdict(self).items() if name != "seed"}


def parse_split(text: str) -> tuple[int, int, int]:
    """``80,10,10`` -> parts of train, val, test. UsageError unless three whole numbers, not all zero."""
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts) or not any(map(int, parts)):
        raise UsageError(f"--split {text}: expected three whole numbers such as 80,10,10 for train, val, test")
    train, val, test = map(int, parts)
    return train, val, test


def split_of(patient: str, parts: tuple[int, int, int], seed: int = 0) -> Split:
    """The split of a patient, by a hash of the (keyed) pseudonym: other patients never move it."""
    digest = hashlib.sha256(f"rrg split\0{seed}\0{patient}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64 * sum(parts)
    return "train" if place < parts[0] else "val" if place < parts[0] + parts[1] else "test"


class _Study(NamedTuple):
    """Where the lines of a study lie in the spool."""

    split: Split
    offset: int
    size: int
    questions: int
    """Number of its first question in `Blind`."""


class _Runs:
    """Runs of the stream, and one record of each run that records name."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.ends: dict[str, End] = {}
        self._named: dict[str, Record] = {}

    def bracket(self, line: Line) -> None:
        """Take a run or end record."""
        if schema_of(line.value) == "rrg.run/1":
            run = _decoded(line.raw, Run)
            self.runs.setdefault(run.id, run)
        else:
            end = _decoded(line.raw, End)
            self.ends.setdefault(end.run, end)

    def names(self, record: Record, run: str) -> None:
        """Remember that a record was made by a run."""
        if run:
            self._named.setdefault(run, record)

    def check(self, partial: bool) -> None:
        """Refuse a truncated stream, or close what is open when `partial`."""
        if not partial:
            check_closed([*self.runs.values(), *self.ends.values(), *self._named.values()], "input")
        for run in self._named:
            self.runs.setdefault(run, Run(id=run, command="unknown", version="unknown", options={}))
        for run in self.runs:
            self.ends.setdefault(run, End(run=run, counts={}))

    def opening(self) -> list[bytes]:
        """Run lines, in an order that does not depend on the stream."""
        return [encode(run) for run in sorted(self.runs.values(), key=lambda run: (run.command, run.id))]

    def closing(self) -> list[bytes]:
        """Their end lines."""
        return [encode(self.ends[run.id]) for run in sorted(self.runs.values(), key=lambda run: (run.command, run.id))]


def _decoded(raw: bytes, kind: type[Any]) -> Any:
    try:
        return decode(raw, kind)
    except RecordError as error:
        raise RrgError(f"input record refused: {error.message}") from None


def order_of(sample: Sample, seed: int) -> int:
    """A 64-bit number that orders samples at random, whatever the order of the stream."""
    return int.from_bytes(hashlib.sha256(f"rrg balance\0{seed}\0{sample.id}".encode()).digest()[:8], "big")


def stratum_of(sample: Sample, split: str) -> tuple[Stratum, int, int] | None:
    """(stratum, number of the answer, number of answers) of a sample that is balanced, else None."""
    if sample.question_type == "closed" and sample.answer in (YES[sample.lang], NO[sample.lang]):
        about = ": ".join(sample.facets[key] for key in ("question", "label") if key in sample.facets)
        return Stratum(split, sample.lang, YES_NO, about), int(sample.answer == NO[sample.lang]), 2
    if sample.question_type == "single" and sample.answer in sample.choices and len(sample.choices) > 1:
        n = len(sample.choices)
        return Stratum(split, sample.lang, f"{n} choices", ""), sample.choices.index(sample.answer), n
    return None


def _content(sample: Sample) -> bytes:
    """What two samples that say the same have in common."""
    return hashlib.sha256(encode(replace(sample, id="", run="", from_=(), provenance={}, split=None))).digest()


class Existing(enum.Enum):
    """What to do when the data set is there already."""

    REFUSE = "refuse"
    KEEP_SAME = "keep"
    """The same content is fine (a re-run); other content is refused."""
    REPLACE = "replace"


def pack(
    inputs: tuple[Path, ...], store: Path, out: Path, run: Run, options: Options, existing: Existing = Existing.REFUSE
) -> dict[str, Any]:
    """Read the stream, write the data set folder `out`, return its manifest.

    Memory is bounded by one study and some bytes per sample. `out` appears whole, under its name, at the very end.
    Raises RrgError for a truncated stream, for missing arrays, and for an `out` that must not be replaced.
    """
    there = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if there and existing is Existing.REFUSE:
        raise UsageError(f"{out} is there already; choose another --out, or give --overwrite or --resume")
    if there and not _is_dataset(out):
        raise UsageError(f"{out} is not a data set of rrg, so it is not replaced; choose another --out")
    with building(out) as temporary:
        manifest = _Packer(temporary, store, run, options).build(inputs, out)
        if there and existing is Existing.KEEP_SAME:
            if (temporary / "manifest.json").read_bytes() != (out / "manifest.json").read_bytes():
                raise RrgError(f"{out} holds another data set than this input makes; give --overwrite to replace it")
        else:
            publish(temporary, out)
    return manifest


def _is_dataset(folder: Path) -> bool:
    try:
        return schema_of(json.loads((folder / "manifest.json").read_bytes())) == SCHEMA
    except (OSError, ValueError):
        return False


class _Packer:
    """The two passes: read and spool; then write what stays."""

    def __init__(self, folder: Path, store: Path, run: Run, options: Options) -> None:
        self.folder, self.store, self.run, self.options = folder, store, run, options
        self.runs = _Runs()
        self.balance = Balance()
        self.blind = Blind()
        self.studies: dict[str, _Study] = {}
        self.series: set[str] = set()
        self.arrays: set[str] = set()
        self.label_maps: set[str] = set()
        self.patients: dict[Split, set[str]] = {split: set() for split in SPLITS}
        self.seen: Counter[str] = Counter()
        """What came in and what was left out."""
        self.kept: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
        self.strata: dict[Split, dict[str, Counter[str]]] = {split: defaultdict(Counter) for split in SPLITS}
        self.texts: dict[Split, set[bytes]] = {split: set() for split in SPLITS}

    def build(self, inputs: tuple[Path, ...], out: Path) -> dict[str, Any]:
        spool = self.folder / "spool"
        with spool.open("wb") as file:
            for part in studies_of(inputs, merge=False):
                if part.key is not None:
                    self._read_study(part.key, part.lines, file)
                    continue
                for line in part.lines:
                    self._read_single(line)
        self.runs.check(self.options.partial)
        self.runs.runs.pop(self.run.id, None)  # packing a packed split again
        if not self.studies:  # also when a stage before died at its start: that is no data set
            raise RrgError("no slices and no samples in the input; look at the stage before")
        self.blind.settle()
        if self.options.drop_blind is not None:  # only then is it known what the balance is made of
            with spool.open("rb") as file:
                for split, spooled in self._spooled(file):
                    for each in spooled:
                        if isinstance(each, Sample) and not self._is_blind(each):
                            self._weigh(each, split)
        self.balance.settle()
        with spool.open("rb") as file:
            self._write_splits(file)
        spool.unlink()
        arrays = self._take_arrays(out)
        return self._finish(arrays)

    # First pass

    def _read_single(self, line: Line) -> None:
        if schema_of(line.value) in ("rrg.run/1", "rrg.end/1"):
            self.runs.bracket(line)
        elif schema_of(line.value) == "rrg.error/1":
            self.seen[f"error.{line.value.get('code')}"] += 1
        else:
            self.seen[(schema_of(line.value) or "other").removeprefix("rrg.").partition("/")[0]] += 1

    def _read_study(self, study: str, lines: list[Line], spool: IO[bytes]) -> None:
        """Sort a study's records, drop what is there twice, count the questions, spool the lines."""
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
            record = _decoded(line.raw, kind)
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
        split = split_of(patients.pop(), self.options.split, self.options.seed)
        self._spool(study, split, slices, masks, samples.values(), spool)

    def _check_images(self, sample: Sample, slices: Mapping[str, Slice]) -> None:
        """Raise RrgError for an image that is no slice of the stream; what is packed can be read back."""
        for image in sample.images:
            known = slices.get(image.slice or "")
            try:
                array, _ = split_reference(image.ref)
            except RecordError as error:
                raise RrgError(f"sample {sample.id}: {error.message}", error.code) from None
            if known is not None and known.pixels != image.ref:
                raise RrgError(f"sample {sample.id}: {image.ref} is not where slice {image.slice} lies", "E_PATH")
            self.arrays.add(array)

    def _name_run(self, line: Line) -> None:
        run = line.value.get("run")
        if isinstance(run, str) and run and run not in self.runs.runs:
            self.runs.names(_decoded(line.raw, KINDS[line.value["schema"]]), run)

    def _once(self, known: dict[Any, Any], key: object, record: Record) -> None:
        word = type(record).__name__.lower()
        if key in known:
            self.seen[f"dropped.duplicate_{word}"] += 1
            return
        known[key] = record
        self.seen[word] += 1

    def _spool(
        self,
        study: str,
        split: Split,
        slices: Mapping[str, Slice],
        masks: Mapping[str, Mask],
        samples: Iterable[Sample],
        spool: IO[bytes],
    ) -> None:
        ordered = sorted(slices.values(), key=lambda s: (s.series, s.index, s.id))
        place = {slice_.id: number for number, slice_ in enumerate(ordered)}
        for slice_ in ordered:
            self.arrays.add(split_reference(slice_.pixels)[0])
        for mask in masks.values():
            self.arrays.add(split_reference(mask.array)[0])
            self.label_maps.add(mask.label_map)

        def position(sample: Sample) -> tuple[int, str, str, str]:
            first = sample.images[0].slice if sample.images else None
            return place.get(first or "", len(place)), sample.lang, sample.task, sample.id

        offset, questions = spool.tell(), len(self.blind)
        for slice_ in ordered:
            spool.write(encode(slice_) + b"\n")
        for mask in sorted(masks.values(), key=lambda m: (place.get(m.slice, len(place)), m.engine, m.id)):
            spool.write(encode(mask) + b"\n")
        for sample in sorted(samples, key=position):
            spool.write(encode(replace(sample, split=split)) + b"\n")
            if is_question(sample):
                self.blind.add(sample)
            if self.options.drop_blind is None:
                self._weigh(sample, split)
        self.studies[study] = _Study(split, offset, spool.tell() - offset, questions)

    def _weigh(self, sample: Sample, split: Split) -> None:
        """Count the answer for the balance."""
        if self.options.balance and (found := stratum_of(sample, split)):
            self.balance.add(*found, order_of(sample, self.options.seed))

    def _spooled(self, spool: IO[bytes]) -> Iterator[tuple[Split, list[bytes | Sample]]]:
        """(split, lines of slices and masks and the samples with their blind scores) of every study, by id."""
        for _study, found in sorted(self.studies.items()):
            spool.seek(found.offset)
            number = found.questions
            parts: list[bytes | Sample] = []
            for raw in spool.read(found.size).splitlines():
                if not raw.startswith(b'{"schema":"rrg.sample/1"'):
                    parts.append(raw)
                    continue
                sample = decode(raw, Sample)
                if is_question(sample):
                    sample = replace(sample, blind=round(float(self.blind.scores[number]), 3))
                    number += 1
                parts.append(sample)
            yield found.split, parts

    def _is_blind(self, sample: Sample) -> bool:
        """A question that the options leave out because it does not need the image."""
        limit = self.options.drop_blind
        return limit is not None and sample.blind is not None and sample.blind >= limit

    # Second pass

    def _write_splits(self, spool: IO[bytes]) -> None:
        with ExitStack() as stack:
            files = {split: stack.enter_context((self.folder / f"{split}.jsonl").open("wb")) for split in SPLITS}
            for file in files.values():
                file.writelines(line + b"\n" for line in (*self.runs.opening(), encode(self.run)))
            for split, parts in self._spooled(spool):
                self._write_study(split, parts, files[split])
            for split, file in files.items():
                end = End(run=self.run.id, counts=dict(sorted(self.kept[split].items())))
                file.writelines(line + b"\n" for line in (*self.runs.closing(), encode(end)))

    def _write_study(self, split: Split, parts: list[bytes | Sample], file: IO[bytes]) -> None:
        kept = self.kept[split]
        kept["study"] += 1
        for part in parts:
            if isinstance(part, bytes):
                word = "slice" if part.startswith(b'{"schema":"rrg.slice/1"') else "mask"
                kept[word] += 1
                if word == "slice":
                    self.patients[split].add(json.loads(part)["patient"])
                file.write(part + b"\n")
                continue
            if self._is_blind(part):
                self.seen["dropped.blind"] += 1
                continue
            found = stratum_of(part, split)
            if (
                self.options.balance
                and found
                and not self.balance.keeps(found[0], found[1], order_of(part, self.options.seed))
            ):
                self.seen["dropped.balance"] += 1
                continue
            self._count(split, part)
            file.write(encode(part) + b"\n")

    def _count(self, split: Split, sample: Sample) -> None:
        self.kept[split]["sample"] += 1
        self.patients[split].add(sample.patient)
        strata = self.strata[split]
        strata["task"][sample.task] += 1
        strata["lang"][sample.lang] += 1
        strata["modality"][sample.facets.get("modality", "unknown")] += 1
        if sample.question_type:
            strata["question_type"][sample.question_type] += 1
        if sample.task in TEXT_TASKS and sample.answer:
            self.texts[split].add(hashlib.sha256(sample.answer.encode()).digest()[:8])

    # Arrays, manifest, card

    def _take_arrays(self, out: Path) -> dict[str, str]:
        """Copy or link the arrays that the records name. Returns their hashes."""
        hashes: dict[str, str] = {}
        for array in sorted(self.arrays):
            source, target = self.store / array, self.folder / "store" / array
            if not source.is_dir():
                raise RrgError(f"store has no array {array}; give the --store that the records were made with", "E_IO")
            target.parent.mkdir(parents=True, exist_ok=True)
            hashes[array] = sha256_files(source)
            if self.options.pixels == "link":
                final = out.absolute() / "store" / array
                target.symlink_to(os.path.relpath(source.resolve(), final.parent.resolve()))
            else:
                shutil.copytree(source, target, copy_function=shutil.copyfile)
                if sha256_files(target) != hashes[array]:
                    raise RrgError(f"array {array} changed while it was copied; stop its writer and run again", "E_IO")
        return hashes

    def _finish(self, arrays: Mapping[str, str]) -> dict[str, Any]:
        manifest: dict[str, Any] = {
            "schema": SCHEMA,
            "run": json.loads(encode(self.run)),
            "runs": [json.loads(line) for line in self.runs.opening()],
            "partial": self.options.partial,
            "pixels": self.options.pixels,
            "label_maps": sorted(self.label_maps),
            "patients": {split: len(self.patients[split]) for split in SPLITS},
            "counts": {split: dict(sorted(self.kept[split].items())) for split in SPLITS},
            "strata": {
                split: {field: dict(sorted(counts.items())) for field, counts in sorted(self.strata[split].items())}
                for split in SPLITS
            },
            "funnel": dict(sorted(self.seen.items())),
            "balance": [
                {**row.stratum._asdict(), "before": row.before, "after": row.after} for row in self.balance.rows
            ],
            "shared_texts": {
                f"{a}+{b}": len(self.texts[a] & self.texts[b]) for a, b in itertools.combinations(SPLITS, 2)
            },
            "texts": {split: len(self.texts[split]) for split in SPLITS},
            "blind": self.blind.told(self.options.drop_blind or SOLVABLE)._asdict(),
            "arrays": dict(arrays),
        }
        (self.folder / "card.md").write_text(card(manifest, made_up=self.options.made_up), encoding="utf-8")
        names = ("train.jsonl", "val.jsonl", "test.jsonl", "card.md")
        manifest["files"] = {
            name: {"bytes": (self.folder / name).stat().st_size, "sha256": sha256_file(self.folder / name)}
            for name in names
        }
        content = json.dumps(manifest, sort_keys=True, ensure_ascii=False).encode()
        manifest = {"schema": SCHEMA, "id": hashlib.sha256(content).hexdigest()[:20], **manifest}
        (self.folder / "manifest.json").write_text(
            json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        return manifest


def summary(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What was packed, in a line, and a warning for each split that is empty though it was asked for."""
    counts, patients = manifest["counts"], manifest["patients"]
    said = [f"{split} {counts[split].get('sample', 0)} samples of {patients[split]} patients" for split in SPLITS]
    left_out = sum(n for name, n in manifest["funnel"].items() if name.startswith("dropped."))
    yield f"done: {', '.join(said)}; {left_out} left out; id {manifest['id']}"
    if (blind := manifest["blind"])["questions"]:
        yield (
            f"without the image {blind['solved'] / blind['questions']:.1%} of {blind['questions']} questions are "
            f"guessed right; {blind['solvable'] / blind['questions']:.1%} are solvable (score >= "
            f"{blind['threshold']:g}){', left out' if 'drop_blind' in manifest['run']['options'] else ''}"
        )
    parts = manifest["run"]["options"]["split"]
    for split, part in zip(SPLITS, parts, strict=True):
        if part and not patients[split] and sum(patients.values()):
            yield (
                f"no patient fell into {split}: patients are split by a hash, {sum(patients.values())} are too few "
                "for its share; give more patients, other parts (--split), or another --seed"
            )
