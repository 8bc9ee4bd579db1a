"""What a row says besides a text: a reader of values for each kind of rows that is not texts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rrg.errors import RrgError
from rrg.formats import fields as f
from rrg.formats import graph_rows, judge_counts, label_rows, number_rows
from rrg.formats.mask_rows import FIELDS as MASK_FIELDS
from rrg.formats.mask_rows import mask_of
from rrg.formats.read import Row, Source

Side = Literal["prediction", "reference"]


class Values(NamedTuple):
    """One value for each row of a file, in order, and the fields that they came from (which are then no facets)."""

    values: Sequence[Any]
    used: frozenset[str] = frozenset()


_NUMBERS = frozenset({int, float})
Reader = Callable[[Source, Sequence[str], Side], Values]
"""File, the names to look in (first first), which side -> values. RrgError names file and line."""


def boxes(source: Source, names: Sequence[str], side: Side) -> Values:
    """One box a row: four numbers as given, None for an explicit "no box", or the text to look in."""
    wanted = (*(names if len(names) == 1 else ()), *f.BOX, *names)
    return Values([_box(source, row, wanted, side) for row in source.rows])


def _box(source: Source, row: Row, names: Sequence[str], side: Side) -> tuple[float, ...] | str | None:
    name = f.first(row.value, names)
    if name is None:
        raise RrgError(f"{source.where(row.line)}: no box; looked for {', '.join(dict.fromkeys(names))}")
    value = f.lookup(row.value, name)
    if name == "boxes" and isinstance(value, list) and (not value or isinstance(value[0], list)):
        if len(value) > 1:
            raise RrgError(f"{source.where(row.line)}: {len(value)} boxes; refer scores one box a phrase")
        value = value[0] if value else None
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 4 and _NUMBERS.issuperset(map(type, value)):
        return tuple(map(float, value))
    raise RrgError(f"{source.where(row.line)}: {name} of the {side} is not four numbers, null or a text")


def masks(source: Source, _names: Sequence[str], side: Side) -> Values:
    """One mask a row, not opened yet; of a prediction None for an explicit "nothing there"."""
    return Values([mask_of(source, row, needed=side == "reference") for row in source.rows], MASK_FIELDS)


def green_counts(source: Source, names: Sequence[str], side: Side) -> Values:
    """A judge's counts, on the side of the predictions; the references only say which pairs there are."""
    if side == "reference":
        return Values([None] * len(source.rows), frozenset({"matched", "significant"}))
    return Values(judge_counts.predictions(source, names), frozenset({"matched", "significant"}))


def quantities(source: Source, names: Sequence[str], side: Side) -> Values:
    """Numbers with a unit on the side of the references, a text on that of the predictions."""
    if side == "reference":
        return Values([number_rows.quantity(source, row, names) for row in source.rows], number_rows.QUANTITY_FIELDS)
    return Values([number_rows.said(source, row, names) for row in source.rows])


def labels(source: Source, names: Sequence[str], _side: Side) -> Values:
    """Label -> code. Columns of a CSV stay facets too."""
    return Values(label_rows.read(source, names))


def chexbert(source: Source, names: Sequence[str], _side: Side) -> Values:
    """The same; of a CSV only the columns that are CheXbert's labels."""
    return Values(label_rows.read(source, names, label_rows.CHEXBERT))


def graphs(source: Source, names: Sequence[str], _side: Side) -> Values:
    """An entity graph a row."""
    return Values(graph_rows.read(source, names))


READERS: Mapping[str, Reader] = {
    "refer": boxes,
    "masks": masks,
    "quantities": quantities,
    "green-counts": green_counts,
    "labels": labels,
    "chexbert": chexbert,
    "graphs": graphs,
}
"""Kind of rows (a task, or what a protocol names) -> its reader; all other kinds are texts."""
