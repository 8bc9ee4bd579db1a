"""A result of ``rrg score`` as a forest plot: each value with its interval, strata below the whole. SVG, no library."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rrg.errors import RrgError, UsageError
from rrg.outputs.score_sizes import Quarter

Json = Mapping[str, Any]
ROW, LABEL, AXIS, NUMBERS = 18, 260, 360, 190
"""Pixels: height of a row, widths of its three parts."""
SIZES = "IoU by size of the reference"
WHOLE, PART = "#1f4e79", "#7a7a7a"


class Row(NamedTuple):
    """One line of the plot."""

    label: str
    value: float
    low: float
    high: float
    n: int
    stratum: bool


def plot_bytes(body: Json, path: Path, by_size: Sequence[Quarter] = ()) -> bytes:
    """The forest plot, and below it IoU by size of the reference.

    UsageError for a name that does not end in .svg; RrgError when nothing has an interval.
    """
    if path.suffix != ".svg":
        raise UsageError(f"--plot {path}: expected a name that ends in .svg")
    panels = {unit: rows for unit, rows in panels_of(body).items() if rows}
    if by_size:
        panels[SIZES] = [Row(each.size, each.iou, *each.interval, each.n, True) for each in by_size]
    if not panels:
        raise RrgError("--plot: no metric has an interval; leave --samples 0 out")
    return "\n".join(_svg(body, panels)).encode()


def panels_of(body: Json) -> dict[str, list[Row]]:
    """Unit -> rows: metrics of different units do not share an axis. Counts are left out."""
    found: dict[str, list[Row]] = {}
    for name, metric in body["metrics"].items():
        if metric["unit"] == "count" or (row := _row(name, metric, False)) is None:
            continue
        found.setdefault(metric["unit"], []).append(row)
        for facet, values in body["strata"].items():
            parts = ((value, metrics[name]) for value, metrics in values.items() if name in metrics)
            rows = [_row(f"{facet}: {value}", part, True) for value, part in parts]
            found[metric["unit"]] += [row for row in rows if row is not None]
    return found


def _row(label: str, metric: Json, stratum: bool) -> Row | None:
    value, interval = metric["value"], metric["ci95"]
    if interval is None or not all(isinstance(each, int | float) for each in (value, *interval)):
        return None
    return Row(label, float(value), float(interval[0]), float(interval[1]), metric["n"], stratum)


def _svg(body: Json, panels: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    height = 40 + sum(ROW * (len(rows) + 2) + 20 for rows in panels.values()) + ROW
    width = LABEL + AXIS + NUMBERS
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    yield _text(10, 20, f"{body['task']}, protocol {body['protocol']}: value and 95 % interval", weight="bold")
    top = 40
    for unit, rows in panels.items():
        yield from _panel(unit, rows, top)
        top += ROW * (len(rows) + 2) + 20
    yield _text(10, height - 6, body["signature"], size=9)
    yield "</svg>"


def _panel(unit: str, rows: Sequence[Row], top: int) -> Iterator[str]:
    low, high = ends(unit, rows)

    def x(value: float) -> float:
        return round(LABEL + (value - low) / (high - low) * AXIS, 1)

    bottom = top + ROW * len(rows) + 4
    for step in range(5):
        at = low + (high - low) * step / 4
        yield f'<line x1="{x(at)}" y1="{top}" x2="{x(at)}" y2="{bottom}" stroke="#dddddd"/>'
        yield _text(x(at), bottom + 14, f"{at:g}", anchor="middle", size=10)
    yield _text(LABEL + AXIS + 20, bottom + 14, "" if unit == "fraction" else unit, size=10)
    for number, row in enumerate(rows):
        y, colour = top + ROW * number + ROW // 2, PART if row.stratum else WHOLE
        yield _text(24 if row.stratum else 10, y + 4, row.label[:38], colour=colour)
        yield f'<line x1="{x(row.low)}" y1="{y}" x2="{x(row.high)}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
        yield f'<circle cx="{x(row.value)}" cy="{y}" r="4" fill="{colour}"/>'
        told = f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]  n {row.n}"
        yield _text(LABEL + AXIS + 8, y + 4, told, colour=colour, size=10)


def ends(unit: str, rows: Sequence[Row]) -> tuple[float, float]:
    """Ends of the axis: 0 and 1 for fractions, 0 and 100 for percent; else round, about 0 if some are negative."""
    fixed = {"fraction": 1.0, SIZES: 1.0, "percent": 100.0, "score100": 100.0, "score10": 10.0}.get(unit, 0.0)
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    if low >= 0:
        return 0.0, fixed if high <= fixed and fixed else 4 * _round_up(high / 4)
    step = _round_up(max(-low, high) / 2)
    return -2 * step, 2 * step


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5, 10 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= value * (1 - 1e-12))


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#000000", **style: object) -> str:
    extra = "".join(f' font-{name}="{value}"' for name, value in style.items())
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}"{extra}>{html.escape(text)}</text>'
