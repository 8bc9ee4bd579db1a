"""What the user gave to `rrg infer`: a data set, streams, or pictures and studies to ask about."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from rrg import extract, study
from rrg.errors import UsageError
from rrg.infer_asks import Ask, samples_about
from rrg.infer_experts import Experts, told
from rrg.infer_pixels import read_picture
from rrg.pipe import Item, complain, read_records, talk
from rrg.provenance import sha256_file
from rrg.records import Error, ImageRef, Lang, Sample, Slice
from rrg.store import sha256_pixels
from rrg.study_choice import Chosen, ranges
from rrg.synth.seen import image_of

Kind = Literal["stream", "dataset", "picture", "study"]
PICTURES = (".png", ".jpg", ".jpeg")
SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Work:
    """Samples of one study, and what is known of their pictures."""

    study: str
    samples: tuple[Sample, ...]
    slices: tuple[Slice, ...] = ()
    held: dict[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    """Pixels that are in no store, by reference."""
    errors: tuple[Error, ...] = ()
    """Files that gave no samples."""
    chosen: tuple[Chosen, ...] = ()
    """Of a study on disk: the stacks, with the headers behind their slices."""


@dataclasses.dataclass(frozen=True)
class Asking:
    """What to ask about pictures that come without samples."""

    asks: tuple[Ask, ...]
    lang: Lang
    context: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """``clinical`` and ``question``: text that stands before each task."""
    wish: study.Wish | None = None
    """Which slices of a study."""
    experts: Experts = dataclasses.field(default_factory=dict)
    """What other models say of slices and studies."""

    def about(self, image: ImageRef, patient: str, study_id: str) -> list[Sample]:
        """The samples about one image."""
        found = told(self.experts, image, study_id, self.lang)
        context = {**self.context, **({"experts": found} if found else {})}
        return samples_about(image, self.asks, self.lang, patient=patient, study=study_id, context=context)


def kind_of(inputs: Sequence[Path]) -> Kind:
    """What the inputs are, all of one kind. UsageError for a mixture or a path that is not there."""
    kinds: set[Kind] = set()
    for path in inputs or (Path("-"),):
        if str(path) == "-" or path.suffix == ".jsonl" or path.is_fifo() or path.is_char_device():
            kinds.add("stream")
        elif not path.exists():
            raise UsageError(
                f"{path}: no such file or folder; give a study, a PNG or JPEG, a data set, a stream, or - for stdin"
            )
        elif path.is_dir() and (path / "manifest.json").is_file():
            kinds.add("dataset")
        else:
            kinds.add("picture" if path.suffix.lower() in PICTURES else "study")
    if len(kinds) > 1:
        raise UsageError(f"inputs are of several kinds ({', '.join(sorted(kinds))}); give one kind at a time")
    if "dataset" in kinds and len(inputs) > 1:
        raise UsageError("more than one data set folder; give one at a time")
    return kinds.pop()


def split_stream(dataset: Path, split: str) -> Path:
    """The stream of one split of a data set. UsageError names the splits that are there."""
    path = dataset / f"{split}.jsonl"
    if split not in SPLITS or not path.is_file():
        there = [name for name in SPLITS if (dataset / f"{name}.jsonl").is_file()]
        raise UsageError(f"--split {split}: {dataset} has {', '.join(there) or 'no split'}; give one of these")
    return path


def picture_work(path: Path, asking: Asking) -> Work:
    """The samples about one PNG or JPEG. Raises RecordError when it can not be read."""
    pixels = read_picture(path)
    name = sha256_pixels(pixels)[:20]
    image = ImageRef(id="i0", ref=f"picture/{name}#0", rows=pixels.shape[0], columns=pixels.shape[1], unit="rgb")
    return Work(name, tuple(asking.about(image, name, name)), held={image.ref: pixels})


def study_work(work: extract.Work, asking: Asking) -> Work:
    """The samples about the chosen slices of a study; says on stderr which they are, and why."""
    assert asking.wish is not None
    held = study.open_study(work, asking.wish)
    samples: list[Sample] = []
    for slice_ in held.slices:
        samples += asking.about(image_of(slice_), slice_.patient, slice_.study)
    for chosen in held.chosen:
        talk("infer", f"{chosen}; --slices all|N|every:K|referenced|LIST and --series choose others")
        if chosen.missing:
            talk("infer", f"--slices: images {ranges(chosen.missing)} are not in the series, and are left out")
    if asking.wish.spec.kind == "referenced" and not held.chosen and work.study is not None:
        talk("infer", "the report points at no slice of this study; --slices N asks about others")
    for code, n in sorted(Counter(error.code for error in held.errors).items()):
        first = next(error for error in held.errors if error.code == code)
        talk("infer", f"{n} file{'s' if n > 1 else ''} left out: {first.message} [{code}]")
    name = held.slices[0].study if held.slices else ""
    return Work(name, tuple(samples), held.slices, held.pixels, held.errors, held.chosen)


def picture_items(paths: Sequence[Path]) -> Iterator[Item]:
    """One piece of work per picture file, in order; the same bytes twice are two pieces."""
    for number, path in enumerate(paths):
        try:
            digest = sha256_file(path)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        yield Item(f"file/{number}:{digest[:20]}", digest, path)


def study_items(paths: Sequence[Path], key: bytes) -> Iterator[Item]:
    """One piece of work per study; files that give no image come first. RrgError when nothing is DICOM."""
    found = 0
    opened = extract.indexed(paths)
    for item in chain(extract.rejected_items(opened, key), extract.study_items(opened, key)):
        found += item.payload.study is not None
        yield item
    if not found:
        names = ", ".join(map(str, paths))
        talk("infer", f"{names}: no DICOM image in there; give a folder or files of a CT or MR study, a PNG or a JPEG")


def wanted(sample: Sample, tasks: Sequence[str], lang: str | None) -> bool:
    """True for a sample of one of `tasks` (or any, when there are none) in `lang` (or any, when None)."""
    return (not tasks or sample.task in tasks) and lang in (None, sample.lang)


def dataset_items(stream: Path, *, tasks: Sequence[str], lang: str | None, limit: int | None) -> Iterator[Item]:
    """The studies of one split of a data set, with those of their samples that are wanted, in stream order.

    `limit` counts the samples of all shards together, so that shards make up the whole.
    """
    left, seen, found = limit, Counter[tuple[str, str]](), 0
    records = (r for r in read_records([stream], (Sample, Slice)) if isinstance(r, Sample | Slice))
    for name, group in groupby(records, key=lambda record: record.study):
        own = list(group)
        every = [record for record in own if isinstance(record, Sample)]
        seen.update((sample.task, sample.lang) for sample in every)
        samples = [sample for sample in every if wanted(sample, tasks, lang)][:left]
        if left is not None:
            left -= len(samples)
        if samples:
            found += len(samples)
            slices_ = tuple(record for record in own if isinstance(record, Slice))
            yield Item(name, samples[0].patient, Work(name, tuple(samples), slices_))
        if left == 0:
            return
    if not found:
        complain("infer", _nothing(stream, seen, tasks, lang))


def _nothing(stream: Path, seen: Counter[tuple[str, str]], tasks: Sequence[str], lang: str | None) -> str:
    """Why no sample of a split is answered: there is none, or none is wanted."""
    if not seen:
        return f"{stream}: the split holds no samples; give another --split, or pack with other parts (pack --split)"
    there = (sorted({task for task, _ in seen}), sorted({lang for _, lang in seen}))
    asked = [f"--task {task}" for task in tasks] + ([f"--lang {lang}"] if lang else [])
    return (
        f"{stream}: none of {seen.total()} samples is wanted by {', '.join(asked)}; they are of the tasks "
        f"{', '.join(there[0])}, in {', '.join(there[1])}"
    )
