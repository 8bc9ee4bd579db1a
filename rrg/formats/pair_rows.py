"""Two images, one question, two answers: rows of a pair, or rows of one answer each with a ``pair_id``."""

from collections.abc import Mapping, Sequence
from typing import Any

from rrg.errors import RrgError
from rrg.formats import fields as f
from rrg.formats.fields import Fields
from rrg.formats.items import Item, Reference
from rrg.formats.read import Row, Source

Two = tuple[str | None, str | None]
OWN = ("id", "pair_id", "answers", "predictions")


def items(left: Source, right: Source | None, fields: Fields) -> list[Item]:
    """One item a pair, its value the two right answers, its prediction the two given ones; None is an invalid answer.

    RrgError for double ids, for predictions without a reference, and for pairs that are not two.
    """
    truth = right or left
    for source in (left, truth):
        for row in source.rows:
            if not isinstance(row.value, dict):
                raise RrgError(f"{source.where(row.line)}: not a row of a pair")
    if any("answers" in row.value for row in truth.rows):
        return _whole(left, right, fields)
    if right is None:
        raise RrgError(f"{left.path}: no answers; expected id, answers: [x, y], predictions: [p, q], or two files")
    return _halves(left, right, fields)


def _whole(left: Source, right: Source | None, fields: Fields) -> list[Item]:
    truth = right or left
    given = _by_id(left, fields)
    made = []
    for id_, row in _by_id(truth, fields).items():
        answers = _two(truth, row, "answers")
        if None in answers:
            raise RrgError(f"{truth.where(row.line)}: answers {row.value['answers']!r}; expected two right answers")
        said = given.pop(id_, None)
        made.append(_item(id_, row, answers, None if said is None else _two(left, said, "predictions")))
    _all_used(left, given)
    return made


def _halves(left: Source, right: Source, fields: Fields) -> list[Item]:
    given = _by_id(left, fields)
    pairs: dict[str, list[tuple[Row, str, Any]]] = {}
    for id_, row in _by_id(right, fields).items():
        pair = f.scalar_text(row.value.get("pair_id"))
        if pair is None:
            raise RrgError(f"{right.where(row.line)}: no pair_id")
        answer = _clean(f.text_field(right, row, fields.reference, "reference")[1])
        if answer is None:
            raise RrgError(f"{right.where(row.line)}: an empty answer")
        pairs.setdefault(pair, []).append((row, answer, given.pop(id_, None)))
    _all_used(left, given)
    made = []
    for pair, halves in pairs.items():
        if len(halves) != 2:
            raise RrgError(f"{right.where(halves[0][0].line)}: pair {pair!r} has {len(halves)} rows, expected two")
        (row, first, said), (_, second, other) = halves
        texts = [
            None if half is None else _clean(f.text_field(left, half, fields.prediction, "prediction")[1])
            for half in (said, other)
        ]
        both = None if said is None and other is None else (texts[0], texts[1])
        made.append(_item(pair, row, (first, second), both))
    return made


def _item(id_: str, row: Row, answers: Two, said: Two | None) -> Item:
    facets = f.facets(row.value, (*OWN, *f.ID, *f.PREDICTION, *f.REFERENCE))
    lang = facets.get("lang")
    reference = Reference(
        id=id_, line=row.line, value=answers, facets=facets, lang=None if lang is None else str(lang).lower()
    )
    return Item(reference=reference, prediction=said, missing=said is None)


def _by_id(source: Source, fields: Fields) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in source.rows:
        name = f.first(row.value, fields.id)
        id_ = (f.scalar_text(row.value[name]) or "").strip() if name else ""
        if not id_:
            raise RrgError(f"{source.where(row.line)}: no id; looked for {', '.join(fields.id)}")
        if id_ in found:
            raise RrgError(
                f"{source.where(row.line)}: id {id_!r} is there already (line {found[id_].line}); ids must be unique"
            )
        found[id_] = row
    return found


def _all_used(left: Source, rest: Mapping[str, Row]) -> None:
    for id_, row in rest.items():
        raise RrgError(f"{left.where(row.line)}: no reference has the id {id_!r}; are these the right two files?")


def _two(source: Source, row: Row, name: str) -> Two:
    value: Any = row.value.get(name)
    scalar = isinstance(value, list) and all(each is None or f.scalar_text(each) is not None for each in value)
    if not scalar or len(value) != 2:
        raise RrgError(f"{source.where(row.line)}: {name} is {value!r}, expected two answers (null for an invalid one)")
    return _clean(f.scalar_text(value[0])), _clean(f.scalar_text(value[1]))


def _clean(text: str | None) -> str | None:
    """Stripped, lower case; None for an empty one."""
    return (text or "").strip().lower() or None


def texts(values: Sequence[str | None]) -> str:
    """Two answers for the per-item file."""
    return " | ".join("-" if value is None else value for value in values)
