"""Rows with numbers: quantities with a unit, and confidences with a verdict."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from rrg.errors import RrgError
from rrg.formats import fields as f
from rrg.formats.items import Item, Reference
from rrg.formats.read import Row, Source

QUANTITY_FIELDS = frozenset({"target", "prediction"})
CALIBRATION_FIELDS = frozenset({"confidence", "correct"})


class Quantity(NamedTuple):
    """What is to be found."""

    numbers: tuple[float, ...]
    """One or several, such as the two axes of a lesion; in `unit`."""
    unit: str
    """As the file spells it; empty: none is stated."""


class Verdict(NamedTuple):
    """How sure an answer was, and whether it was right."""

    confidence: float
    """0..1."""
    correct: float | None
    """0 or 1; None: the item was not scored."""


def quantity(source: Source, row: Row, names: Sequence[str]) -> Quantity:
    """The target of a row: a number, a list of numbers, or a text of numbers with commas between."""
    name = f.first(row.value, ("target", *names))
    if name is None:
        raise RrgError(f"{source.where(row.line)}: no target; looked for target, {', '.join(names)}")
    value: Any = row.value[name]
    if isinstance(value, str):
        value = value.strip().strip("[]()").split(",")
    try:
        numbers = tuple(float(each) for each in (value if isinstance(value, list | tuple) else [value]))
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise RrgError(
            f"{source.where(row.line)}: {name} is {row.value[name]!r}, expected a number or a list of numbers"
        )
    return Quantity(numbers, (f.scalar_text(row.value.get("unit")) or "").strip())


def said(source: Source, row: Row, names: Sequence[str]) -> str | None:
    """A predicted quantity as text; None for an explicit null. A list is its numbers with commas between."""
    name = f.first(row.value, names)
    if name is None:
        raise RrgError(f"{source.where(row.line)}: no prediction; looked for {', '.join(names)}")
    value = f.lookup(row.value, name)
    if isinstance(value, list) and all(type(each) in (int, float) for each in value):
        return ", ".join(map(str, value))
    if value is not None and f.scalar_text(value) is None:
        raise RrgError(f"{source.where(row.line)}: {name} is a {type(value).__name__}, expected a text or a number")
    return f.scalar_text(value)


def verdicts(source: Source, score: str | None, id_field: str | None) -> list[Item]:
    """One item a row, in file order. RrgError when none of them has the score that is named."""
    names = (id_field,) if id_field else f.ID
    seen: dict[str, int] = {}
    items = []
    for number, row in enumerate(source.rows):
        if not isinstance(row.value, dict):
            raise RrgError(f"{source.where(row.line)}: not a row of id, confidence, correct")
        name = f.first(row.value, names)
        id_ = str(number) if name is None else (f.scalar_text(row.value[name]) or "").strip()
        if not id_ or id_ in seen:
            where = f"{source.where(row.line)}: id {id_!r}"
            raise RrgError(f"{where} is there already (line {seen[id_]})" if id_ else f"{where}: every row needs an id")
        seen[id_] = row.line
        own = row.value.get("facets")
        kept = dict(own) if isinstance(own, dict) else f.facets(row.value, (name, *CALIBRATION_FIELDS))
        kept.pop("confidence", None)
        lang = kept.get("lang")
        value = verdict(source, row, score)
        reference = Reference(id=id_, line=row.line, value=value, facets=kept, lang=None if lang is None else str(lang))
        items.append(Item(reference=reference))
    if not items:
        raise RrgError(f"{source.path}: no rows")
    if all(item.reference.value.correct is None for item in items):
        raise RrgError(f"{source.path}: no row has the score {score!r}")
    return items


def verdict(source: Source, row: Row, score: str | None) -> Verdict:
    """Confidence and correctness of a row; of a per-item line the item score that is named."""
    where, value = source.where(row.line), row.value
    facets = value.get("facets")
    confidence = value.get("confidence", facets.get("confidence") if isinstance(facets, dict) else None)
    scores = value.get("scores")
    if isinstance(scores, dict):
        if score is None:
            raise RrgError(f"{where}: per-item lines need --metrics NAME, one of {', '.join(scores)}")
        correct = scores.get(score)  # absent: an item of another answer type
    else:
        correct = value.get("correct")
        if correct is None:
            raise RrgError(f"{where}: no correct (0 or 1)")
    number = _number(correct)
    if correct is not None and number not in (0.0, 1.0):
        raise RrgError(f"{where}: {score or 'correct'} is {correct!r}, expected 0 or 1")
    return Verdict(_fraction(where, confidence), number)


def _fraction(where: str, value: Any) -> float:
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        raise RrgError(f"{where}: confidence is {value!r}, expected a number from 0 to 1")
    return number


def _number(value: Any) -> float | None:
    """A JSON number or truth value, or the text of a number, as CSV has it."""
    if isinstance(value, bool | int | float):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None
