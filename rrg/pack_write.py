"""pack's last pass: the files of the splits, and the arrays that they name."""

import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Literal, NamedTuple

from rrg.codec import encode
from rrg.errors import RecordError, RrgError
from rrg.pack_choice import Choice
from rrg.pack_read import Gathered, Spooled, pixels_number
from rrg.pack_split import SPLITS, Split
from rrg.provenance import sha256_files
from rrg.records import End, Run, Sample
from rrg.store import length_of


class Study(NamedTuple):
    """A study on its way into its split."""

    split: Split
    spooled: Spooled
    images: Mapping[str, int]
    """Reference -> hash of the pixels."""
    samples: tuple[Sample, ...]
    """Those that nothing but the balance is against."""


def judged(
    gathered: Gathered, splits: Sequence[Split], choice: Choice, dropped: Counter[str] | None = None
) -> Iterator[Study]:
    """Every study with the samples that stay; `splits` by the number of the study. Counts what goes in `dropped`."""
    for spooled in gathered.studies():
        split = splits[spooled.number]
        values = [json.loads(raw) for raw in spooled.slices]
        images = {value["pixels"]: pixels_number(value["sha256"]) for value in values}
        kept: list[Sample] = []
        for sample in spooled.samples:
            why = choice.against(sample, split, images)
            if why is None:
                kept.append(sample)
            elif dropped is not None:
                dropped[f"dropped.{why}"] += 1
        yield Study(split, spooled, images, tuple(kept))


class Written:
    """What went into the files, by split."""

    def __init__(self, solvable_from: float) -> None:
        """`solvable_from`: from this score on a question is solvable without the image."""
        self._solvable_from = solvable_from
        self.counts: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
        self.strata: dict[Split, dict[str, Counter[str]]] = {split: defaultdict(Counter) for split in SPLITS}
        self.patients: dict[Split, set[str]] = {split: set() for split in SPLITS}
        self.leaked: Counter[Split] = Counter()
        """Samples whose image or text a split before has, too."""
        self.questions: Counter[Split] = Counter()
        self.solvable: Counter[Split] = Counter()

    def count(self, split: Split, sample: Sample) -> None:
        """Count a sample."""
        self.counts[split]["sample"] += 1
        self.questions[split] += sample.blind is not None
        self.solvable[split] += sample.blind is not None and sample.blind >= self._solvable_from
        strata = self.strata[split]
        strata["task"][sample.task] += 1
        strata["lang"][sample.lang] += 1
        strata["task_lang"][f"{sample.task}, {sample.lang}"] += 1
        strata["modality"][sample.facets.get("modality", "unknown")] += 1
        if "source" in sample.facets:
            strata["source"][sample.facets["source"]] += 1
        if "pairing" in sample.facets:
            strata["pairing"][sample.facets["pairing"]] += 1
        if sample.question_type:
            strata["question_type"][sample.question_type] += 1
        for label in sorted({region.label for mention in sample.mentions for region in mention.regions}):
            strata["label"][label] += 1


def write_splits(
    folder: Path, run: Run, gathered: Gathered, studies: Iterable[Study], choice: Choice, written: Written
) -> None:
    """Write train.jsonl, val.jsonl and test.jsonl, each a closed stream."""
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / f"{split}.jsonl").open("wb")) for split in SPLITS}
        for file in files.values():
            file.writelines(line + b"\n" for line in (*gathered.runs.opening(), encode(run)))
        for study in studies:
            _write_study(study, gathered, choice, written, files[study.split])
        for split, file in files.items():
            end = End(run=run.id, counts=dict(sorted(written.counts[split].items())))
            file.writelines(line + b"\n" for line in (*gathered.runs.closing(), encode(end)))


def _write_study(study: Study, gathered: Gathered, choice: Choice, written: Written, file: IO[bytes]) -> None:
    split, spooled = study.split, study.spooled
    counts = written.counts[split]
    counts["study"] += 1
    counts["slice"] += len(spooled.slices)
    counts["mask"] += len(spooled.masks)
    written.patients[split].add(gathered.visits[spooled.number].patient)
    file.writelines(raw + b"\n" for raw in (*spooled.slices, *spooled.masks))
    for sample in study.samples:
        if choice.is_surplus(sample, split):
            gathered.seen["dropped.balance"] += 1
            continue
        written.count(split, sample)
        written.leaked[split] += choice.is_leak(sample, split, study.images)
        file.write(encode(replace(sample, split=split)) + b"\n")


def take_arrays(
    arrays: Mapping[str, int], store: Path, folder: Path, out: Path, pixels: Literal["copy", "link"]
) -> dict[str, str]:
    """Copy or link the arrays that the records name, with the highest index, into ``folder/store``. Their hashes."""
    hashes: dict[str, str] = {}
    for array, highest in sorted(arrays.items()):
        source, target = store / array, folder / "store" / array
        if not source.is_dir():
            raise RrgError(f"store has no array {array}; give the --store that the records were made with", "E_IO")
        try:
            slices = length_of(store, array)
        except RecordError as error:
            raise RrgError(error.message, error.code) from None
        if slices <= highest:
            raise RrgError(
                f"a record names {array}#{highest}, but the array holds {slices} slices; make it again", "E_IO"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        hashes[array] = sha256_files(source)
        if pixels == "link":
            final = out.absolute() / "store" / array
            target.symlink_to(os.path.relpath(source.resolve(), final.parent.resolve()))
        else:
            shutil.copytree(source, target, copy_function=shutil.copyfile)
            if sha256_files(target) != hashes[array]:
                raise RrgError(f"array {array} changed while it was copied; stop its writer and run again", "E_IO")
    return hashes
