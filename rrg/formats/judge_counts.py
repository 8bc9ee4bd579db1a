"""Rows with a judge's counts of findings: ``id, matched, significant: [6 counts]``, as GREEN writes them."""

from collections.abc import Sequence
from typing import NamedTuple

from rrg.errors import RrgError
from rrg.formats.read import Row, Source

KINDS = 6
"""Kinds of clinically significant errors."""


class Counts(NamedTuple):
    """What a judge counted in one pair of reports."""

    matched: int
    significant: tuple[int, ...]
    """False finding, missed finding, wrong place, wrong severity, comparison made up, comparison missed."""


def of_row(source: Source, row: Row) -> Counts | None:
    """The counts of a row; None when the judge's answer could not be read (``matched`` or ``significant`` is null)."""
    for name in ("matched", "significant"):
        if name not in row.value:
            raise RrgError(f"{source.where(row.line)}: no {name}; expected id, matched, significant: [6 counts]")
    matched, significant = row.value["matched"], row.value["significant"]
    if matched is None or significant is None:
        return None
    if not _count(matched) or not isinstance(significant, list) or not all(map(_count, significant)):
        raise RrgError(f"{source.where(row.line)}: matched and significant must be whole numbers from 0")
    if len(significant) != KINDS:
        raise RrgError(f"{source.where(row.line)}: {len(significant)} counts in significant, expected {KINDS}")
    return Counts(matched, tuple(significant))


def _count(value: object) -> bool:
    return type(value) is int and value >= 0


def predictions(source: Source, _names: Sequence[str]) -> list[Counts | None]:
    """The counts of every row."""
    return [of_row(source, row) for row in source.rows]
