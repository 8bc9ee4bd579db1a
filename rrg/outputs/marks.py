"""What answers point at on a study: structures, and for each slice their boxes and masks. For DICOM and NIfTI."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg import store as stores
from rrg.anatomy import LABELS, Label, covers, display
from rrg.errors import RecordError
from rrg.outputs.cards import sentences
from rrg.records import Box, Prediction, Region, Slice


class Structure(NamedTuple):
    """What a phrase means: a structure of the label table, or the phrase itself."""

    key: str
    """Name of the label, else the phrase in lower case."""
    name: str
    """As people read it."""
    label: Label | None


@dataclass(frozen=True)
class Mark:
    """One structure at one place of one slice."""

    structure: Structure
    slice: str
    """Id."""
    box: Box
    """In pixels of the slice."""
    mask: str | None
    """Reference into the store; None: the box is all that is known."""
    class_id: int | None
    """Value of the structure in `mask`."""
    sentence: str
    """Where it is spoken of."""
    confidence: float | None
    drawn: Mapping[str, Any] | None = None
    """The mask that a mask head drew, as COCO run lengths of the slice; it goes before `mask`."""


def marks_of(predictions: Iterable[Prediction], slices: Mapping[str, Slice]) -> list[Mark]:
    """The marks of answers about one slice each, in order; the same box of the same structure is there once."""
    found: dict[tuple[str, str, Box], Mark] = {}
    for prediction in predictions:
        image = prediction.images[0] if len(prediction.images) == 1 else None
        if (
            image is None
            or image.slice is None
            or image.slice not in slices
            or set(prediction.flags) & {"shuffled_image", "no_image"}
        ):
            continue
        drawn = _drawn(prediction)
        for mention, phrase, sentence, regions in _told(prediction):
            for region in regions:
                structure = _structure(region, phrase, prediction.lang)
                for box in region.boxes:
                    mark = Mark(
                        structure, image.slice, box, region.mask, region.class_id, sentence, region.score,
                        drawn.get(mention),
                    )  # fmt: skip
                    found.setdefault((structure.key, image.slice, box), mark)
    return list(found.values())


def structures_of(marks: Sequence[Mark]) -> list[Structure]:
    """Each structure once: those of the label table in its order, then phrases as they came."""
    distinct = {mark.structure.key: mark.structure for mark in marks}
    known = sorted((each for each in distinct.values() if each.label), key=lambda s: s.label.class_id if s.label else 0)
    return known + [each for each in distinct.values() if each.label is None]


def filled(mark: Mark, rows: int, columns: int, store: Path | None) -> NDArray[np.bool_]:
    """(rows, columns): the mask of a mark where there is one, else the pixels whose centres lie in its box."""
    if mark.drawn is not None:
        from rrg.formats.coco import decoded

        return _of_slice(decoded(mark.drawn, *mark.drawn["size"]), rows, columns)
    if mark.mask is not None and store is not None:
        shown = class_mask(stores.read(store, mark.mask), mark.structure.key, mark.class_id)
        if shown is not None:
            return _of_slice(shown, rows, columns)
    found = np.zeros((rows, columns), bool)
    x0, y0, x1, y1 = (int(np.ceil(value - 0.5)) for value in mark.box.xyxy)  # first centre at or behind a corner
    found[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    if not found.any():  # a box between two centres: the pixel that it lies on
        row, column = int((mark.box.y0 + mark.box.y1) / 2), int((mark.box.x0 + mark.box.x1) / 2)
        found[min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)] = True
    return found


def _of_slice(mask: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    if mask.shape != (rows, columns):
        size = f"{mask.shape[0]} x {mask.shape[1]}"
        raise RecordError("E_GRID", f"mask of {size} pixels on a slice of {rows} x {columns}; make it again")
    return mask


def class_mask(layers: NDArray[np.uint8], label: str, class_id: int | None) -> NDArray[np.bool_] | None:
    """(rows, columns): where a structure or its parts are in a mask array (layers, rows, columns); None: nowhere."""
    ids = [each for each in (class_id, LABELS[label].class_id if label in LABELS else None) if each is not None]
    parts = [LABELS[part].class_id for part in covers(label)] if label in LABELS else []
    for wanted in (ids, parts):
        shown = np.asarray(np.isin(layers, wanted).any(axis=0)) if wanted else None
        if shown is not None and shown.any():
            return shown
    return None


def _drawn(prediction: Prediction) -> dict[str, Mapping[str, Any]]:
    """Mention -> the mask that a mask head drew for it."""
    told: Any = (prediction.extra or {}).get("masks", ())
    whole = (each for each in told if isinstance(each, Mapping) and each.keys() >= {"mention", "size", "counts"})
    return {str(each["mention"]): {"size": each["size"], "counts": each["counts"]} for each in whole}


def _told(prediction: Prediction) -> Iterator[tuple[str, str, str, tuple[Region, ...]]]:
    """(id, phrase, its sentence, regions) of each mention, in text order."""
    spans, at = sentences(prediction.text), 0
    for mention in prediction.mentions:
        start = prediction.text.find(mention.phrase, at) if mention.phrase else -1
        at = start if start >= 0 else at
        around = next((prediction.text[a:b].strip() for a, b in spans if start >= 0 and a <= start < b), "")
        yield mention.id, mention.phrase or prediction.question, around, mention.regions


def _structure(region: Region, phrase: str, lang: str) -> Structure:
    label = LABELS.get(region.label)
    if label is not None:
        return Structure(label.name, display(label.name, lang), label)
    name = " ".join(phrase.split())[:64] or "?"
    return Structure(name.casefold(), name, None)
