"""What `train` reads of a data set: pictures, dense labels from masks, samples."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError, RrgError, UsageError
from rrg.infer_pixels import pixels_of
from rrg.pipe import check_closed, read_records
from rrg.records import End, ImageRef, Mask, Record, Run, Sample, Slice
from rrg.store import read_volume, split_reference
from rrg.windows import BLANK, Preset, look

MOST_CLASSES = 120
"""Structures that the tower stage learns: the most frequent ones."""
FEWEST_SLICES = 8
"""A structure on fewer slices is not learnt by the tower stage."""
RECENT = 256
"""Pictures that are kept where not all of them are."""


@dataclass(frozen=True)
class Part:
    """One split of a data set, held in memory."""

    slices: Mapping[str, Slice]
    masks: tuple[Mask, ...]
    samples: tuple[Sample, ...]


class Arrays(NamedTuple):
    """Dense labels of slices, see `rrg.train_tower.Dense`."""

    refs: tuple[str, ...]
    """Pixel references of the slices, in order."""
    ids: tuple[str, ...]
    """Slice ids."""
    maps: NDArray[np.uint8]
    """(n, layers, side, side) class number + 1."""
    boxes: NDArray[np.float32]
    """(n, classes, 4) as shares of the slice; not a number where the class is not there."""
    known: NDArray[np.bool_]
    """(n, classes)"""


def check_dataset(folder: Path) -> dict[str, Any]:
    """The manifest of a data set. Raises UsageError when the folder is none, or was never finished."""
    try:
        manifest = cast(dict[str, Any], json.loads((folder / "manifest.json").read_bytes()))
    except (OSError, ValueError):
        raise UsageError(f"{folder}: no manifest.json inside; give a folder that rrg pack finished") from None
    if manifest.get("schema") != "rrg.dataset/1":
        raise UsageError(f"{folder}: manifest of {manifest.get('schema')!r}; expected rrg.dataset/1, made by rrg pack")
    return manifest


def for_demonstration(manifest: Mapping[str, Any]) -> bool:
    """Whether models of this data set are for demonstration: its studies are made up, or `rrg pack` was told so."""
    options = manifest["run"]["options"]
    return bool(options.get("made_up") or options.get("demonstration"))


def read_part(folder: Path, split: Literal["train", "val", "test"], languages: tuple[str, ...]) -> Part:
    """The slices, masks and samples (in `languages`) of one split. A truncated file is refused."""
    slices: dict[str, Slice] = {}
    masks: list[Mask] = []
    samples: list[Sample] = []
    brackets: list[Record] = []
    for record in read_records([folder / f"{split}.jsonl"], (Slice, Mask, Sample)):
        if isinstance(record, Slice):
            slices[record.id] = record
        elif isinstance(record, Mask):
            masks.append(record)
        elif isinstance(record, Sample):
            if record.lang in languages:
                samples.append(record)
        elif isinstance(record, Run | End):
            brackets.append(record)
    check_closed(brackets, f"{split}.jsonl")
    return Part(slices, tuple(masks), tuple(samples))


def check_pictures(folder: Path, samples: Iterable[Sample]) -> None:
    """Raise UsageError when no sample shows anything: a model that looks can not be trained on words alone."""
    if not any(sample.images for sample in samples):
        raise UsageError(f"{folder}: none of its samples has a picture; pack the data set without --text-only")


class Pictures:
    """uint8 pictures by pixel reference (and window, where an image has its own), each made once."""

    def __init__(self, folder: Path, preset: Preset, side: int, *, grey: bool = False) -> None:
        """`grey`: a control, `of` shows one grey picture for all."""
        self._store, self._preset, self._side, self._grey = folder / "store", preset, side, grey
        self._number: dict[tuple[str, str | None], int] = {}
        self._made: list[NDArray[np.uint8]] = []
        self._recent: dict[ImageRef, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self._made)

    def add(self, image: ImageRef) -> int:
        """The number of an image's picture; it is made when it is new."""
        key = image.ref, image.preset
        if key not in self._number:
            try:
                values = pixels_of(image, store=self._store, held={})
            except RecordError as error:
                raise RrgError(f"data set: {error.message}", error.code) from None
            self._number[key] = len(self._made)
            self._made.append(look(image, values, self._preset, self._side)[0])
        return self._number[key]

    def of(self, image: ImageRef) -> NDArray[np.uint8]:
        """(side, side, 3) picture of an image; only the `RECENT` last ones are kept."""
        if self._grey:
            return np.full((self._side, self._side, 3), BLANK, np.uint8)
        if image not in self._recent:
            try:
                values = pixels_of(image, store=self._store, held={})
            except RecordError as error:
                raise RrgError(f"data set: {error.message}", error.code) from None
            self._recent[image] = look(image, values, self._preset, self._side)[0]
            if len(self._recent) > RECENT:
                self._recent.pop(next(iter(self._recent)))
        return self._recent[image]

    def picture(self, number: int) -> NDArray[np.uint8]:
        """(side, side, 3)."""
        return self._made[number]

    def stacked(self) -> NDArray[np.uint8]:
        """(n, side, side, 3), by number."""
        return np.stack(self._made)


def image_of(each: Slice) -> ImageRef:
    """A slice as the image of a sample."""
    return ImageRef(
        id="i0", ref=each.pixels, slice=each.id, rows=each.rows, columns=each.columns,
        modality=each.modality, unit=each.unit, padding=each.padding,
        inverted=True if "monochrome1" in each.flags else None,
    )  # fmt: skip


def structures(masks: Iterable[Mask]) -> tuple[str, ...]:
    """Names of the structures to learn, most frequent first (ties by name)."""
    slices = Counter(label for mask in masks for label in {found.label for found in mask.labels})
    kept = [(-count, name) for name, count in slices.items() if count >= FEWEST_SLICES]
    return tuple(name for _, name in sorted(kept)[:MOST_CLASSES])


def dense_arrays(folder: Path, part: Part, classes: tuple[str, ...], side: int) -> Arrays:
    """Labels of every slice that has a mask, at picture size (nearest pixel), boxes from the full size."""
    by_slice: dict[str, list[Mask]] = {}
    for mask in part.masks:
        by_slice.setdefault(mask.slice, []).append(mask)
    ids = tuple(name for name in by_slice if name in part.slices)
    layers = _layers(folder, part.masks)
    depth = max((sum(layers[_array(mask)] for mask in by_slice[name]) for name in ids), default=1)
    number = {name: place for place, name in enumerate(classes)}
    maps = np.zeros((len(ids), depth, side, side), np.uint8)
    boxes = np.full((len(ids), len(classes), 4), np.nan, np.float32)
    known = np.zeros((len(ids), len(classes)), bool)
    cached: tuple[str, Any] = ("", None)
    for row, name in enumerate(ids):
        size = np.array([part.slices[name].columns, part.slices[name].rows] * 2, np.float32)
        at = 0
        for mask in by_slice[name]:
            array, index = split_reference(mask.array)
            if cached[0] != array:
                cached = array, read_volume(folder / "store", array)
            values = shrunk(cached[1][index], side)
            maps[row, at : at + len(values)] = _renumbered(mask, number)[values]
            at += len(values)
            for found in mask.labels:
                if (place := number.get(found.label)) is not None and np.isnan(boxes[row, place, 0]):
                    boxes[row, place] = np.array(found.box.xyxy, np.float32) / size
            looked = classes if mask.looked_for is None else {*mask.looked_for, *(f.label for f in mask.labels)}
            known[row] |= [name in looked for name in classes]
    return Arrays(tuple(part.slices[name].pixels for name in ids), ids, maps, boxes, known)


def shrunk(layers: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(layers, rows, columns) -> (layers, side, side), the nearest pixel."""
    rows, columns = ((np.arange(side) + 0.5) * size / side for size in layers.shape[1:])
    return layers[:, rows.astype(int)[:, None], columns.astype(int)[None]]


def _renumbered(mask: Mask, number: Mapping[str, int]) -> NDArray[np.uint8]:
    """(256,) class id of the mask -> class number + 1 of the tower stage, 0 for what is not learnt."""
    table = np.zeros(256, np.uint8)
    for found in mask.labels:
        table[found.class_id] = number.get(found.label, -1) + 1
    return table


def _array(mask: Mask) -> str:
    return split_reference(mask.array)[0]


def _layers(folder: Path, masks: Iterable[Mask]) -> dict[str, int]:
    import zarr

    return {
        array: zarr.open_array(store=str(folder / "store" / array), mode="r").shape[1]
        for array in sorted({_array(mask) for mask in masks})
    }
