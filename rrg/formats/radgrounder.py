"""RadGrounder's inline tags: ``<p bbox=<loc0100><loc0120><loc0300><loc0310> id=<seg005>>liver</p>``.

512 bins of the picture in the order x0, y0, x1, y1, as its released code writes them (its paper prints another order);
``id`` is the class number, left out where there is none below 128. A phrase with several boxes is preceded by tags
without a text, one for each further box. One picture a row; two texts, ``question`` and ``answer``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rrg.boxes import BINS as BINS_OF
from rrg.boxes import quantise, restore
from rrg.boxes_grammars import TAG, tag
from rrg.datasets import Said, Sizes
from rrg.errors import RecordError
from rrg.formats import chat
from rrg.formats.chat import Dialect, Placed, Tagged
from rrg.records import Mention, Sample

BINS = BINS_OF["radgrounder"]
_PIECES = re.compile(r"<p bbox=|</p>|<loc\d+>|<seg\d*>|</seg>", re.IGNORECASE)


def _write(sample: Sample, mention: Mention) -> str:
    image = sample.images[0]
    placed = [(region.class_id, box) for region in mention.regions for box in region.boxes]
    tags = [(quantise(box, image.rows, image.columns, BINS), class_id) for class_id, box in placed]
    return "".join(tag(*each, mention.phrase if n == len(tags) else "") for n, each in enumerate(tags, 1))


DIALECT = Dialect(reserved=_PIECES, write=_write)


def row_of(sample: Sample, files: Mapping[tuple[str, str | None], str]) -> dict[str, Any]:
    """A sample as a row. `files`: (reference, preset) of a picture -> its path. RecordError: it can not be said."""
    if len(sample.images) != 1 or [turn.role for turn in sample.turns] != ["user", "assistant"]:
        raise RecordError("E_FORMAT", "not one picture, one question and one answer")
    texts = chat.texts_of(sample, DIALECT)
    image = texts.images[0]
    (_, question), (_, answer) = texts.turns
    row = {
        "id": sample.id,
        "image": files[image.ref, image.preset],
        "question": question.removeprefix(chat.IMAGE + "\n"),
        "target": answer,
    }
    if chat.IMAGE in row["question"]:
        raise RecordError("E_FORMAT", "its picture does not come first")
    return row | chat.fields_of(sample)


def images_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The name of the picture as the row gives it."""
    return (row.get("image", row.get("image_name", "")),)


def say(row: Mapping[str, Any], images: Sequence[str], sizes: Sizes) -> Said:
    """What a row says."""
    question = row.get("question", row.get("prompt"))
    answer = row.get("target", row.get("answer"))
    if not isinstance(question, str) or not isinstance(answer, str):
        raise RecordError("E_FORMAT", "no question or no target; expected two texts")
    if chat.IMAGE in question + answer:
        raise RecordError("E_FORMAT", "<image> inside of a text; it stands for the picture, which comes first")
    plain = {name: value for name, value in row.items() if name != "answer" or "target" in row}
    return chat.said_of(plain, [("user", question), ("assistant", answer)], images, sizes, find)


def find(text: str, names: Sequence[str], sizes: Sizes) -> Iterator[Tagged]:
    """The tags of a text; those without a text, right before another one, belong to its phrase."""
    boxes: list[Placed] = []
    start, end, class_id = 0, -1, None
    for match in TAG.finditer(text):
        if boxes and match.start() != end:
            yield Tagged(start, end, "", tuple(boxes), class_id)
            boxes = []
        if not boxes:
            start, class_id = match.start(), int(match.group(2)) if match.group(2) else None
        elif class_id != (int(match.group(2)) if match.group(2) else None):
            class_id = None
        boxes.append(_placed(match.group(1), names, sizes))
        end = match.end()
        if match.group(3):
            if _PIECES.search(match.group(3)):
                raise RecordError("E_BOX", "a tag inside of another; expected <p bbox=... id=...>phrase</p>")
            yield Tagged(start, end, match.group(3), tuple(boxes), class_id)
            boxes = []
    if boxes:
        yield Tagged(start, end, "", tuple(boxes), class_id)
    if _PIECES.search(TAG.sub("", text)):
        raise RecordError("E_BOX", "a tag is not closed, or not complete; expected <p bbox=... id=...>phrase</p>")


def _placed(tokens: str, names: Sequence[str], sizes: Sizes) -> Placed:
    rows, columns = sizes(names[0])
    numbers = [int(number) for number in re.findall(r"\d+", tokens)]
    box = restore(numbers, rows, columns, BINS)
    if box is None:
        raise RecordError("E_BOX", f"a box of {len(numbers)} numbers, or out of 0..511, or with corners swapped")
    return Placed(box, 0)
