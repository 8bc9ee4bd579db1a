"""A foreign data set -> a data set of ours: pictures to a store, rows to records, the rest is `rrg.pack`."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.codec import encode, word_of
from rrg.datasets import Foreign, Item, Picture, Said, class_ids, inside
from rrg.datasets_kinds import read_foreign
from rrg.errors import RECORDS_FAILED, RecordError, RrgError, UsageError
from rrg.folders import building
from rrg.geometry import component_boxes, union_box
from rrg.infer_pixels import read_picture
from rrg.keys import pseudonym
from rrg.pack import COMMAND, SCHEMA, Existing, Options, is_there, pack, put, summary
from rrg.pack_split import PSEUDONYM, Split, joined, split_of
from rrg.pipe import talk
from rrg.provenance import make_run, sha256_file
from rrg.records import End, Error, ImageRef, Mask, MaskLabel, Run, Sample, Slice
from rrg.store import reference, write_array

ENGINE = "manual"
"""Engine of the mask records: whoever annotated the data set."""
LANGUAGES = ("de", "en")


@dataclass(frozen=True)
class Choices:
    """What is wanted of a foreign data set."""

    split_file: Path | None = None
    strict_counts: bool = False
    """Other numbers than the published ones are an error."""
    text_only: bool = False
    """Questions and answers without their pictures."""


class _NeedsPictureError(RecordError):
    """An item about boxes, of a data set that is to come in without its pictures."""


class Group(NamedTuple):
    """A patient (or case) within one split."""

    key: str
    split: Split
    pictures: tuple[str, ...]
    items: tuple[Item, ...]


def import_foreign(
    kind: str, inputs: Sequence[Path], out: Path, options: Options, choices: Choices, existing: Existing
) -> int:
    """`pack --from`: read, pack, say what came of it. The exit code."""
    if len(inputs) != 1:
        raise UsageError(f"--from {kind} takes one input, the folder or file of the data set; {len(inputs)} were given")
    foreign = read_foreign(kind, inputs[0], choices.split_file)
    manifest, rejected = pack_from(foreign, out, options, choices, existing)
    counts = manifest["source"]["counts"]
    gone = [f"{number} {why}" for why, number in counts.items() if why.startswith(("left_out.", "error."))]
    talk(COMMAND, f"{foreign.title}: {counts.get('sample', 0)} samples came in{''.join(f', {each}' for each in gone)}")
    for line in summary(manifest):
        talk(COMMAND, line)
    return RECORDS_FAILED if rejected else 0


def pack_from(
    foreign: Foreign, out: Path, options: Options, choices: Choices, existing: Existing = Existing.REFUSE
) -> tuple[dict[str, Any], int]:
    """Write the data set folder `out`; its manifest, and the number of rows and pictures that were rejected.

    Memory: the rows of the data set, and one picture. `out` appears whole, under its name, at the very end.
    """
    there = is_there(out, existing)
    _check_counts(foreign, strict=choices.strict_counts)
    with building(out) as temporary:
        groups, leaks = grouped(foreign, options)
        said = {"from": foreign.kind, "text_only": choices.text_only or None}
        run = make_run(COMMAND, {name: value for name, value in said.items() if value}, inputs=foreign.files)
        stream, split_file = temporary / "stream.jsonl", temporary / "split.jsonl"
        counts = _write(foreign, groups, run, choices, stream, split_file, temporary / "store")
        if not counts["sample"] and not counts["slice"]:
            raise RrgError(
                f"nothing of the data set came in ({_worst(counts)}); check the folder of its images, or give "
                "--text-only for questions and answers without them"
            )
        there_are = {group.split for group in groups}
        asked = replace(
            options, split_by=str(split_file), balance=False, drop_copies=False, pixels="copy",
            licence=options.licence or foreign.licence,
            split=(int("train" in there_are), int("val" in there_are), int("test" in there_are)),
        )  # fmt: skip
        packing = make_run(COMMAND, asked.results(), seed=options.seed)
        manifest = pack((stream,), temporary / "store", temporary / "dataset", packing, asked)
        manifest = _named(temporary / "dataset", manifest, foreign, counts, leaks)
        put(temporary / "dataset", out, keep=there and existing is Existing.KEEP_SAME)
    if leaks:
        talk(COMMAND, f"warning: {leaks} patients or images are in two splits of the data set itself; see the card")
    return manifest, sum(number for name, number in counts.items() if name.startswith("error."))


def _check_counts(foreign: Foreign, *, strict: bool) -> None:
    """Say where the data set is not as large as was published; an error when `strict`."""
    wrong = [count for count in foreign.counts if count.seen != count.expected]
    for count in wrong:
        told = f"{foreign.title}: {count.seen} {count.what}, {count.expected} were published"
        if strict:
            raise RrgError(f"{told}; get the whole data set, or leave --strict-counts out")
        talk(COMMAND, f"warning: {told}")


def _worst(counts: Mapping[str, int]) -> str:
    rejected = {name: number for name, number in counts.items() if name.startswith(("error.", "left_out."))}
    return ", ".join(f"{number} {name}" for name, number in sorted(rejected.items())) or "it has no rows"


def grouped(foreign: Foreign, options: Options) -> tuple[list[Group], int]:
    """Items by patient and split, in order; and how many patients the data set itself has in several splits.

    Patients whose pictures stand in one item are one. Items without a split go where the patient's hash says.
    """
    links = [[foreign.pictures[name].patient for name in item.images] for item in foreign.items]
    same = joined([*([patient] for patient in (each.patient for each in foreign.pictures.values())), *links])
    items: dict[tuple[str, Split], list[Item]] = defaultdict(list)
    alone: dict[tuple[str, Split], set[str]] = defaultdict(set)
    for item in foreign.items:
        patient = same[foreign.pictures[item.images[0]].patient] if item.images else f"{item.split}/{item.id}"
        key = _patient(foreign.kind, patient, options.key)
        split = item.split or split_of(key, options.split, options.seed)
        items[key, split].append(item)
        alone[key, split].update(item.images)
    for name, told in foreign.alone.items():
        patient = same[foreign.pictures[name].patient]
        key = _patient(foreign.kind, patient, options.key)
        alone[key, told or split_of(key, options.split, options.seed)].add(name)
    in_splits = Counter(key for key, _ in alone)
    groups = [
        Group(key if in_splits[key] == 1 else _hash(key, split), split, tuple(sorted(names)), tuple(items[key, split]))
        for (key, split), names in sorted(alone.items())
    ]
    return groups, sum(number > 1 for number in in_splits.values())


def _patient(kind: str, patient: str, key: bytes | None) -> str:
    """The pseudonym of a patient or case: it itself when it is one, keyed when there is a key."""
    if PSEUDONYM.fullmatch(patient):
        return patient
    return _hash(kind, patient) if key is None else pseudonym(key, "patient", patient)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(("rrg foreign", *parts)).encode()).hexdigest()[:20]


def _write(
    foreign: Foreign,
    groups: Sequence[Group],
    run: Run,
    choices: Choices,
    stream: Path,
    split_file: Path,
    store: Path,
) -> Counter[str]:
    """Write the record stream, the arrays, and the file of splits; what came in and what did not."""
    counts: Counter[str] = Counter({f"left_out.{why}": number for why, number in foreign.left_out.items()})
    numbers = class_ids(foreign.labels)
    with stream.open("wb") as lines, split_file.open("w", encoding="utf-8") as splits:
        lines.write(encode(run) + b"\n")
        for group in groups:
            splits.write(json.dumps({"patient": group.key, "split": group.split}) + "\n")
            for record in _records(foreign, group, choices, numbers, store):
                if record is None:
                    counts["left_out.boxes"] += 1
                    continue
                kind = word_of(record.schema)
                counts[f"error.{record.code}" if isinstance(record, Error) else kind] += 1
                lines.write(encode(replace(record, run=run.id)) + b"\n")
        lines.write(encode(End(run=run.id, counts=dict(sorted(counts.items())))) + b"\n")
    return counts


def _records(
    foreign: Foreign, group: Group, choices: Choices, numbers: Mapping[str, int], store: Path
) -> Iterator[Slice | Mask | Sample | Error | None]:
    """The records of one patient; None for an item that has no place here (`--text-only` and boxes).

    The arrays lie in the store before the records that name them.
    """
    slices: dict[str, Slice] = {}
    masks: dict[str, Mask] = {}
    broken: dict[str, RecordError] = {}
    for name in () if choices.text_only else group.pictures:
        try:
            picture = foreign.pictures[name]
            file = inside(foreign.root, name)
            if not file.is_file():
                raise RecordError("E_IO", "its file is not there; get the pictures of the data set")
            pixels = grey_or_colour(read_picture(file))
            slices[name] = _slice(foreign.kind, group, picture, pixels, store)
            if picture.masks is not None:
                found = picture.masks(*pixels.shape[:2])
                masks[name] = _mask(foreign.kind, slices[name], found, numbers, store)
        except RecordError as error:
            slices.pop(name, None)
            broken[name] = error
            yield _error(foreign, error, "picture", name)
    yield from slices.values()
    yield from masks.values()

    def size(name: str) -> tuple[int, int]:
        if name in slices:
            return slices[name].rows, slices[name].columns
        raise broken.get(name) or _NeedsPictureError("E_BOX", "boxes need the picture")

    for item in group.items:
        try:
            if gone := next((name for name in item.images if name in broken), None):
                raise RecordError("E_NO_IMAGE", f"its picture is rejected ({broken[gone].code})")
            said = item.say(size)
            yield _sample(foreign, group, item, said, slices, masks, text_only=choices.text_only)
        except _NeedsPictureError:
            yield None
        except RecordError as error:
            yield _error(foreign, error, "item", item.id, item.where)


def _error(foreign: Foreign, error: RecordError, kind: str, name: str, where: str = "") -> Error:
    key = _hash(foreign.kind, kind, name)
    message = f"{where}: {error.message}" if where else error.message
    return Error(id=key, code=error.code, command=COMMAND, message=message, source=f"{kind}/{key}")


def grey_or_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(rows, columns, 3) -> (rows, columns) where the three channels are the same."""
    grey = pixels[..., 0]
    same = bool((pixels == grey[..., None]).all())
    return np.ascontiguousarray(grey) if same else pixels


def _slice(kind: str, group: Group, picture: Picture, pixels: NDArray[np.uint8], store: Path) -> Slice:
    series = _hash(kind, "picture", picture.name)
    array = f"series/{series}"
    (sha256,) = write_array(store, array, pixels[None])
    return Slice(
        id=_hash(group.key, picture.name),
        patient=group.key,
        study=_hash(group.key, "study"),
        series=series,
        index=0,
        count=1,
        pixels=reference(array, 0),
        sha256=sha256,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        dtype="uint8",
        unit="rgb",
        modality=picture.modality,
        body_part=picture.body_part,
    )


def _mask(
    kind: str, of: Slice, found: Mapping[str, NDArray[np.bool_]], numbers: Mapping[str, int], store: Path
) -> Mask:
    """The mask record of a picture. Structures that overlap lie in different layers."""
    layers: list[NDArray[np.uint8]] = [np.zeros((of.rows, of.columns), np.uint8)]
    labels = []
    for label in sorted(found, key=lambda name: numbers[name]):
        inside_ = found[label]
        boxes = component_boxes(inside_)
        if not boxes:
            continue
        layer = next((n for n, each in enumerate(layers) if not each[inside_].any()), len(layers))
        if layer == len(layers):
            layers.append(np.zeros_like(layers[0]))
        layers[layer][inside_] = numbers[label]
        labels.append(
            MaskLabel(
                label=label, class_id=numbers[label], layer=layer, area_px=int(inside_.sum()),
                box=union_box(boxes), components=boxes,
            )
        )  # fmt: skip
    array = f"masks/{of.series}"
    write_array(store, array, np.stack(layers)[None])
    table = hashlib.sha256(json.dumps(sorted(numbers.items())).encode()).hexdigest()[:12]
    return Mask(
        id=_hash(of.id, "mask"),
        from_=(of.id,),
        patient=of.patient,
        study=of.study,
        series=of.series,
        slice=of.id,
        engine=ENGINE,
        array=reference(array, 0),
        labels=tuple(labels),
        label_map=f"{kind}/1:{table}",
    )


def _sample(
    foreign: Foreign,
    group: Group,
    item: Item,
    said: Said,
    slices: Mapping[str, Slice],
    masks: Mapping[str, Mask],
    *,
    text_only: bool,
) -> Sample:
    shown = () if text_only else item.images
    images = tuple(_image(number, slices[name]) for number, name in enumerate(shown))
    arrays = {f"i{number}": masks[name] for number, name in enumerate(shown) if name in masks}
    turns = said.turns
    if text_only:
        turns = tuple(replace(turn, content=tuple(p for p in turn.content if p.type == "text")) for turn in turns)
    mentions = tuple(
        replace(mention, regions=tuple(_with_mask(region, arrays.get(region.image)) for region in mention.regions))
        for mention in said.mentions
    )
    modality = {"modality": slices[shown[0]].modality} if shown else {}
    return Sample(
        id=item.id if PSEUDONYM.fullmatch(item.id) else _hash(foreign.kind, str(item.split), item.id),
        from_=tuple(slices[name].id for name in shown),
        patient=group.key,
        study=_hash(group.key, "study"),
        images=images,
        turns=turns,
        mentions=mentions,
        context=said.context,
        lang=said.lang,
        task=said.task,
        question_type=said.question_type,
        choices=said.choices,
        answer=said.answer,
        facets={"source": foreign.kind, **modality, **said.facets},
        provenance={"generator": foreign.kind},
        extra=None if PSEUDONYM.fullmatch(item.id) else {foreign.kind: item.id},
    )


def _image(number: int, of: Slice) -> ImageRef:
    return ImageRef(
        id=f"i{number}", ref=of.pixels, slice=of.id, rows=of.rows, columns=of.columns, modality=of.modality, unit="rgb"
    )


def _with_mask(region: Any, mask: Mask | None) -> Any:
    """The region with a reference to the mask that holds its label, if any."""
    if mask is None or not any(found.label == region.label for found in mask.labels):
        return region
    found = next(found for found in mask.labels if found.label == region.label)
    return replace(region, mask=mask.array, class_id=found.class_id)


def _named(
    folder: Path, manifest: Mapping[str, Any], foreign: Foreign, counts: Mapping[str, int], leaks: int
) -> dict[str, Any]:
    """Say in card and manifest whose data set it is; the manifest last."""
    path = folder / "card.md"
    source = {
        "format": foreign.kind,
        "title": foreign.title,
        "licence": foreign.licence,
        "files": dict(sorted(foreign.files.items())),
        "counts": dict(sorted(counts.items())),
        "published": [vars(count) for count in foreign.counts],
        "in_two_splits": leaks,
    }
    head, _, rest = path.read_text(encoding="utf-8").partition("\n\n")
    path.write_text(f"{head}\n\n{_told(source)}\n\n{rest}", encoding="utf-8")
    content = {name: value for name, value in manifest.items() if name != "id"} | {"source": source}
    content["files"]["card.md"] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    said = json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
    whole = {"schema": SCHEMA, "id": hashlib.sha256(said).hexdigest()[:20], **content}
    (folder / "manifest.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return whole


def _told(source: Mapping[str, Any]) -> str:
    rows = "".join(f"| {name} | {number} |\n" for name, number in source["counts"].items())
    published = "".join(
        f"| {each['what']}, published {each['expected']} | {each['seen']} |\n" for each in source["published"]
    )
    twice = (
        f"\n{source['in_two_splits']} patients or images are in two splits of the data set itself: scores on them are "
        "too good.\n"
        if source["in_two_splits"]
        else ""
    )
    return (
        f"## Source\n\nImported from {source['title']} (`--from {source['format']}`). Licence: {source['licence']}. "
        "Texts, boxes and masks are those of the source, not made by rrg; what is said below of personal data and of "
        f"automatic labels holds as far as it holds of the source.\n{twice}\n| | number |\n| --- | --- |\n"
        f"{rows}{published}"
    ).rstrip()
