"""``make bench-synth``: slices per second of synth-vqa and synth-ground together, on one core.

Both run as real processes, one after the other, over every slice of phantom studies with masks and reports; start-up,
reading and writing are in the figure. Writes ``bench-out/synth.json``. Ends with 1 when the goal is missed.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from tests.bench import REPEATS, Claim, in_turn, measured, rows_of, run, table, write

STUDIES, SLICES, SIZE = 80, 40, 128
SLICES_PER_SECOND = 500


def main() -> int:
    """Measure, print, write. 1 when the goal is missed."""
    os.environ |= {"OMP_NUM_THREADS": "1", "RRG_QUIET": "1"}
    rrg = (sys.executable, "-m", "rrg")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["RRG_KEY_FILE"] = str(work / "key")
        made = ("--studies", STUDIES, "--slices", SLICES, "--size", SIZE)
        run([*rrg, "phantom", "--out", "demo", *made], cwd=work)
        run([*rrg, "extract-slices", "demo/dicom", "--store", "store", "--out", "slices.jsonl"], cwd=work)
        run([*rrg, "parse-reports", "slices.jsonl", "--reports", "demo/reports", "--out", "reports.jsonl"], cwd=work)
        masks = ("--engine", "masks", "--masks", "demo/masks", "--labels", "demo/labels.json", "--store", "store")
        run([*rrg, "segment", "reports.jsonl", *masks, "--out", "masks.jsonl"], cwd=work)
        found = in_turn(
            {
                name: lambda name=name: run([*rrg, name, "masks.jsonl", "--slices", "all", "--out", name], cwd=work)  # type: ignore[misc]
                for name in ("synth-vqa", "synth-ground")
            },
            REPEATS,
        )
        ends = [json.loads((work / name).read_bytes().splitlines()[-1])["counts"] for name in found]
    slices = ends[0]["slices.chosen"]
    together = [
        slices / (vqa.seconds + ground.seconds)
        for vqa, ground in zip(found["synth-vqa"], found["synth-ground"], strict=True)
    ]
    note = f"{slices} slices of {STUDIES} phantom studies, {' + '.join(str(end['sample']) for end in ends)} samples"
    claims = {
        "both": measured(together, Claim(goal=SLICES_PER_SECOND, unit="slices/s", peer="-", note=note)),
        **{
            name: measured([slices / each.seconds for each in runs], Claim(unit="slices/s", peer="-"))
            for name, runs in found.items()
        },
    }
    print(table(rows_of(claims)))
    write("synth", claims)
    return int(any(claim.verdict == "MISSED" for claim in claims.values()))


if __name__ == "__main__":
    sys.exit(main())
