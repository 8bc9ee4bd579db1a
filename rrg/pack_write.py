"""pack's last pass: the files of the splits."""

import functools
import hashlib
import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rrg.codec import encode
from rrg.columns import Columns
from rrg.pack_choice import REASONS, Choice
from rrg.pack_facts import between
from rrg.pack_read import Gathered, Spooled
from rrg.pack_split import SPLITS, Split
from rrg.records import End, Run

AHEAD = 4
"""Studies that are written before they are hashed, at most."""


class Study(NamedTuple):
    """A study on its way into its split."""

    split: Split
    spooled: Spooled
    stays: NDArray[np.bool_]
    """For each sample: nothing but the balance is against it."""


def judged(
    gathered: Gathered, splits: Sequence[Split], choice: Choice, dropped: Counter[str] | None = None
) -> Iterator[Study]:
    """Every study with the samples that stay; `splits` by the number of the study. Counts what goes in `dropped`."""
    for spooled in gathered.studies():
        split = splits[spooled.place.number]
        against = choice.against(spooled.facts, spooled.blind, split)
        if dropped is not None:
            for why, n in zip(REASONS, np.bincount(against).tolist(), strict=False):
                if why is not None and n:
                    dropped[f"dropped.{why}"] += n
        yield Study(split, spooled, against == 0)


def weigh(gathered: Gathered, splits: Sequence[Split], choice: Choice, columns: Columns) -> None:
    """Count for the balance what may stay. `columns`: the balance's are among them."""
    for study in judged(gathered, splits, choice):
        choice.weigh(study.spooled.facts, study.stays, study.split)
        columns.spill()


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

    def count(self, split: Split, strata: Iterable[tuple[tuple[str, str], int]], blind: ArrayLike) -> None:
        """Count samples: each stratum (`rrg.pack_facts.strata_of`) with how many are in it, and the blind score of each
        sample, NaN where it has none."""
        scores = np.asarray(blind, np.float64)
        if len(scores):
            self.counts[split]["sample"] += len(scores)
        self.questions[split] += int(np.count_nonzero(~np.isnan(scores)))
        self.solvable[split] += int(np.count_nonzero(scores >= self._solvable_from))
        counted = self.strata[split]
        for (field, value), n in strata:
            counted[field][value] += n


def write_splits(
    folder: Path, run: Run, gathered: Gathered, studies: Iterable[Study], choice: Choice, written: Written
) -> dict[str, Mapping[str, int | str]]:
    """Write train.jsonl, val.jsonl and test.jsonl, each a closed stream; what the manifest says of each."""
    with ExitStack() as stack:
        hashing = stack.enter_context(ThreadPoolExecutor(1))
        files = {split: stack.enter_context(_File(folder / f"{split}.jsonl", hashing)) for split in SPLITS}
        for file in files.values():
            file.write(b"".join(line + b"\n" for line in (*gathered.runs.opening(), encode(run))))
        strata = list(gathered.numbers.strata)
        for study in studies:
            _write_study(study, gathered, strata, choice, written, files[study.split])
        for split, file in files.items():
            end = End(run=run.id, counts=dict(sorted(written.counts[split].items())))
            file.write(b"".join(line + b"\n" for line in (*gathered.runs.closing(), encode(end))))
        return {f"{split}.jsonl": file.told() for split, file in files.items()}


class _File:
    """A file that another thread hashes while more of it is made."""

    def __init__(self, path: Path, hashing: ThreadPoolExecutor) -> None:
        """`hashing`: of one thread, so that parts are hashed in their order."""
        self._file, self._hashing = path.open("wb"), hashing
        self._digest = hashlib.sha256()
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._file.close()

    def write(self, part: bytes) -> None:
        """Write the next part."""
        self._file.write(part)
        self._waiting.append(self._hashing.submit(self._digest.update, part))
        if len(self._waiting) > AHEAD:
            self._waiting.popleft().result()

    def told(self) -> Mapping[str, int | str]:
        """Its size and SHA-256, when all is written."""
        for each in self._waiting:
            each.result()
        return {"bytes": self._file.tell(), "sha256": self._digest.hexdigest()}


def _write_study(
    study: Study,
    gathered: Gathered,
    strata: Sequence[tuple[str, str]],
    choice: Choice,
    written: Written,
    file: _File,
) -> None:
    split, place, facts = study.split, study.spooled.place, study.spooled.facts
    counts = written.counts[split]
    counts["study"] += 1
    counts["slice"] += place.slices
    counts["mask"] += place.masks
    written.patients[split].add(gathered.visits[place.number].patient)
    surplus = study.stays & choice.surplus(facts, split)
    chosen = study.stays & ~surplus
    if n := int(np.count_nonzero(surplus)):
        gathered.seen["dropped.balance"] += n
    numbers, found = np.unique(facts.strata_of(chosen), return_counts=True)
    blind = study.spooled.blind[chosen]
    written.count(split, zip(map(strata.__getitem__, numbers), found.tolist(), strict=True), blind)
    written.leaked[split] += int(np.count_nonzero(chosen & choice.leaks(facts, split)))
    lines, samples = gathered.lines_of(place)
    rows = facts.rows
    ends = np.cumsum(rows["size"], dtype=np.int64)
    starts = ends - rows["size"]
    places = np.stack([starts, starts + rows["head"], ends], axis=1)[chosen]
    own = [_own(None if math.isnan(score) else score, split) for score in (blind + 0.0).tolist()]  # no -0.0
    file.write(lines)
    file.write(b"".join(_woven(memoryview(samples), places.tolist(), own)))


_own = functools.lru_cache(1 << 12)(between)  # scores of questions have three digits


def _woven(
    samples: memoryview, places: Iterable[tuple[int, int, int]], own: Iterable[bytes]
) -> Iterator[bytes | memoryview]:
    """The lines of samples, each with its `own` between its parts. `places`: where a line starts, where it is cut,
    where it ends; with its line end."""
    begin = end = 0
    for (start, at, stop), part in zip(places, own, strict=True):
        if start != end:  # what lies before was not chosen
            yield samples[begin:end]
            begin = start
        yield samples[begin:at]
        yield part
        begin, end = at, stop
    yield samples[begin:end]
