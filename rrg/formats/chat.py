"""Turns of a sample as texts with ``<image>`` and boxes, and back: what LLaVA, ms-swift and RadGrounder share.

A `Dialect` of this module writes one phrase with its boxes, and finds such phrases in a text again. Boxes are half-open
pixels of the original picture on our side.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from rrg.anatomy import BY_ID, LABELS, display
from rrg.datasets import Said, Sizes, label_of
from rrg.errors import RecordError
from rrg.prompt import split_template
from rrg.records import Box, ImageRef, Lang, Mention, Part, Region, Sample, Turn
from rrg.synth.templates import escape

IMAGE = "<image>"
"""Where a picture stands in a text."""
_IMAGE = re.compile(r"<image>\n|\n?<image>")
_QUESTION_TYPES = ("open", "closed", "single", "multi")
_TASK = "vqa"


class Placed(NamedTuple):
    """A box and the number of its picture among those of the sample."""

    box: Box
    image: int


class Tagged(NamedTuple):
    """A stretch of text that a dialect marks: a phrase and its boxes."""

    start: int
    end: int
    phrase: str
    boxes: tuple[Placed, ...]
    class_id: int | None = None


@dataclass(frozen=True)
class Dialect:
    """How one format writes phrases with boxes into a text."""

    reserved: re.Pattern[str]
    """What must not stand in the text itself: it could not be told from markup."""
    write: Callable[[Sample, Mention], str]
    """A mention with its boxes. May keep boxes elsewhere (ms-swift)."""
    several_images: bool = True


# --- ours to theirs


class Texts(NamedTuple):
    """A sample as texts."""

    turns: tuple[tuple[str, str], ...]
    """(role, text), pictures as ``<image>`` on a line of their own."""
    images: tuple[ImageRef, ...]
    """In the order of the marks."""


def texts_of(sample: Sample, dialect: Dialect) -> Texts:
    """All turns as texts. RecordError(E_FORMAT) for what the dialect can not say."""
    images = {image.id: image for image in sample.images}
    shown: list[ImageRef] = []
    turns = []
    for turn in sample.turns:
        text = ""
        for part in turn.content:
            if part.ref is not None:
                shown.append(images[part.ref])
                text += IMAGE + "\n"
                continue
            for piece in split_template(part.text or "", sample.mentions):
                text += _plain(piece, dialect) if isinstance(piece, str) else _mention(sample, piece, turn, dialect)
        turns.append((turn.role, text[:-1] if text.endswith(IMAGE + "\n") else text))
    if [image.id for image in shown] != list(images):
        raise RecordError("E_FORMAT", "a picture is shown twice, never, or in another order")
    return Texts(tuple(turns), tuple(shown))


def _plain(text: str, dialect: Dialect) -> str:
    if dialect.reserved.search(text) or IMAGE in text:
        raise RecordError("E_FORMAT", "its text holds what means a box or a picture in this format")
    return text


def _mention(sample: Sample, mention: Mention, turn: Turn, dialect: Dialect) -> str:
    """As in prompts: in questions a mention is its phrase only; one without a phrase is its boxes."""
    phrase = _plain(mention.phrase, dialect)
    there = any(region.boxes for region in mention.regions)
    return dialect.write(sample, mention) if there and (turn.role == "assistant" or not phrase) else phrase


def tagged(sample: Sample) -> Iterator[Mention]:
    """The mentions that are written with their boxes, in text order."""
    for turn in sample.turns:
        for part in turn.content:
            for piece in split_template(part.text or "", sample.mentions):
                if isinstance(piece, str) or not any(region.boxes for region in piece.regions):
                    continue
                if turn.role == "assistant" or not piece.phrase:
                    yield piece


def fields_of(sample: Sample) -> dict[str, Any]:
    """Fields beside the conversation that other programs pass over, so that a sample can be read back.

    ``regions`` has, for each phrase with boxes in text order, its labels and how many boxes each has; ``absent`` what
    was asked for and is not there.
    """
    silent = [not turn.loss for turn in sample.turns if turn.role == "assistant"]
    told: dict[str, Any] = {
        "patient": sample.patient,
        "lang": sample.lang,
        "task": sample.task,
        "answer_type": sample.question_type,
        "choices": list(sample.choices) or None,
        "answer": sample.answer,
        "modality": sample.images[0].modality if sample.images else None,
        "context": dict(sorted(sample.context.items())) or None,
        "facets": dict(sorted(sample.facets.items())) or None,
        "regions": [
            [[region.label, len(region.boxes)] for region in mention.regions if region.boxes]
            for mention in tagged(sample)
        ]
        or None,
        "absent": [
            [mention.phrase, region.label]
            for mention in sample.mentions
            for region in mention.regions
            if not region.boxes
        ]
        or None,
        "no_loss": [number for number, each in enumerate(silent) if each] or None,
    }
    return {name: value for name, value in told.items() if value is not None}


# --- theirs to ours


def said_of(
    row: Mapping[str, Any], turns: Sequence[tuple[str, str]], images: Sequence[str], sizes: Sizes, find: "Find"
) -> Said:
    """What a row says. `turns`: (role, text). `images`: names of pictures, in the order of the marks."""
    mentions: list[Mention] = []
    made: list[Turn] = []
    shown = 0
    answers = 0
    lang = cast(Lang, row.get("lang") if row.get("lang") in ("de", "en") else "en")
    marked = sum(len(_IMAGE.findall(text)) for _, text in turns)
    if marked not in (0, len(images)):
        raise RecordError("E_FORMAT", f"{marked} marks <image> for {len(images)} pictures")
    silent, told = row.get("no_loss") or (), iter(row.get("regions") or ())
    for role, text in turns:
        parts: list[Part] = []
        if not marked and not made:
            parts += [Part(type="image", ref=f"i{number}") for number in range(len(images))]
        for number, piece in enumerate(_IMAGE.split(text)):
            if number:
                parts.append(Part(type="image", ref=f"i{shown}"))
                shown += 1
            if piece:
                parts.append(Part(type="text", text=_template(piece, mentions, images, sizes, find, lang, told)))
        if role == "assistant":
            made.append(Turn(role="assistant", content=tuple(parts), loss=answers not in silent))
            answers += 1
        else:
            made.append(Turn(role=cast(Any, role), content=tuple(parts)))
    if not answers:
        raise RecordError("E_NO_ANSWER", "no turn of the assistant")
    for phrase, label in row.get("absent") or ():
        region = Region(label=str(label), class_id=_number(str(label)), boxes=(), origin="manual")
        mentions.append(Mention(id=f"m{len(mentions)}", phrase=str(phrase), regions=(region,)))
    kind = str(row.get("answer_type") or "").strip().lower()
    return Said(
        turns=tuple(made),
        mentions=tuple(mentions),
        lang=lang,
        task=str(row.get("task") or _TASK),
        question_type=kind if kind in _QUESTION_TYPES else None,
        choices=tuple(map(str, row.get("choices") or ())),
        answer=str(row["answer"]) if row.get("answer") is not None else _answer(made, mentions),
        context=_texts(row.get("context")),
        facets=_texts(row.get("facets")),
    )


Find = Callable[[str, Sequence[str], Sizes], Iterator[Tagged]]
"""(text, names of pictures, their sizes) -> what is marked in it, in order."""


def _template(
    text: str,
    mentions: list[Mention],
    images: Sequence[str],
    sizes: Sizes,
    find: Find,
    lang: Lang,
    told: Iterator[Any],
) -> str:
    out, at = "", 0
    for found in find(text, images, sizes):
        name = f"m{len(mentions)}"
        mentions.append(Mention(id=name, phrase=found.phrase, regions=tuple(_regions(found, lang, next(told, None)))))
        out += escape(text[at : found.start]) + f"{{{name}}}"
        at = found.end
    return out + escape(text[at:])


def _regions(found: Tagged, lang: Lang, told: Any) -> Iterator[Region]:
    """The regions of a phrase: as the row tells their labels, else one for each picture, named after the phrase."""
    listed = [(str(label), int(number)) for label, number in told or ()]
    if listed and sum(number for _, number in listed) != len(found.boxes):
        raise RecordError("E_BOX", f"{len(found.boxes)} boxes of a phrase, the row tells of another number")
    label, class_id = label_and_id(found.phrase, found.class_id, lang)
    at = 0
    for name, number in listed or [(label, len(found.boxes))]:
        by_image: dict[int, list[Box]] = {}
        for box, image in found.boxes[at : at + number]:
            by_image.setdefault(image, []).append(box)
        at += number
        own = _number(name) if listed else class_id
        for image, boxes in by_image.items():
            yield Region(label=name, class_id=own, image=f"i{image}", boxes=tuple(boxes), origin="manual")


def _number(label: str) -> int | None:
    return LABELS[label].class_id if label in LABELS else None


def _answer(turns: Sequence[Turn], mentions: Sequence[Mention]) -> str:
    """Plain text of the last answer."""
    last = [turn for turn in turns if turn.role == "assistant"][-1]
    pieces = (p for part in last.content if part.text for p in split_template(part.text, tuple(mentions)))
    return "".join(piece if isinstance(piece, str) else piece.phrase for piece in pieces).strip()


def _texts(value: object) -> dict[str, str]:
    return {str(k): v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def label_and_id(phrase: str, class_id: int | None, lang: Lang) -> tuple[str, int | None]:
    """Label and class number of a phrase, told by the number, by a name of ours, or made of the phrase."""
    if class_id is not None and class_id in BY_ID:
        return BY_ID[class_id].name, class_id
    label = _BY_NAME[lang].get(phrase.strip().casefold()) or label_of(phrase)
    return label, LABELS[label].class_id if label in LABELS else None


_BY_NAME: Mapping[str, Mapping[str, str]] = {
    lang: {display(label, lang).casefold(): label for label in LABELS} for lang in ("de", "en")
}


def in_pixels(values: Sequence[float], rows: int, columns: int, step: float) -> Box:
    """A box in shares of the picture as pixels; one that is thinner than `step` is given that width around its place.

    RecordError(E_FRAME) for numbers that are no shares, E_BOX for corners in the wrong order.
    """
    if not all(0 <= value <= 1 for value in values):
        raise RecordError("E_FRAME", "numbers of a box are not between 0 and 1; expected shares of the picture")
    x0, y0, x1, y1 = values
    if x1 < x0 or y1 < y0:
        raise RecordError("E_BOX", "corners of a box in the wrong order; expected x0, y0, x1, y1")
    if x1 == x0:
        x0, x1 = max(x0 - step / 2, 0), min(x1 + step / 2, 1)
    if y1 == y0:
        y0, y1 = max(y0 - step / 2, 0), min(y1 + step / 2, 1)
    return Box(x0=x0 * columns, y0=y0 * rows, x1=x1 * columns, y1=y1 * rows)
