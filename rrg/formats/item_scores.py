"""Per-item files, as ``rrg score --per-item`` writes them or with one numeric column for each score."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError, UsageError
from rrg.formats.fields import ID, facets, scalar_text
from rrg.formats.items import Scalar
from rrg.formats.read import Source


class ItemScores(NamedTuple):
    """The scores of one item of one system."""

    scores: Mapping[str, float | None]
    facets: Mapping[str, Scalar]


def read(source: Source, id_field: str | None) -> dict[str, ItemScores]:
    """Id -> scores, in file order."""
    names = (id_field,) if id_field else ID
    found: dict[str, ItemScores] = {}
    lines: dict[str, int] = {}
    for row in source.rows:
        if not isinstance(row.value, dict):
            raise RrgError(f"{source.where(row.line)}: not a per-item line; make one with score --per-item")
        name = next((each for each in names if each in row.value), None)
        id_ = scalar_text(row.value[name]) if name else None
        if id_ is None:
            raise RrgError(f"{source.where(row.line)}: no id; looked for {', '.join(names)}")
        if id_ in found:
            raise RrgError(f"{source.where(row.line)}: id {id_!r} is there already (line {lines[id_]})", "E_PREDICTION")
        lines[id_] = row.line
        nested = row.value.get("scores")
        if isinstance(nested, dict):
            own = row.value.get("facets")
            found[id_] = ItemScores(_scores(source, row.line, nested), own if isinstance(own, dict) else {})
        else:
            rest = {key: value for key, value in row.value.items() if key != name}
            numbers = {key: number for key, value in rest.items() if (number := _flat(value)) is not None}
            found[id_] = ItemScores(numbers, facets(rest, tuple(numbers)))
    if not found:
        raise RrgError(f"{source.path}: no items")
    return found


def _scores(source: Source, line: int, scores: Mapping[str, Any]) -> dict[str, float | None]:
    made: dict[str, float | None] = {}
    for name, value in scores.items():
        if value in ("inf", "-inf") or value is None:
            made[name] = None  # a comparison of means needs finite scores
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise RrgError(f"{source.where(line)}: score {name} is not a number or null")
        else:
            made[name] = float(value)
    return made


def _flat(value: Any) -> float | None:
    """A flat column's number; CSV holds it as text."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def names(items: Mapping[str, ItemScores]) -> list[str]:
    """Names of all scores, in order of first appearance."""
    return list(dict.fromkeys(name for each in items.values() for name in each.scores))


def clusters(items: Sequence[ItemScores], field: str) -> NDArray[Any]:
    """(items,) names of the clusters."""
    if any(field not in each.facets for each in items):
        raise UsageError(f"--cluster {field}: not a facet of every item")
    return np.array([str(each.facets[field]) for each in items])
