"""What was taken of which kinds of series, and why: a table for people."""

import json
from collections import Counter

LISTED = 40
"""Most kinds of series that the table shows."""
HEAD = ("modality", "role", "plane", "kernel/sequence", "mm", "", "reason", "series", "slices")
_RIGHT = {HEAD.index(name) for name in ("mm", "series", "slices")}


class Table:
    """Counts `rrg.records.Series` by kind. Memory is bounded by the number of kinds: thickness to 0.5 mm."""

    def __init__(self) -> None:
        self.series: Counter[tuple[str, ...]] = Counter()
        self.slices: Counter[tuple[str, ...]] = Counter()

    def add(self, lines: bytes) -> None:
        """Count the series records among lines of JSON."""
        for line in lines.splitlines():
            if b'"rrg.series/1"' not in line:
                continue
            record = json.loads(line)
            if record.get("schema") != "rrg.series/1":
                continue
            thickness = record.get("thickness_mm")
            row = (
                record["modality"],
                record["role"],
                record.get("plane") or "-",
                record.get("kernel") or record.get("sequence") or "-",
                "-" if thickness is None else f"{max(0.5, round(2 * thickness) / 2):g}",
                "taken" if record["taken"] else "dropped",
                record["reason"],
            )
            self.series[row] += 1
            self.slices[row] += record["count"]

    def __str__(self) -> str:
        """Aligned lines, what was taken first, the most frequent kinds first; empty when nothing was counted."""
        if not self.series:
            return ""
        order = sorted(self.series, key=lambda row: (row[5] != "taken", -self.series[row], row))
        rows = [HEAD, *((*row, str(self.series[row]), str(self.slices[row])) for row in order[:LISTED])]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
        lines = ["  ".join(map(_cell, range(len(HEAD)), row, widths)).rstrip() for row in rows]
        if more := order[LISTED:]:
            lines.append(f"and {sum(self.series[row] for row in more)} series of {len(more)} more kinds")
        return "\n".join(lines)


def _cell(column: int, word: str, width: int) -> str:
    return word.rjust(width) if column in _RIGHT else word.ljust(width)
