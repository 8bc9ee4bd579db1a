"""``make bench-quality``: how many of all swaps of two labels the quality gates find, and what they suspect wrongly.

Every pair of structures of four real volumes is swapped. Writes ``bench-out/quality.json``; needs RRG_TEST_DATA.
"""

import functools
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

from rrg import quality
from tests.quality_cases import REAL, fatal, measured, pairs, phantoms, real, swapped


def swaps(folder: Path, case: str) -> dict[str, object]:
    """What is found in one real volume."""
    given = measured(real(folder, case))
    missed: dict[str, list[str]] = defaultdict(list)
    both = others = count = 0
    for one, other in pairs(given):
        flagged = fatal(swapped(given, one, other)).keys()
        count += 1
        both += {one, other} <= flagged
        others += len(flagged - {one, other})
        if not flagged & {one, other}:
            missed[one].append(other)
    misses = sum(map(len, missed.values()))
    return {
        "structures": len(given.found),
        "suspected": sorted(fatal(quality.judge_measured(given.found, given.forms, given.voxel_mm))),
        "swaps": count,
        "found": count - misses,
        "share": round(1 - misses / count, 4),
        "both": both,
        "others_per_swap": round(others / count, 2),
        "missed": missed,
    }


def main() -> None:
    # the same two sets of points are asked for in most swaps
    gap, known = quality.gap_mm, {}

    @functools.wraps(gap)
    def once(one, other):  # type: ignore[no-untyped-def]
        key = frozenset((id(one), id(other)))
        if key not in known:
            known[key] = (gap(one, other), one, other)  # kept, so that no other set gets the id
        return known[key][0]

    quality.gap_mm = once
    folder = Path(os.environ["RRG_TEST_DATA"])
    told: dict[str, object] = {case: swaps(folder, case) for case in sys.argv[1:] or REAL}
    wrong: list[str] = []
    structures = 0
    for volume in phantoms(60, seed=11):
        given = measured(volume)
        structures += len(given.found)
        judged = quality.judge_measured(given.found, given.forms, given.voxel_mm)
        wrong += [f"{name}: {' '.join(sorted(flags))}" for name, flags in fatal(judged).items()]
    told["phantoms"] = {"structures": structures, "suspected": wrong}
    out = Path("bench-out/quality.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n")
    sys.stdout.write(out.read_text())


if __name__ == "__main__":
    main()
