"""pack's last pass: the files of the splits."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

from rrg.codec import encode
from rrg.pack_choice import Choice
from rrg.pack_facts import between
from rrg.pack_read import Gathered, Place, Spooled
from rrg.pack_split import SPLITS, Split
from rrg.records import End, Run


class Study(NamedTuple):
    """A study on its way into its split."""

    split: Split
    place: Place
    spooled: Spooled
    stays: tuple[bool, ...]
    """For each sample: nothing but the balance is against it."""


def judged(
    gathered: Gathered, splits: Sequence[Split], choice: Choice, dropped: Counter[str] | None = None
) -> Iterator[Study]:
    """Every study with the samples that stay; `splits` by the number of the study. Counts what goes in `dropped`."""
    for place, spooled in gathered.studies():
        split = splits[spooled.number]
        against = [choice.against(fact, blind, split) for fact, blind in spooled.samples]
        if dropped is not None:
            dropped.update(f"dropped.{why}" for why in against if why is not None)
        yield Study(split, place, spooled, tuple(why is None for why in against))


def weigh(gathered: Gathered, splits: Sequence[Split], choice: Choice) -> None:
    """Count for the balance what may stay."""
    for study in judged(gathered, splits, choice):
        for (fact, _), stays in zip(study.spooled.samples, study.stays, strict=True):
            if stays:
                choice.weigh(fact, study.split)


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

    def count(self, split: Split, strata: Iterable[tuple[str, str]], blind: float | None) -> None:
        """Count a sample by its strata (`rrg.pack_facts.strata_of`) and its blind score."""
        self.counts[split]["sample"] += 1
        if blind is not None:
            self.questions[split] += 1
            self.solvable[split] += blind >= self._solvable_from
        counted = self.strata[split]
        for field, value in strata:
            counted[field][value] += 1


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
    counts["slice"] += spooled.slices
    counts["mask"] += spooled.masks
    written.patients[split].add(gathered.visits[spooled.number].patient)
    lines, samples = gathered.lines_of(study.place)
    out = [lines]
    start = 0
    for scored, stays in zip(spooled.samples, study.stays, strict=True):
        fact, end = scored.fact, start + scored.fact.size
        if stays and choice.is_surplus(fact, split):
            gathered.seen["dropped.balance"] += 1
        elif stays:
            written.count(split, fact.strata, scored.blind)
            written.leaked[split] += choice.is_leak(fact, split)
            at = start + fact.head
            out += samples[start:at], between(scored.blind, split), samples[at:end], b"\n"
        start = end
    file.write(b"".join(out))
