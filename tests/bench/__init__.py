"""Benchmarks: measured side by side, interleaved, with peak memory. Scripts (``make bench-NAME``), no tests.

The measuring process imports the standard library only. On Linux the peak memory of a child starts from that of the
process that forked it, so a parent that holds arrays would be counted as its children's.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

REPEATS = 5
"""Fewest repeats of a claim."""


class Run(NamedTuple):
    """One timed run."""

    seconds: float
    """Wall time."""
    peak_mb: float
    """Largest resident set of a single process of the run, in MB (10^6 bytes)."""
    processor: float = 0.0
    """Seconds of processor time, of the process and of those that it waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One measured claim, as it stands in ``bench-out/NAME.json``."""

    ratio: float | None = None
    """Median of the paired ratios, or of the figures in `unit`; None when it was skipped."""
    goal: float | None = None
    """None: measured beside the claims, nothing is promised."""
    runs: int = 0
    min: float | None = None
    max: float | None = None
    unit: str
    peer: str
    """Name and version of what it was measured against."""
    lower_is_better: bool = False
    seconds: Mapping[str, float] | None = None
    """Median wall time of each side."""
    peak_mb: Mapping[str, float] | None = None
    """Peak memory of each side: the largest single process of any run."""
    note: str = ""
    skipped: str | None = None
    """Why it was not measured."""

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, ``skipped`` or, without a goal, ``-``."""
        if self.ratio is None:
            return "skipped"
        if self.goal is None:
            return "-"
        return "met" if (self.ratio <= self.goal if self.lower_is_better else self.ratio >= self.goal) else "MISSED"


def run(arguments: Sequence[object], *, cwd: Path | None = None) -> Run:
    """Run one process to its end. RuntimeError with the end of its stderr when it fails."""
    started = time.perf_counter()
    process = subprocess.Popen([*map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=cwd)
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}: {said.decode(errors='replace')[-600:]}")
    return Run(seconds, usage.ru_maxrss * 1024 / 1e6, usage.ru_utime + usage.ru_stime)


def in_turn(sides: Mapping[str, Callable[[], Run]], repeats: int = REPEATS) -> dict[str, list[Run]]:
    """A B A B ...: each side once unmeasured (warm cache), then `repeats` times in turn."""
    for side in sides.values():
        side()
    found: dict[str, list[Run]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            found[name].append(side())
    return found


def seconds_of(runs: Sequence[Run]) -> list[float]:
    """Wall times."""
    return [each.seconds for each in runs]


def measured(values: Sequence[float], claim: Claim) -> Claim:
    """The claim with the median and the spread of `values`."""
    return replace(
        claim, ratio=statistics.median(values), runs=len(values), min=min(values), max=max(values), skipped=None
    )


def compared(rrg: Sequence[Run], peer: Sequence[Run], claim: Claim) -> Claim:
    """Paired ratios of wall times: peer to rrg, or rrg to peer where lower is better."""
    over, under = (rrg, peer) if claim.lower_is_better else (peer, rrg)
    ratios = [a / b for a, b in zip(seconds_of(over), seconds_of(under), strict=True)]
    sides = {"rrg": rrg, "peer": peer}
    return replace(
        measured(ratios, claim),
        seconds={name: statistics.median(seconds_of(runs)) for name, runs in sides.items()},
        peak_mb={name: max(each.peak_mb for each in runs) for name, runs in sides.items() if runs[0].peak_mb},
    )


def write(name: str, claims: Mapping[str, Claim]) -> Path:
    """Write ``bench-out/NAME.json``."""
    path = Path("bench-out", f"{name}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({key: _rounded(asdict(claim)) for key, claim in claims.items()}, indent=1) + "\n")
    return path


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return {key: _rounded(each) for key, each in value.items()} if isinstance(value, dict) else value


def table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, the first row as head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def rows_of(claims: Mapping[str, Claim]) -> list[list[str]]:
    """Claims as rows of a table."""
    rows = [["claim", "", "measured", "goal", "min .. max", "n", "unit", "seconds", "peak MB", "against"]]
    for name, claim in claims.items():
        goal = "" if claim.goal is None else f"{'<=' if claim.lower_is_better else '>='} {claim.goal:g}"
        spread = "" if claim.min is None or claim.max is None else f"{claim.min:.3g} .. {claim.max:.3g}"
        against = claim.skipped or "; ".join(filter(None, (claim.peer, claim.note)))
        value = "" if claim.ratio is None else f"{claim.ratio:.3g}" if claim.ratio < 1000 else f"{claim.ratio:.0f}"
        sides = (_sides(claim.seconds, ".2f"), _sides(claim.peak_mb, ".0f"))
        rows.append([name, claim.verdict, value, goal, spread, str(claim.runs), claim.unit, *sides, against])
    return rows


def _sides(values: Mapping[str, float] | None, form: str) -> str:
    return " / ".join(format(value, form) for value in (values or {}).values())
