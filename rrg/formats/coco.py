"""COCO: ``annotations/instances_SPLIT.json`` and ``captions_SPLIT.json``, pictures in ``images/`` or ``SPLIT/``.

Boxes are ``[x, y, width, height]`` in pixels, masks polygons or RLE (pycocotools). Every picture comes in; its
categories become "where is" samples, its captions texts. Regions that stand for a crowd are left out and counted.
Captions of an export of ours have ``phrases`` with their boxes, so that grounded reports come back.
"""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.datasets import Foreign, Item, Picture, Said, Sizes, label_of, safe_name
from rrg.errors import RecordError, RrgError, UsageError
from rrg.formats.questions import box_of, described, where_is
from rrg.formats.rows import split_of_name
from rrg.pack_split import Split
from rrg.records import Lang, Mention, Region
from rrg.synth.templates import escape

TITLE = "annotations in COCO's format"
_LICENCE = "as the file says: {}"


class _Of(NamedTuple):
    """What is annotated on one picture."""

    name: str
    split: Split | None
    boxes: dict[str, list[Any]]
    masks: dict[str, list[Any]]


def read(path: Path) -> Foreign:
    """The data set at `path`: a folder, or one of its annotation files."""
    files = _files(path)
    root = path if path.is_dir() else path.parent.parent if path.parent.name == "annotations" else path.parent
    foreign = Foreign("coco", TITLE, "not stated in the file", root)
    found: dict[str, _Of] = {}
    licences: set[str] = set()
    for file in files:
        document = foreign.document(file)
        if not isinstance(document, dict) or not isinstance(document.get("images"), list):
            raise RrgError(f"{file}: no list of images; expected an annotation file of COCO")
        licences |= {str(each.get("name")) for each in document.get("licenses") or () if isinstance(each, dict)}
        _add(foreign, file, document, found)
    for each in found.values():
        if each.masks:
            old = foreign.pictures[each.name]
            foreign.pictures[each.name] = Picture(
                old.name, old.patient, old.modality, old.body_part, partial(_masks, each.masks)
            )
        for category, boxes in sorted(each.boxes.items()):
            say = partial(_where, each.name, category, boxes)
            foreign.items.append(Item(f"{each.name}/{category}", each.split, (each.name,), say, f"picture {each.name}"))
    foreign.labels = tuple(sorted({label_of(name) for each in found.values() for name in each.masks}))
    if licences:
        foreign.licence = _LICENCE.format("; ".join(sorted(licences)))
    return foreign


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "annotations" if (path / "annotations").is_dir() else path
    found = [each for each in sorted(folder.glob("*.json")) if each.name.startswith(("instances", "captions"))]
    if not found:
        raise UsageError(f"{path}: no annotation file inside; expected annotations/instances_train.json, ...")
    return found


def _add(foreign: Foreign, file: Path, document: Mapping[str, Any], found: dict[str, _Of]) -> None:
    split = split_of_name(file.stem)
    names: dict[Any, str] = {}
    for number, image in enumerate(document["images"]):
        try:
            name = _picture_name(foreign.root, file, image)
        except RecordError as error:
            foreign.items.append(
                Item(f"{file.name}/image/{number}", split, (), partial(_refuse, error), f"{file.name}, image {number}")
            )
            continue
        names[image.get("id")] = name
        patient, modality = str(image.get("patient") or name), str(image.get("modality") or "OT")
        foreign.pictures.setdefault(name, Picture(name, patient, modality))
        foreign.alone.setdefault(name, split)
        found.setdefault(name, _Of(name, split, defaultdict(list), defaultdict(list)))
    categories = {each.get("id"): str(each.get("name")) for each in document.get("categories") or ()}
    for number, annotation in enumerate(document.get("annotations") or ()):
        where = f"{file.name}, annotation {number}"
        picture = names.get(annotation.get("image_id"))
        if picture is None:
            foreign.left_out["annotation_without_image"] += 1
        elif "caption" in annotation:
            _add_caption(foreign, annotation, picture, split, file, where)
        elif annotation.get("iscrowd"):
            foreign.left_out["crowd"] += 1
        elif (category := categories.get(annotation.get("category_id"))) is None:
            foreign.left_out["annotation_without_category"] += 1
        else:
            found[picture].boxes[category].append(annotation.get("bbox"))
            if annotation.get("segmentation"):
                found[picture].masks[category].append(annotation["segmentation"])


def _picture_name(root: Path, file: Path, image: Mapping[str, Any]) -> str:
    """The name of a picture, looked for beside the annotations where COCO and others put it."""
    name = safe_name(image.get("file_name"))
    part = file.stem.partition("_")[2] or file.stem
    for folder in ("", "images/", f"{part}/", f"images/{part}/"):
        if (root / folder / name).is_file():
            return f"{folder}{name}"
    return name


def _add_caption(
    foreign: Foreign,
    annotation: Mapping[str, Any],
    picture: str,
    split: Split | None,
    file: Path,
    where: str,
) -> None:
    id_ = annotation.get("rrg_id") or f"{file.name}#{annotation.get('id')}"
    say = partial(_caption, picture, annotation)
    foreign.items.append(Item(str(id_), split, (picture,), say, where))


def _caption(picture: str, annotation: Mapping[str, Any], sizes: Sizes) -> Said:
    """A caption; its phrases become mentions."""
    text = annotation["caption"]
    if not isinstance(text, str) or not text.strip():
        raise RecordError("E_NO_ANSWER", "an empty caption")
    rows, columns = sizes(picture)
    mentions: list[Mention] = []
    template, at = "", 0
    for phrase in annotation.get("phrases") or ():
        start, end = phrase["span"]
        if not at <= start <= end <= len(text):
            raise RecordError("E_SPAN", "spans of phrases overlap, or lie outside of the caption")
        regions = tuple(
            Region(
                label=label_of(str(each["category"])),
                class_id=each.get("class_id"),
                boxes=tuple(box_of(box, rows, columns) for box in each["bboxes"]),
                origin="manual",
            )
            for each in phrase["regions"]
        )
        template += escape(text[at:start]) + f"{{m{len(mentions)}}}"
        mentions.append(Mention(id=f"m{len(mentions)}", phrase=text[start:end], regions=regions))
        at = end
    lang: Lang = "de" if annotation.get("lang") == "de" else "en"
    template += escape(text[at:])
    return described(text, tuple(mentions), template, lang, annotation.get("question"))


def _where(picture: str, category: str, listed: Sequence[Any], sizes: Sizes) -> Said:
    rows, columns = sizes(picture)
    return where_is(category, [box_of(values, rows, columns) for values in listed])


def _refuse(error: RecordError, _sizes: Sizes) -> Said:
    raise error


def _masks(by_category: Mapping[str, Sequence[Any]], rows: int, columns: int) -> dict[str, NDArray[np.bool_]]:
    """Label -> where it is, all its instances together."""
    found: dict[str, NDArray[np.bool_]] = {}
    for category, listed in sorted(by_category.items()):
        for segmentation in listed:
            there = decoded(segmentation, rows, columns)
            label = label_of(category)
            found[label] = found[label] | there if label in found else there
    return found


def decoded(segmentation: Any, rows: int, columns: int) -> NDArray[np.bool_]:
    """Polygons, RLE with counts, or compressed RLE -> (rows, columns). RecordError for what is none of them."""
    from pycocotools import mask as coco_mask

    try:
        if isinstance(segmentation, list):
            if not segmentation:
                return np.zeros((rows, columns), bool)
            if not all(isinstance(each, list) and len(each) >= 6 and len(each) % 2 == 0 for each in segmentation):
                raise RecordError("E_MALFORMED", "a polygon is not a list of x, y of three points or more")
            code = coco_mask.merge(coco_mask.frPyObjects(segmentation, rows, columns))
        else:
            if [int(side) for side in segmentation["size"]] != [rows, columns]:
                raise RecordError("E_GRID", f"a mask of {segmentation['size']}, its picture has {[rows, columns]}")
            whole = isinstance(segmentation["counts"], list)
            code = coco_mask.frPyObjects(segmentation, rows, columns) if whole else segmentation
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 with NumPy 2
            return np.array(coco_mask.decode(code), dtype=bool)
    except RecordError:
        raise
    except Exception as error:  # pycocotools raises Exception itself for types that it does not know
        raise RecordError("E_MALFORMED", f"a segmentation can not be read ({type(error).__name__})") from None


def encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """(rows, columns) -> compressed RLE, as pycocotools reads it."""
    from pycocotools import mask as coco_mask

    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}
