"""A split of a data set as COCO annotations: boxes and masks of all slices, texts on whole slices as captions."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from rrg.anatomy import LABELS
from rrg.errors import RecordError
from rrg.formats.coco import encoded
from rrg.prompt import split_template
from rrg.records import Box, ImageRef, Mask, Record, Region, Sample, Slice
from rrg.store import read
from rrg.train_data import image_of

TEXT_TASKS = ("report", "grounded-report")
FOLDER = "annotations"


class Writer(Protocol):
    """Where pictures go."""

    @property
    def store(self) -> Path:
        """Of the arrays."""

    def write(self, image: ImageRef) -> str:
        """Render a picture; its path in the export."""


def write_coco(
    folder: Path,
    split: str,
    records: Iterator[Record],
    numbers: Mapping[str, int],
    pictures: Writer,
    counts: Counter[str],
) -> None:
    """``annotations/instances_SPLIT.json`` and ``captions_SPLIT.json``. Counts what is in them, and what is not.

    `numbers`: label -> category number.
    """
    slices: dict[str, Slice] = {}
    masks: dict[str, list[Mask]] = {}
    samples: list[Sample] = []
    for record in records:
        if isinstance(record, Slice):
            slices[record.id] = record
        elif isinstance(record, Mask):
            masks.setdefault(record.slice, []).append(record)
        elif isinstance(record, Sample):
            samples.append(record)
    images: list[dict[str, Any]] = []
    known: dict[str, int] = {}
    for slice_ in slices.values():
        known[slice_.pixels] = len(images) + 1
        images.append(
            {
                "id": len(images) + 1,
                "file_name": pictures.write(image_of(slice_)).partition("/")[2],
                "width": slice_.columns,
                "height": slice_.rows,
                "patient": slice_.patient,
                "modality": slice_.modality,
            }
        )
    annotations: list[dict[str, Any]] = []
    there: set[tuple[int, int]] = set()
    for slice_ in slices.values():
        for mask in masks.get(slice_.id, ()):
            for annotation in _of_mask(mask, known[slice_.pixels], numbers, pictures.store):
                there.add((annotation["image_id"], annotation["category_id"]))
                annotations.append({"id": len(annotations) + 1, **annotation})
                counts["mask"] += 1
    for annotation in _of_regions(samples, known, numbers, there):
        annotations.append({"id": len(annotations) + 1, **annotation})
        counts["box_without_mask"] += 1
    captions = list(_captions(samples, known, counts))
    counts["image"], counts["sample"] = len(images), len(captions)
    categories = [{"id": number, "name": label} for label, number in sorted(numbers.items(), key=lambda each: each[1])]
    (folder / FOLDER).mkdir(exist_ok=True)
    for name, more in (
        ("instances", {"annotations": annotations, "categories": categories}),
        ("captions", {"annotations": captions}),  # with categories pycocotools would ask for one of each
    ):
        document = {"info": {"description": f"{split} split"}, "licenses": [], "images": images, **more}
        path = folder / FOLDER / f"{name}_{split}.json"
        path.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")


def labels_in(record: Record) -> Iterator[str]:
    """The labels that a mask or sample names."""
    if isinstance(record, Mask):
        yield from (found.label for found in record.labels)
    elif isinstance(record, Sample):
        yield from (region.label for mention in record.mentions for region in mention.regions)


def _of_mask(mask: Mask, image: int, numbers: Mapping[str, int], store: Path) -> Iterator[dict[str, Any]]:
    """One annotation for each structure of a mask record."""
    if not mask.labels:
        return
    layers = read(store, mask.array)
    for found in mask.labels:
        yield {
            "image_id": image,
            "category_id": numbers[found.label],
            "bbox": xywh(found.box),
            "area": found.area_px,
            "iscrowd": 0,
            "segmentation": encoded(layers[found.layer] == found.class_id),
        }


def _of_regions(
    samples: list[Sample], known: Mapping[str, int], numbers: Mapping[str, int], there: set[tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    """Boxes of samples where no mask has the structure; each once. They have no ``segmentation``."""
    done: set[tuple[Any, ...]] = set()
    for sample in samples:
        refs = {image.id: image.ref for image in sample.images}
        for region in (region for mention in sample.mentions for region in mention.regions):
            image = known.get(refs[region.image])
            number = numbers[region.label]
            for box in region.boxes:
                if image is None or (image, number) in there or (key := (image, number, box.xyxy)) in done:
                    continue
                done.add(key)
                area = (box.x1 - box.x0) * (box.y1 - box.y0)
                yield {"image_id": image, "category_id": number, "bbox": xywh(box), "area": area, "iscrowd": 0}


def _captions(samples: list[Sample], known: Mapping[str, int], counts: Counter[str]) -> Iterator[dict[str, Any]]:
    for sample in samples:
        try:
            caption = _caption(sample, known)
        except RecordError as error:
            counts[f"left_out.{error.message}"] += 1
            continue
        counts[f"task.{sample.task}"] += 1
        yield caption | {"id": counts["captions"] + 1}
        counts["captions"] += 1


def _caption(sample: Sample, known: Mapping[str, int]) -> dict[str, Any]:
    """A text on a whole slice, its phrases with their boxes. RecordError for all that is none."""
    if sample.task not in TEXT_TASKS or [turn.role for turn in sample.turns] != ["user", "assistant"]:
        raise RecordError("E_FORMAT", f"{sample.task}: no text on a whole picture")
    (image,) = sample.images if len(sample.images) == 1 else (None,)
    if image is None or image.ref not in known or image.preset is not None:
        raise RecordError("E_FORMAT", "not one slice in the window of the export")
    text, phrases = "", []
    for part in sample.turns[1].content:
        for piece in split_template(part.text or "", sample.mentions):
            start = len(text)
            text += piece if isinstance(piece, str) else piece.phrase
            if not isinstance(piece, str) and any(region.boxes for region in piece.regions):
                regions = [_region(region) for region in piece.regions if region.boxes]
                phrases.append({"span": [start, len(text)], "regions": regions})
    asked = "".join(
        piece if isinstance(piece, str) else piece.phrase
        for part in sample.turns[0].content
        for piece in split_template(part.text or "", sample.mentions)
    )
    told = {"image_id": known[image.ref], "caption": text, "lang": sample.lang, "rrg_id": sample.id, "question": asked}
    return told | ({"phrases": phrases} if phrases else {})


def _region(region: Region) -> dict[str, Any]:
    own = {"class_id": region.class_id} if region.label in LABELS and region.class_id is not None else {}
    return {"category": region.label, "bboxes": [xywh(box) for box in region.boxes], **own}


def xywh(box: Box) -> list[float]:
    """``[x, y, width, height]``; the original slice is the picture, so that nothing is rounded."""
    return [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0]
