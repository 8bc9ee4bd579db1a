"""COCO results and COCO instances as the two sides of ``score boxes``: one item an image."""

import gzip
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError, UsageError
from rrg.formats.fields import facets, scalar_text
from rrg.formats.items import Item, Reference
from rrg.formats.read import BOM, GZIP_MAGIC
from rrg.formats.sides import Json, Sides
from rrg.stream import check_stdin

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Classes:
    """The categories of a file, by rising id. The same object for all images of a file."""

    ids: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ImageTruths:
    """The annotations of one image, in file order."""

    classes: Classes
    order: int
    """Place of the image by rising id, which is the order in which pycocotools goes through them."""
    category: Ints
    """(g,) index into the classes."""
    xywh: Floats
    """(g, 4) pixels."""
    area: Floats
    """(g,) square pixels."""
    crowd: NDArray[np.bool_]
    nameless: NDArray[np.bool_]
    """(g,) id 0."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ImageDetections:
    """The predictions of one image, in file order."""

    category: Ints
    """(d,) index into the classes."""
    xywh: Floats
    """(d, 4) pixels."""
    score: Floats
    """(d,) nan where the file has none."""


def read_sides(predictions: Path, references: Path | None) -> Sides:
    """One item for each image of the instances, in file order. An image without predictions has no box.

    RrgError for what is not COCO, for double ids, and for predictions of unknown images or classes.
    """
    if references is None:
        raise UsageError("boxes needs two files: COCO results and COCO instances")
    truth, truth_input = _document(references)
    said, said_input = _document(predictions)
    if not isinstance(truth, dict) or not all(isinstance(truth.get(key), list) for key in _PARTS):
        raise RrgError(f"{references}: not COCO instances; expected one object with the lists {', '.join(_PARTS)}")
    if not isinstance(said, list):
        raise RrgError(f"{predictions}: not COCO results; expected one list of image_id, category_id, bbox, score")
    classes, index = _classes(references, truth["categories"])
    images = _images(references, truth["images"])
    notes: list[str] = []
    wanted = _truths(references, truth["annotations"], images, index, notes)
    given = _detections(predictions, said, images, index)
    rising = {key: place for place, key in enumerate(sorted(images))}
    items = []
    for number, image in enumerate(truth["images"]):
        rows = wanted[number]
        value = ImageTruths(
            classes=classes,
            order=rising[image["id"]],
            **{name: column[rows] for name, column in wanted.columns.items()},
        )
        reference = Reference(
            id=str(image["id"]),
            line=number + 1,
            value=value,
            facets=facets(image, ("id", "width", "height", "file_name")),
            frame=_frame(image),
            image=image.get("file_name"),
        )
        detections = ImageDetections(**{name: column[given[number]] for name, column in given.columns.items()})
        items.append(Item(reference=reference, prediction=detections))
    if not items:
        raise RrgError(f"{references}: no images")
    truth_input["n"], said_input["n"] = len(truth["annotations"]), len(said)
    return Sides(items=items, inputs={"predictions": said_input, "references": truth_input}, notes=notes)


_PARTS = ("images", "annotations", "categories")


def _document(path: Path) -> tuple[Any, Json]:
    """(decoded JSON, what the result says of the file)."""
    try:
        if str(path) == "-":
            check_stdin("the document")
            data = sys.stdin.buffer.read()
        else:
            data = path.read_bytes()
    except OSError as error:
        raise RrgError(f"{path}: {error.strerror}", "E_IO") from None
    said = {"path": str(path), "sha256": hashlib.sha256(data).hexdigest(), "n": 0}
    try:
        text = gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data
        return json.loads(text.removeprefix(BOM)), said
    except (gzip.BadGzipFile, EOFError):
        raise RrgError(f"{path}: damaged gzip file; copy it again") from None
    except json.JSONDecodeError as error:
        raise RrgError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except UnicodeDecodeError as error:
        raise RrgError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None


def _classes(path: Path, rows: Sequence[Any]) -> tuple[Classes, dict[int, int]]:
    found: dict[int, str] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or type(row.get("id")) is not int:
            raise RrgError(f"{path}, category {number}: no whole number in id")
        if row["id"] in found:
            raise RrgError(f"{path}, category {number}: id {row['id']} is there already; ids must be unique")
        found[row["id"]] = scalar_text(row.get("name")) or str(row["id"])
    ids = tuple(sorted(found))
    names = [found[each] for each in ids]
    spelled = (name if names.count(name) == 1 else f"{name} ({each})" for each, name in zip(ids, names, strict=True))
    return Classes(ids=ids, names=tuple(name.strip() for name in spelled)), {each: n for n, each in enumerate(ids)}


def _images(path: Path, rows: Sequence[Any]) -> dict[Any, int]:
    """Id -> place in the file."""
    found: dict[Any, int] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or type(row.get("id")) not in (int, str):
            raise RrgError(f"{path}, image {number}: no id")
        if row["id"] in found:
            raise RrgError(f"{path}, image {number}: id {row['id']!r} is there already; ids must be unique")
        found[row["id"]] = number - 1
    if len({type(each) for each in found}) > 1:
        raise RrgError(f"{path}: some image ids are numbers, others are texts; write all in one way")
    return found


def _frame(image: Mapping[str, Any]) -> tuple[float, float] | None:
    width, height = image.get("width"), image.get("height")
    sized = isinstance(width, int | float) and isinstance(height, int | float)
    return (float(width), float(height)) if sized else None  # type: ignore[arg-type]


class _ByImage:
    """Columns of all boxes of a file, and the rows of each image, in file order."""

    def __init__(self, image: Sequence[int], images: int, columns: Mapping[str, NDArray[Any]]) -> None:
        places = np.array(image, np.int64)
        self.columns = columns
        self._order = np.argsort(places, kind="stable")
        self._bounds = np.searchsorted(places[self._order], np.arange(images + 1))

    def __getitem__(self, image: int) -> NDArray[np.int64]:
        return self._order[self._bounds[image] : self._bounds[image + 1]]


def _place(where: str, row: Any, images: Mapping[Any, int], index: Mapping[int, int], side: str) -> tuple[int, int]:
    """(image, class) of a box."""
    if not isinstance(row, dict):
        raise RrgError(f"{where}: expected an object, found {type(row).__name__}")
    image, category = row.get("image_id"), row.get("category_id")
    place = images.get(image) if isinstance(image, int | str) else None
    if place is None:
        other = str(image) in map(str, images)
        hint = "; ids are a number here and a text there" if other else "; are these the right two files?"
        raise RrgError(f"{where}: no image has the id {image!r}{hint}", "E_PREDICTION" if side == "p" else None)
    if type(category) is not int or category not in index:
        raise RrgError(f"{where}: no category has the id {category!r}; there are {', '.join(map(str, index))}")
    return place, index[category]


def _four(where: str, row: Mapping[str, Any]) -> list[float]:
    box: Any = row.get("bbox")
    four = isinstance(box, list) and len(box) == 4 and all(type(each) in (int, float) for each in box)
    if four and all(-1e15 < each < 1e15 for each in box):
        return list(box)
    raise RrgError(f"{where}: bbox is {box!r}, expected four numbers x, y, width, height in pixels")


def _truths(
    path: Path, rows: Sequence[Any], images: Mapping[Any, int], index: Mapping[int, int], notes: list[str]
) -> _ByImage:
    image, category, xywh, area, crowd, nameless = [], [], [], [], [], []
    seen: set[Any] = set()
    unmeasured = 0
    for number, row in enumerate(rows, 1):
        where = f"{path}, annotation {number}"
        place, of = _place(where, row, images, index, "r")
        box, size = _four(where, row), row.get("area")
        if (own := row.get("id")) is not None and own in seen:
            raise RrgError(f"{where}: id {own!r} is there already; ids must be unique")
        seen.add(own)
        if type(size) not in (int, float):
            unmeasured, size = unmeasured + 1, box[2] * box[3]
        image.append(place)
        category.append(of)
        xywh.append(box)
        area.append(size)
        crowd.append(bool(row.get("iscrowd")))
        nameless.append(own == 0)
    if unmeasured:
        notes.append(f"{path}: {unmeasured} annotations have no area; that of their box is taken")
    if any(nameless):
        notes.append(f"{path}: an annotation has the id 0; what matches it counts as false, as in pycocotools")
    columns = {
        "category": np.array(category, np.int64),
        "xywh": np.array(xywh, float).reshape(-1, 4),
        "area": np.array(area, float),
        "crowd": np.array(crowd, bool),
        "nameless": np.array(nameless, bool),
    }
    return _ByImage(image, len(images), columns)


def _detections(path: Path, rows: Sequence[Any], images: Mapping[Any, int], index: Mapping[int, int]) -> _ByImage:
    image, category, xywh, score = [], [], [], []
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        place, of = _place(where, row, images, index, "p")
        sure = row.get("score")
        if sure is not None and (type(sure) not in (int, float) or sure != sure):
            raise RrgError(f"{where}: score is {sure!r}, expected a number")
        image.append(place)
        category.append(of)
        xywh.append(_four(where, row))
        score.append(np.nan if sure is None else sure)
    columns = {
        "category": np.array(category, np.int64),
        "xywh": np.array(xywh, float).reshape(-1, 4),
        "score": np.array(score, float),
    }
    return _ByImage(image, len(images), columns)
