"""Both sides of a score: read, joined by id, in the order of the references."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrg.errors import RrgError, UsageError
from rrg.formats import coco_boxes, foreign, native, number_rows, pair_rows
from rrg.formats.fields import FORMATS, Fields
from rrg.formats.items import Answer, Item, Reference
from rrg.formats.read import Source, read_source
from rrg.formats.sides import Sides
from rrg.score_options import Json, Options


@dataclass(frozen=True)
class Joined:
    """Both sides, joined, before the filter."""

    items: list[Item]
    inputs: Json
    notes: list[str]
    native: bool
    again: Callable[[Path], tuple[list[Item], Json]] | None = None
    """Another file of predictions -> its items, and what the result says about it; None where a file is no rows."""


def join(task: str, kind: str, predictions: Path, references: Path | None, options: Options) -> Joined:
    """Read both sides as `kind` of rows and join them by id, in the order of the references."""
    left = read_source(predictions, partial=options.partial)
    right = left if references is None else read_source(references, partial=options.partial)
    inputs: Json = {"predictions": input_of(left)}
    if references is not None:
        inputs["references"] = input_of(right)
    for source in (left, right):
        if options.format == "rrg" and not source.native:
            raise RrgError(f"{source.path}: not a stream of rrg records, as --format rrg says")
    fields = fields_of(options)
    notes: list[str] = []
    if right.native:
        wanted = native.references(right, task)
        asked = {sample.id: sample for _, sample in native.samples(right)}
    else:
        right = foreign.flat(right)
        wanted, notes = foreign.references(
            right, kind, fields, both_sides=references is None, predictions=fields.prediction
        )
        asked = {}
    if not wanted:
        raise RrgError(f"{right.path}: no references for {task}; is it the right file?")

    def items_of(source: Source) -> list[Item]:
        given = _answers(task, kind, source, right, fields, asked, both_sides=references is None)
        return by_id(source, given, right, wanted, set(asked))

    def again(path: Path) -> tuple[list[Item], Json]:
        source = read_source(path, partial=options.partial)
        return items_of(source), input_of(source)

    return Joined(items_of(left), inputs, notes, left.native and right.native, again)


def _answers(
    task: str, kind: str, left: Source, right: Source, fields: Fields, asked: dict[str, Any], *, both_sides: bool
) -> list[Answer]:
    """The predictions of a file. RrgError where boxes of ours would meet boxes in the frame of another program."""
    if left.native:
        if task in ("refer", "grounded-text") and not right.native:
            raise RrgError(f"{right.path}: predictions of rrg hold pixel boxes; references must be rrg samples too")
        return native.answers(left, task, asked)
    if task in ("refer", "grounded-text") and right.native:
        raise RrgError(f"{left.path}: samples of rrg hold pixel boxes; predictions must be rrg records")
    return foreign.answers(foreign.flat(left), kind, fields, both_sides=both_sides)


def input_of(source: Source) -> Json:
    """What the result says about a file that was read."""
    return {"path": source.path, "sha256": source.sha256, "n": len(source.rows)}


def fields_of(options: Options) -> Fields:
    """Which fields to look in: those of the named format, or all known names; named ones before."""
    if options.format is not None and options.format not in FORMATS:
        raise UsageError(f"no format {options.format!r}; one of {', '.join(FORMATS)}")
    fields = FORMATS[options.format or "jsonl"] or Fields()
    if options.id_field:
        fields = dataclasses.replace(fields, id=(options.id_field,))
    if options.prediction_field:
        fields = dataclasses.replace(fields, prediction=(options.prediction_field,))
    if options.reference_field:
        names = tuple(options.reference_field.split(","))
        fields = dataclasses.replace(fields, reference=names, joined=names if len(names) > 1 else ())
    return fields


def by_id(
    left: Source, answers: Sequence[Answer], right: Source, references: Sequence[Reference], also: set[str]
) -> list[Item]:
    """One item for each reference. `also` are ids that exist but are not scored here (samples of other tasks)."""
    wanted = _unique(right, references)
    given = _unique(left, answers)
    for answer in answers:
        if answer.id not in wanted and answer.id not in also:
            raise RrgError(
                f"{left.where(answer.line)}: no reference has the id {answer.id!r}; are these the right two files?",
                "E_PREDICTION",
            )
    return [
        Item(reference=each, prediction=given[each.id].value)
        if each.id in given
        else Item(reference=each, missing=True)
        for each in references
    ]


def _unique(source: Source, rows: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        if row.id in found:
            raise RrgError(
                f"{source.where(row.line)}: id {row.id!r} is there already ({source.where(found[row.id].line)}); "
                "ids must be unique",
                "E_PREDICTION",
            )
        found[row.id] = row
    return found


def _pairs(predictions: Path, references: Path | None, options: Options) -> Sides:
    left = read_source(predictions)
    right = None if references is None else read_source(references)
    inputs = {"predictions": input_of(left)} | ({} if right is None else {"references": input_of(right)})
    return Sides(items=pair_rows.items(left, right, fields_of(options)), inputs=inputs, notes=[])


def _verdicts(predictions: Path, references: Path | None, options: Options) -> Sides:
    if references is not None:
        raise UsageError("calibration reads one file: id, confidence, correct, or per-item lines and --metrics NAME")
    if len(options.metrics or ()) > 1:
        raise UsageError("calibration is about one item score: --metrics NAME")
    source = read_source(predictions)
    score = options.metrics[0] if options.metrics else None
    return Sides(
        items=number_rows.verdicts(source, score, options.id_field),
        inputs={"predictions": input_of(source)},
        notes=[],
    )


OWN: Mapping[str, Callable[[Path, Path | None, Options], Sides]] = {
    "boxes": lambda predictions, references, _options: coco_boxes.read_sides(predictions, references),
    "pairs": lambda predictions, references, options: _pairs(predictions, references, options),
    "calibration": lambda predictions, references, options: _verdicts(predictions, references, options),
}
"""Tasks whose files are not rows of an id and one value, and how their two sides are joined."""


def joined(task: str, kind: str, predictions: Path, references: Path | None, options: Options) -> Joined:
    """Both sides of a task, in rows of a kind. RrgError on anything that can not be read or joined."""
    if task in OWN:
        sides = OWN[task](predictions, references, options)
        return Joined(sides.items, sides.inputs, sides.notes, native=False)
    return join(task, kind, predictions, references, options)
