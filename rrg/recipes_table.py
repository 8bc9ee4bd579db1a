"""``[table]``: the scores of a matrix as CSV and LaTeX, a row for each combination, traced to its prediction files.

A cell has the mean over the seeds, their standard deviation (the seed spread), and the 95 % interval over test items
of the run whose value is the median one (the lower of two). ``predictions`` names the file that was scored.
"""

import csv
import json
import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrg.errors import RrgError, UsageError
from rrg.provenance import sha256_file
from rrg.recipes import Recipe
from rrg.recipes_check import Source
from rrg.recipes_expect import lookup
from rrg.recipes_matrix import Cell, fill

KEYS = ("out", "seed", "predictions", "column")
COLUMN_KEYS = ("name", "file", "value")
HASH_HEX = 12


@dataclass(frozen=True)
class Measured:
    """A metric over the seeds of one combination."""

    values: tuple[float, ...]
    n: int | None
    interval: tuple[float, float] | None

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None of one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Row:
    """One combination."""

    names: Mapping[str, str]
    measured: tuple[Measured, ...]
    predictions: tuple[str, ...]
    """First digits of the SHA-256 of each seed's prediction file."""


def write_table(recipe: Recipe) -> tuple[Path, Path]:
    """Write ``OUT.csv`` and ``OUT.tex``; their paths. UsageError for a table that the recipe does not describe."""
    source, table = Source(recipe.path, recipe.path.read_text(encoding="utf-8")), recipe.table
    for key in table:
        if key not in KEYS:
            raise source.wrong(key, None, f"[table] has no key {key!r}", source.near(key, KEYS))
    for column in table.get("column", []):
        for key in column:
            if key not in COLUMN_KEYS:
                raise source.wrong(key, None, f"[[table.column]] has no key {key!r}", source.near(key, COLUMN_KEYS))
    if not recipe.cells or not table.get("column") or "out" not in table or "predictions" not in table:
        raise UsageError(f"{recipe.path}: [table] needs [matrix], out, predictions and [[table.column]]")
    rows = rows_of(recipe, source)
    columns = [column["name"] for column in table["column"]]
    out = Path(fill(source, table["out"], recipe.values))
    out.parent.mkdir(parents=True, exist_ok=True)
    paths = out.with_name(f"{out.name}.csv"), out.with_name(f"{out.name}.tex")
    _write_csv(paths[0], rows, columns)
    _put(paths[1], latex(rows, columns))
    return paths


def rows_of(recipe: Recipe, source: Source) -> list[Row]:
    """The combinations in the order of the matrix, seeds together."""
    seed = recipe.table.get("seed", "seed")
    together: dict[tuple[tuple[str, str], ...], list[Cell]] = {}
    for cell in recipe.cells:
        key = tuple((name, value) for name, value in cell.values.items() if name not in (seed, "cell"))
        together.setdefault(key, []).append(cell)
    rows = []
    for key, cells in together.items():
        measured = tuple(_measure(recipe, source, column, cells) for column in recipe.table["column"])
        hashes = [_file(recipe, source, recipe.table["predictions"], cell) for cell in cells]
        rows.append(Row(dict(key), measured, tuple(sha256_file(path)[:HASH_HEX] for path in hashes)))
    return rows


def _file(recipe: Recipe, source: Source, name: str, cell: Cell) -> Path:
    path = Path(fill(source, name, {**recipe.values, **cell.values}))
    if not path.is_file():
        raise RrgError(f"{recipe.path}: [table]: {path} is not there; let the stage that makes it run")
    return path


def _measure(recipe: Recipe, source: Source, column: Mapping[str, Any], cells: list[Cell]) -> Measured:
    found = []
    for cell in cells:
        path = _file(recipe, source, column["file"], cell)
        metric = lookup(json.loads(path.read_bytes()), f"metrics.{column['value']}")
        if not isinstance(metric, dict) or metric.get("value") is None:
            raise RrgError(f"{recipe.path}: [table]: {path} has no metric {column['value']} with a value")
        found.append(metric)
    middle = sorted(found, key=lambda metric: float(metric["value"]))[(len(found) - 1) // 2]
    interval = middle.get("ci95")
    return Measured(
        tuple(float(metric["value"]) for metric in found),
        middle.get("n"),
        (float(interval[0]), float(interval[1])) if interval else None,
    )


def _write_csv(path: Path, rows: list[Row], columns: list[str]) -> None:
    head = [*rows[0].names]
    for name in columns:
        head += [name, f"{name} seed sd", f"{name} low", f"{name} high", f"{name} n"]
    lines = [[*head, "seeds", "predictions sha256"]]
    for row in rows:
        cells: list[str] = [*row.names.values()]
        for each in row.measured:
            low, high = each.interval or (None, None)
            numbers = (statistics.fmean(each.values), each.spread, low, high)
            cells += ["" if number is None else f"{number:.6g}" for number in numbers]
            cells.append("" if each.n is None else str(each.n))
        lines.append([*cells, str(len(row.predictions)), " ".join(row.predictions)])
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    temporary.replace(path)


def latex(rows: list[Row], columns: list[str]) -> str:
    """A tabular for ``booktabs``: mean and spread, the interval below it, hashes as comments."""
    dimensions = [*rows[0].names]
    lines = [
        f"\\begin{{tabular}}{{{'l' * len(dimensions)}{'c' * len(columns)}}}",
        "\\toprule",
        f"{' & '.join(map(_escaped, [*dimensions, *columns]))} \\\\",
        "\\midrule",
    ]
    for row in rows:
        lines.append(f"% predictions sha256: {' '.join(row.predictions)}")
        cells = [_escaped(value) for value in row.names.values()]
        for each in row.measured:
            spread = "" if each.spread is None else f" $\\pm$ {each.spread:.3f}"
            interval = "" if each.interval is None else f" [{each.interval[0]:.3f}, {each.interval[1]:.3f}]"
            cells.append(f"{statistics.fmean(each.values):.3f}{spread}{interval}")
        lines.append(f"{' & '.join(cells)} \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "&%$#_{}" else sign for sign in text) or "--"


def _put(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
