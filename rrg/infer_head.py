"""Answers of a model with a mask head: each tagged phrase gets the mask that the head draws, and its box."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import UsageError
from rrg.geometry import box_of
from rrg.model.settings import Pictures
from rrg.prompt import Chat
from rrg.records import Json, Mention, Region, Sample


@functools.cache
def head_at(folder: Path) -> Any:
    """The mask head of a run folder, once per process."""
    from rrg.model.load import MODEL
    from rrg.model.mask_head import load_head

    return load_head(folder / MODEL)


def with_head(
    model: Any, folder: Any, pictures: Pictures, chat: Chat, raw: str, sample: Sample, mentions: Sequence[Mention]
) -> tuple[tuple[Mention, ...], list[Mapping[str, Json]]]:
    """(mentions with the boxes of their masks and the overlap that the head expects as score, the masks as COCO RLE).

    The i-th mention is the i-th tag of `raw`. A mention whose mask is empty keeps no box.
    """
    from rrg.model.masks import masks_of_answer

    if not isinstance(folder, Path):
        raise UsageError("masks are drawn by run folders of rrg train alone, not by a server; give --model RUN")
    first = sample.images[0]
    if not mentions or first.id not in chat.images:
        return tuple(mentions), []
    found = masks_of_answer(model, head_at(folder), pictures, chat.text, raw, chat.images.index(first.id))
    masks = found.on(first.rows, first.columns)
    told = [
        dataclasses.replace(mention, regions=tuple(_drawn(each, mask, score) for each in mention.regions))
        for mention, mask, score in zip(mentions, masks, found.overlap, strict=True)
    ]
    return tuple(told), [{"mention": each.id, **rle(mask)} for each, mask in zip(told, masks, strict=True)]


def _drawn(region: Region, mask: NDArray[np.bool_], score: float) -> Region:
    box = box_of(mask)
    return dataclasses.replace(region, boxes=(box,) if box is not None else (), score=round(score, 4))


def rle(mask: NDArray[np.bool_]) -> dict[str, Json]:
    """(rows, columns) -> ``{"size": [rows, columns], "counts": ...}``, COCO's compressed run lengths."""
    from pycocotools import mask as coco

    made = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(size) for size in made["size"]], "counts": made["counts"].decode("ascii")}
