"""The files for people that ``rrg score`` writes beside its result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rrg.outputs.score_plot import plot_bytes
from rrg.outputs.score_table import table_bytes


def extra_files(body: Mapping[str, Any], table: Path | None, plot: Path | None) -> dict[Path, bytes]:
    """Path -> content. UsageError for a suffix that is not known."""
    found = {}
    if table is not None:
        found[table] = table_bytes(body, table)
    if plot is not None:
        found[plot] = plot_bytes(body, plot)
    return found
