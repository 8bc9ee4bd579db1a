"""LLaVA's conversations: ``{"id", "image", "conversations": [{"from": "human", "value": "<image>\\n..."}]}``.

A box is four shares of the picture in square brackets, ``[x0, y0, x1, y1]``, three decimals, behind its phrase:
``the liver [0.064, 0.273, 0.418, 0.551]``; several boxes follow each other. Boxes on a second picture can not be said.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rrg.datasets import Said, Sizes
from rrg.errors import RecordError
from rrg.formats import chat
from rrg.formats.chat import Dialect, Placed, Tagged
from rrg.records import Box, Mention, Sample

STEP = 0.001
"""Smallest difference of two numbers: boxes are exact to one step."""
_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_ONE = rf"\[\s*{_NUMBER}(?:\s*,\s*{_NUMBER}){{3}}\s*\]"
_BOX, _BOXES = re.compile(_ONE), re.compile(rf"{_ONE}(?:[ ,;]*{_ONE})*")
_OWN_BOXES = re.compile(rf"{_ONE}(?: {_ONE})*")
_CLAUSE = re.compile(r"[^.:;!?,\n\[\]{}]*$")
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
NAMES = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}


def _write(sample: Sample, mention: Mention) -> str:
    first = sample.images[0]
    regions = [region for region in mention.regions if region.boxes]
    if any(region.image != first.id for region in regions):
        raise RecordError("E_FORMAT", "a box is not on the first picture, and this format can not say on which")
    boxes = " ".join(text_of(box, first.rows, first.columns) for region in regions for box in region.boxes)
    return f"{mention.phrase} {boxes}" if mention.phrase else boxes


def text_of(box: Box, rows: int, columns: int) -> str:
    """``[0.064, 0.273, 0.418, 0.551]``; corners outside of the picture go to its edge."""
    shares = (box.x0 / columns, box.y0 / rows, box.x1 / columns, box.y1 / rows)
    return "[" + ", ".join(f"{min(max(share, 0.0), 1.0):.3f}" for share in shares) + "]"


DIALECT = Dialect(reserved=_BOX, write=_write)


def row_of(sample: Sample, files: Mapping[tuple[str, str | None], str]) -> dict[str, Any]:
    """A sample as a row. `files`: (reference, preset) of a picture -> its path. RecordError: it can not be said."""
    texts = chat.texts_of(sample, DIALECT)
    names = [files[image.ref, image.preset] for image in texts.images]
    row: dict[str, Any] = {"id": sample.id}
    if names:
        row["image"] = names[0] if len(names) == 1 else names
    row["conversations"] = [{"from": NAMES[role], "value": text} for role, text in texts.turns]
    if phrases := [mention.phrase for mention in chat.tagged(sample)]:
        row["phrases"] = phrases
    return row | chat.fields_of(sample)


def images_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the pictures as the row gives them."""
    value = row.get("image", row.get("images"))
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(listed)


def say(row: Mapping[str, Any], images: Sequence[str], sizes: Sizes) -> Said:
    """What a row says."""
    turns = row.get("conversations", row.get("conversatons"))
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise RecordError("E_FORMAT", "no conversations; expected a list of {from, value}")
    known = row.get("phrases")
    told = iter(known) if isinstance(known, list) else None

    def find(text: str, names: Sequence[str], sizes: Sizes) -> Iterator[Tagged]:
        for match in (_BOXES if told is None else _OWN_BOXES).finditer(text):
            rows, columns = sizes(names[0]) if names else _no_picture()
            boxes = tuple(
                Placed(chat.in_pixels([float(n) for n in re.findall(_NUMBER, found)], rows, columns, STEP), 0)
                for found in _BOX.findall(match.group())
            )
            phrase = str(next(told, "")) if told is not None else _phrase(text[: match.start()])
            yield Tagged(_start(text, match.start(), phrase), match.end(), phrase, boxes)

    said = chat.said_of(row, [_turn(turn) for turn in turns], images, sizes, find)
    if told is not None and next(told, None) is not None:
        raise RecordError("E_SPAN", "the row names more phrases than boxes follow")
    return said


def _turn(turn: Mapping[str, Any]) -> tuple[str, str]:
    role, text = ROLES.get(str(turn.get("from"))), turn.get("value")
    if role is None or not isinstance(text, str):
        raise RecordError("E_FORMAT", "a turn without text, or of somebody unknown; expected from (human, gpt), value")
    return role, text


def _no_picture() -> tuple[int, int]:
    raise RecordError("E_BOX", "a box, and no picture that it could be on")


def _phrase(before: str) -> str:
    """Without a list of phrases: what stands before the box in its clause."""
    found = _CLAUSE.search(before)
    return found.group().strip() if found else ""


def _start(text: str, end: int, phrase: str) -> int:
    """Where the phrase begins that ends before a blank before `end`."""
    if not phrase:
        return end
    before = text[:end].rstrip(" ")
    if not before.endswith(phrase):
        raise RecordError("E_SPAN", "a box does not follow the phrase that the row names for it")
    return len(before) - len(phrase)
