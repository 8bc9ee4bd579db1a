"""The files for people that ``rrg score`` writes beside its result."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rrg.outputs.score_plot import plot_bytes
from rrg.outputs.score_sizes import quarters
from rrg.outputs.score_table import table_bytes

SIZED = ("masks", "refer")
"""Tasks whose lines hold the size of the reference."""


def extra_files(
    body: Mapping[str, Any], lines: Callable[[], Iterable[Mapping[str, Any]]], table: Path | None, plot: Path | None
) -> dict[Path, bytes]:
    """Path -> content, from a result and its per-item lines. UsageError for a suffix that is not known."""
    found = {}
    if table is not None:
        found[table] = table_bytes(body, table)
    if plot is not None:
        drawn = body["bootstrap"]
        by_size = quarters(lines(), drawn["samples"], drawn["seed"]) if body["task"] in SIZED else ()
        found[plot] = plot_bytes(body, plot, by_size)
    return found
