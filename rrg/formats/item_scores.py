"""Per-item files, as ``rrg score --per-item`` writes them or with one numeric column for each score."""

from collections.abc import Iterator, Mapping, Sequence
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


def read(source: Source, id_field: str | None) -> tuple[dict[str, ItemScores], int]:
    """(id -> means of its scores, in how many runs): files of several seeds, one behind the other.

    RrgError where runs do not have the same ids, or one repeats another. A score that one run has not is None, and a
    facet that runs tell differently is none.
    """
    runs: list[dict[str, ItemScores]] = [{}]
    starts = [""]
    for line, id_, item in _items(source, id_field):
        if id_ in runs[-1]:
            runs.append({})
            starts.append(f"{source.where(line)}: id {id_!r} is there already")
        runs[-1][id_] = item
    for number, (run, start) in enumerate(zip(runs, starts, strict=True)):
        if run.keys() != runs[0].keys():
            raise RrgError(f"{start}; of several runs join whole files with the same items", "E_PREDICTION")
        if any(run == before for before in runs[:number]):
            raise RrgError(f"{start}, and all from here on is as before; join each run once", "E_PREDICTION")
    return {id_: _mean([run[id_] for run in runs]) for id_ in runs[0]}, len(runs)


def _mean(items: Sequence[ItemScores]) -> ItemScores:
    if len(items) == 1:
        return items[0]
    scores: dict[str, float | None] = {}
    for name in dict.fromkeys(name for each in items for name in each.scores):
        values = [value for each in items if (value := each.scores.get(name)) is not None]
        scores[name] = sum(values) / len(values) if len(values) == len(items) else None
    first, *others = (each.facets for each in items)
    alike = {name: value for name, value in first.items() if all(each.get(name) == value for each in others)}
    return ItemScores(scores, alike)


def _items(source: Source, id_field: str | None) -> Iterator[tuple[int, str, ItemScores]]:
    """(line, id, scores) of each row."""
    names = (id_field,) if id_field else ID
    empty = True
    for row in source.rows:
        if not isinstance(row.value, dict):
            raise RrgError(f"{source.where(row.line)}: not a per-item line; make one with score --per-item")
        name = next((each for each in names if each in row.value), None)
        id_ = scalar_text(row.value[name]) if name else None
        if id_ is None:
            raise RrgError(f"{source.where(row.line)}: no id; looked for {', '.join(names)}")
        empty = False
        nested = row.value.get("scores")
        if isinstance(nested, dict):
            own = row.value.get("facets")
            yield row.line, id_, ItemScores(_scores(source, row.line, nested), own if isinstance(own, dict) else {})
        else:
            rest = {key: value for key, value in row.value.items() if key != name}
            numbers = {key: number for key, value in rest.items() if (number := _flat(value)) is not None}
            yield row.line, id_, ItemScores(numbers, facets(rest, tuple(numbers)))
    if empty:
        raise RrgError(f"{source.path}: no items")


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
