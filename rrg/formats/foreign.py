"""Rows of other programs' files (SLAKE, VQA-RAD, LLaVA, MedEvalKit, lmms-eval, RadEval, JSONL, CSV) as both sides."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rrg.errors import RrgError
from rrg.formats import fields as f
from rrg.formats.fields import Fields
from rrg.formats.items import Answer, Reference
from rrg.formats.read import Row, Source
from rrg.formats.values import READERS


def flat(source: Source) -> Source:
    """lmms-eval keeps the question's own fields in ``doc``; bring them to the row, which wins."""
    if not any(isinstance(row.value.get("doc"), dict) for row in source.rows):
        return source
    rows = [
        Row(row.line, {**row.value["doc"], **row.value, "doc": None}) if isinstance(row.value.get("doc"), dict) else row
        for row in source.rows
    ]
    return dataclasses.replace(source, rows=tuple(rows))


def ids(source: Source, fields: Fields, *, needed: bool) -> tuple[list[str], str | None]:
    """Ids of all rows and the field they come from. No field: row numbers from 0, or an error when `needed`."""
    names = fields.id
    if source.rows and all("doc" in row.value and "doc_id" in row.value for row in source.rows):
        names = ("doc_id", *names)
    name = next((each for each in names if any(f.has(row.value, each) for row in source.rows)), None)
    if name is None:
        if needed and source.rows:
            raise RrgError(
                f"{source.where(source.rows[0].line)}: no id; rows are joined by id, never by order; "
                f"looked for {', '.join(names)} (--id-field names it)"
            )
        return [str(number) for number in range(len(source.rows))], None
    found = []
    for row in source.rows:
        value = row.value.get(name)
        if type(value) is int:
            found.append(str(value))
            continue
        text = f.scalar_text(f.lookup(row.value, name))
        if text is None or not text.strip():
            raise RrgError(f"{source.where(row.line)}: no {name}; every row needs an id")
        found.append(text.strip())
    return found, name


def answers(source: Source, kind: str, fields: Fields, *, both_sides: bool) -> list[Answer]:
    """The predictions of a file, read as `kind` of rows. `both_sides`: the rows hold the references too, so ``answer``
    is not a prediction."""
    names = tuple(name for name in fields.prediction if not (both_sides and name == "answer"))
    found, _ = ids(source, fields, needed=not both_sides)
    if kind in READERS:
        values = READERS[kind](source, names, "prediction").values
    else:
        values = [f.text_field(source, row, names, "prediction")[1] for row in source.rows]
    return [
        Answer(id=id_, line=row.line, value=value) for id_, row, value in zip(found, source.rows, values, strict=True)
    ]


def references(
    source: Source,
    kind: str,
    fields: Fields,
    *,
    both_sides: bool,
    predictions: Sequence[str] = f.PREDICTION,
) -> tuple[list[Reference], list[str]]:
    """The references of a file, read as `kind` of rows, and notes on what was derived."""
    found, id_name = ids(source, fields, needed=False)
    notes = [] if id_name else [f"{source.path}: rows have no id; their numbers, from 0, are the ids"]
    read = READERS[kind](source, fields.reference, "reference") if kind in READERS else None
    always = (id_name, *fields.joined, *(read.used if read else ()))
    layouts: dict[tuple[str | None, ...], _Layout] = {}
    made = []
    for number, (id_, row) in enumerate(zip(found, source.rows, strict=True)):
        used, value = (None, read.values[number]) if read else _text(source, row, fields, predictions, both_sides)
        said = f.first(row.value, predictions) if both_sides else None
        key = (used, said, *row.value)
        layout = layouts.get(key)
        if layout is None:
            layout = layouts[key] = _layout(row.value, (*always, used, said), typed=kind == "vqa")
        made.append(_reference(source, row, id_, value, layout))
    untyped = sum(each.answer_type is None for each in made) if kind == "vqa" else 0
    if untyped:
        notes.append(f"{source.path}: {untyped} rows have no answer type; a yes/no reference is closed, any other open")
    return made, notes


def _text(
    source: Source, row: Row, fields: Fields, predictions: Sequence[str], both_sides: bool
) -> tuple[str | None, str]:
    """(field, text) of a reference."""
    if fields.joined:
        return None, f.joined_text(source, row, fields.joined)
    used, value = f.text_field(source, row, fields.reference, "reference")
    if both_sides and used == f.first(row.value, predictions):
        raise RrgError(f"{source.where(row.line)}: {used} can not be both sides; use --reference-field")
    return used, value


class _Layout(NamedTuple):
    """Which fields of a row say what; the same for all rows that have the same fields."""

    facets: Sequence[str]
    drop: Sequence[str | None]
    """What is no facet."""
    answer_type: str | None
    choices: Sequence[str]
    images: Sequence[str]
    sized: bool
    """Width and height are there."""
    nested: bool
    """``doc`` is there."""


def _layout(row: Mapping[str, Any], drop: Sequence[str | None], *, typed: bool) -> _Layout:
    return _Layout(
        facets=[name for name in row if name not in drop],
        drop=drop,
        answer_type=f.first(row, f.ANSWER_TYPE) if typed else None,
        choices=[name for name in f.CHOICES if name in row],
        images=[name for name in f.IMAGE if name in row],
        sized="width" in row and "height" in row,
        nested="doc" in row,
    )


def _reference(source: Source, row: Row, id_: str, value: Any, layout: _Layout) -> Reference:
    fields = row.value
    facets = f.facets(fields, layout.drop) if layout.nested else f.with_lang(f.scalars(fields, layout.facets))
    lang = facets.get("lang")
    choices = next((listed for name in layout.choices if (listed := fields[name])), ()) if layout.choices else ()
    return Reference(
        id=id_,
        line=row.line,
        value=value,
        facets=facets,
        lang=str(lang).lower() if lang is not None else None,
        answer_type=None if layout.answer_type is None else f.answer_type(source, row, layout.answer_type),
        question=_question(fields),
        choices=tuple(map(str, choices)) if isinstance(choices, list) else (),
        frame=_frame(fields["width"], fields["height"]) if layout.sized else None,
        image=next((name for field in layout.images if (name := fields[field])), None) if layout.images else None,
    )


def _frame(width: Any, height: Any) -> tuple[float, float] | None:
    """(columns, rows); None where they are no numbers."""
    numbers = isinstance(width, int | float) and isinstance(height, int | float)
    return (float(width), float(height)) if numbers else None


def _question(row: Mapping[str, Any]) -> str:
    text = f.scalar_text(row.get("question"))
    if text is None:
        for name in ("conversations", "conversatons"):
            turns = row.get(name)
            if isinstance(turns, list) and turns and isinstance(turns[0], dict):
                text = f.scalar_text(turns[0].get("value"))
    return text or ""
