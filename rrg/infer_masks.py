"""Masks beside answers: a phrase that names a structure gets that structure's mask of the same slice."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

from rrg.anatomy import LABELS, covers
from rrg.errors import RecordError
from rrg.outputs.audit import outline_path
from rrg.outputs.marks import class_mask
from rrg.pipe import read_records
from rrg.records import Mask, Mention, Prediction, Region
from rrg.store import read


@functools.cache
def masks_of(streams: tuple[Path, ...], slices: frozenset[str]) -> Mapping[str, Mask]:
    """Slice id -> its mask record, of streams of ``rrg segment``. The first one of a slice counts."""
    found: dict[str, Mask] = {}
    for record in read_records(streams, (Mask,)):
        if isinstance(record, Mask) and record.slice in slices:
            found.setdefault(record.slice, record)
    return found


def with_masks(prediction: Prediction, masks: Mapping[str, Mask]) -> Prediction:
    """The answer with references to masks; boxes stay as the model wrote them."""
    image = prediction.images[0] if len(prediction.images) == 1 else None
    mask = masks.get(image.slice or "") if image is not None else None
    if mask is None or not prediction.mentions:
        return prediction
    return dataclasses.replace(prediction, mentions=tuple(_masked(mention, mask) for mention in prediction.mentions))


def _masked(mention: Mention, mask: Mask) -> Mention:
    there = {found.label: found.class_id for found in mask.labels}

    def linked(region: Region) -> Region:
        if region.label in there:
            return dataclasses.replace(region, mask=mask.array, class_id=there[region.label])
        if region.label in LABELS and set(covers(region.label)) & set(there):
            return dataclasses.replace(region, mask=mask.array)  # the structure is segmented in parts
        return region

    return dataclasses.replace(mention, regions=tuple(linked(region) for region in mention.regions))


def outlines_of(prediction: Prediction, store: Path | None) -> dict[str, str]:
    """Mention id -> SVG path around its masks, in pixels of the slice; of mentions with masks that can be read."""
    found: dict[str, str] = {}
    for mention in prediction.mentions:
        for region in mention.regions:
            if region.mask is None or store is None:
                continue
            try:
                shown = class_mask(read(store, region.mask), region.label, region.class_id)
            except RecordError:
                continue
            if shown is not None:
                found[mention.id] = found.get(mention.id, "") + outline_path(shown)
    return found
