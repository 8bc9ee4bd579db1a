"""Samples of one picture that foreign data sets give: a question with its answer, "where is", a text on the picture."""

from collections.abc import Mapping, Sequence
from typing import Any

from rrg.anatomy import LABELS
from rrg.datasets import Said, label_of
from rrg.errors import RecordError
from rrg.formats.fields import CLOSED_TYPES, OPEN_TYPES, scalar_text
from rrg.records import Box, Lang, Mention, Part, Region, Turn
from rrg.synth.templates import ask, escape, name

_SLACK = 1e-6
"""Pixels that a sum of two decimal numbers may lie outside of the picture."""


def turns(asked: str, answered: str) -> tuple[Turn, ...]:
    """A question on the picture ``i0`` and its answer, both as texts of parts."""
    return (
        Turn(role="user", content=(Part(type="image", ref="i0"), Part(type="text", text=asked))),
        Turn(role="assistant", content=(Part(type="text", text=answered),), loss=True),
    )


def question(row: Mapping[str, Any], facets: Mapping[str, str]) -> Said:
    """A question on one picture with its answer, blanks around both taken off, numbers as text."""
    asked, answer = (scalar_text(row.get(name)) for name in ("question", "answer"))
    if not (asked or "").strip() or not (answer or "").strip():
        raise RecordError("E_NO_ANSWER", "no question, or no answer")
    word = str(row.get("answer_type") or row.get("q_type") or "").strip().lower()
    kind = "closed" if word in CLOSED_TYPES else "open" if word in OPEN_TYPES else None
    if kind is None:
        raise RecordError("E_FORMAT", f"answer type {word[:20]!r}; expected open or closed")
    said = (answer or "").strip()
    both = turns(escape((asked or "").strip()), escape(said))
    return Said(turns=both, lang="en", question_type=kind, answer=said, facets=facets)


def where_is(structure: str, boxes: Sequence[Box]) -> Said:
    """Where is it? As `synth-ground` asks for what it knows; other names are asked for as they are."""
    label = label_of(structure)
    known = LABELS.get(label)
    phrase = name(label, "en") if known else structure.lower().replace("_", " ")
    region = Region(label=label, class_id=known.class_id if known else None, boxes=tuple(boxes), origin="manual")
    return Said(
        turns=turns(ask("detect", "en", phrase=label if known else escape(phrase)), "{m0}"),
        mentions=(Mention(id="m0", phrase=phrase, regions=(region,)),),
        task="detect",
        answer=phrase,
        facets={"question": "detect", "label": label, "state": "present"},
    )


def described(text: str, mentions: tuple[Mention, ...], template: str, lang: Lang, asked: str | None = None) -> Said:
    """A text on the whole picture; with `mentions`, which `template` points at, it is a grounded report."""
    task = "grounded-report" if mentions else "report"
    return Said(
        turns=turns(escape(asked) if asked else ask(task, lang), template),
        mentions=mentions,
        lang=lang,
        task=task,
        answer=text,
    )


def box_of(values: Any, rows: int, columns: int) -> Box:
    """``[x, y, width, height]`` in pixels. RecordError(E_BOX, E_FRAME) for what is none, or not on the picture."""
    if not isinstance(values, list) or len(values) != 4 or not all(isinstance(v, int | float) for v in values):
        raise RecordError("E_BOX", "a box is not four numbers; expected x, y, width, height")
    x, y, width, height = map(float, values)
    if not (width > 0 and height > 0):
        raise RecordError("E_BOX", "a box is empty; expected x, y, width, height")
    if not (x >= -_SLACK and y >= -_SLACK and x + width <= columns + _SLACK and y + height <= rows + _SLACK):
        raise RecordError("E_FRAME", f"a box is not inside of its picture of {columns} x {rows} pixels")
    return Box(x0=max(x, 0.0), y0=max(y, 0.0), x1=min(x + width, columns), y1=min(y + height, rows))
