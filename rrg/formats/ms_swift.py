"""ms-swift's standard rows: ``{"messages": [{"role", "content"}], "images": [...], "objects": {"ref", "bbox"}}``.

``<ref-object>`` stands for the next of ``ref``, ``<bbox>`` for the next of ``bbox``, which are exact pixels of the
picture, x0, y0, x1, y1 (``bbox_type`` real), on picture ``image_id``. As in its documentation, Custom-dataset.md at
commit 025fc6b; it brings boxes into the form of each model by itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rrg.datasets import Said, Sizes
from rrg.errors import RecordError
from rrg.formats import chat
from rrg.formats.chat import Dialect, Placed, Tagged
from rrg.records import Box, Mention, Sample

REF, BBOX = "<ref-object>", "<bbox>"
_MARKS = re.compile(rf"(?:(?P<ref>{REF})[ ,]*)?(?P<boxes>{BBOX}(?:[ ,]*{BBOX})*)|{REF}")
_ROLES = ("system", "user", "assistant", "tool")


def row_of(sample: Sample, files: Mapping[tuple[str, str | None], str]) -> dict[str, Any]:
    """A sample as a row. `files`: (reference, preset) of a picture -> its path. RecordError: it can not be said."""
    objects: dict[str, list[Any]] = {"ref": [], "bbox": [], "image_id": []}
    number = {image.id: place for place, image in enumerate(sample.images)}

    def write(_sample: Sample, mention: Mention) -> str:
        placed = [(region.image, box) for region in mention.regions for box in region.boxes]
        if mention.phrase:
            objects["ref"].append(mention.phrase)
        objects["bbox"] += [list(box.xyxy) for _, box in placed]
        objects["image_id"] += [number[image] for image, _ in placed]
        return (REF if mention.phrase else "") + BBOX * len(placed)

    texts = chat.texts_of(sample, Dialect(re.compile(f"{REF}|{BBOX}"), write))
    row: dict[str, Any] = {"id": sample.id, "messages": [{"role": r, "content": t} for r, t in texts.turns]}
    if texts.images:
        row["images"] = [files[image.ref, image.preset] for image in texts.images]
    if objects["bbox"]:
        row["objects"] = objects | {"bbox_type": "real"}
    return row | chat.fields_of(sample)


def images_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Names of the pictures as the row gives them."""
    value = row.get("images")
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(each.get("path") if isinstance(each, dict) else each for each in listed)


def say(row: Mapping[str, Any], images: Sequence[str], sizes: Sizes) -> Said:
    """What a row says."""
    turns = row.get("messages")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise RecordError("E_FORMAT", "no messages; expected a list of {role, content}")
    objects = row.get("objects") or {}
    refs, boxes = iter(objects.get("ref") or ()), iter(enumerate(objects.get("bbox") or ()))
    places, shares = objects.get("image_id") or (), objects.get("bbox_type") == "norm1"

    def placed(names: Sequence[str], sizes: Sizes) -> Placed:
        number, values = next(boxes, (0, None))
        image = places[number] if number < len(places) else 0
        if not isinstance(values, list) or len(values) != 4 or image >= len(names):
            raise RecordError("E_BOX", "<bbox> without four numbers in objects.bbox, or on a picture that is not there")
        rows, columns = sizes(names[image])
        if shares:
            return Placed(chat.in_pixels(values, rows, columns, 1e-6), image)
        return Placed(_pixels(values, rows, columns), image)

    def find(text: str, names: Sequence[str], sizes: Sizes) -> Iterator[Tagged]:
        for match in _MARKS.finditer(text):
            phrase = ""
            if match.group("ref") or match.group("boxes") is None:
                phrase = str(next(refs, ""))
            found = tuple(placed(names, sizes) for _ in range((match.group("boxes") or "").count(BBOX)))
            yield Tagged(match.start(), match.end(), phrase, found)

    return chat.said_of(row, [_turn(turn) for turn in turns], images, sizes, find)


def _pixels(values: Sequence[float], rows: int, columns: int) -> Box:
    x0, y0, x1, y1 = map(float, values)
    if not (0 <= x0 < x1 <= columns and 0 <= y0 < y1 <= rows):
        raise RecordError("E_FRAME", f"a box is not inside of its picture of {columns} x {rows} pixels")
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def _turn(turn: Mapping[str, Any]) -> tuple[str, str]:
    role, text = turn.get("role"), turn.get("content")
    if role not in _ROLES or not isinstance(text, str):
        raise RecordError("E_FORMAT", f"a turn without text, or of somebody unknown; expected one of {_ROLES}")
    return str(role), text
