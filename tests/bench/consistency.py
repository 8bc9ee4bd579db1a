"""``make bench-consistency``: planted rates of wrong slices and sides beside those that synth-ground estimates.

Phantom studies are made once with clean reports; then, for each pair of rates, the same studies with errors planted in
their reports, parsed and grounded anew as real processes. ``planted`` is what the truth file holds, not what was asked
for: of sides, the share where a slice can tell, so that the error is the estimator's and not of the draw. Writes
``bench-out/consistency.json``. Ends with 1 when an estimate is further than a percentage point from
that. The notes tell the standard error, and whether the interval holds what was planted.

So many studies, because few pairs tell of sides: simulated draws of 20 % and 10 % on phantoms put the deviation of the
estimated from the planted share of wrong sides at 0.7 percentage points for 2,000 studies, at half a point for 4,000.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rrg.anatomy import other_side
from rrg.metrics.agreement import Estimate, tallies
from tests.bench import Claim, table, write

STUDIES, SLICES, SIZE = 4000, 12, 40
RATES = ((0.0, 0.0), (0.05, 0.03), (0.1, 0.05), (0.2, 0.1))
"""Asked for: (wrong slices, wrong sides)."""
POINT = 0.01
EDGE = 0.0005
"""Counting of references and of pairs differs by less: what no pair shows is planted too."""


def rrg(*arguments: object, cwd: Path) -> None:
    """Run a command to its end. RuntimeError with what it said when it fails."""
    env = {**os.environ, "RRG_KEY_FILE": str(cwd / "key"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "rrg", *map(str, arguments), "--quiet"]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-600:])


def phantom(out: str, slice_: float, side: float, cwd: Path) -> None:
    """The studies, the same ones but for the reports."""
    size = ("--studies", STUDIES, "--slices", SLICES, "--size", SIZE, "--workers", os.cpu_count() or 1)
    rrg("phantom", "--out", out, *size, "--noise", f"slice={slice_},side={side}", cwd=cwd)


def shown(folder: Path) -> dict[str, set[str]]:
    """SOP Instance UID -> classes on the slice."""
    lines = map(json.loads, (folder / "truth.jsonl").read_text().splitlines())
    return {line["sop_uid"]: {each["label"] for each in line["classes"] or ()} for line in lines}


def truth(folder: Path) -> tuple[float, float, float]:
    """(share of wrong slices among what reports cite; of wrong sides among what they tell of one side; of wrong sides
    where that can be told: the slice is the right one and shows one side alone), of the reports of one language.
    """
    slices: list[bool] = []
    sides: list[bool] = []
    telling: list[bool] = []
    classes = shown(folder)
    for line in (folder / "report_truth.jsonl").read_text().splitlines():
        report = json.loads(line)
        for fact in (fact for sentence in report["sentences"] for fact in sentence["facts"]):
            if report["lang"] != "de" or fact["kind"] not in ("normal", "lesion"):
                continue
            for reference in fact["references"]:
                slices += ["meant" in reference] * len(reference["sop_uids"])
            if not fact["references"] or len(fact["classes"]) != 1:
                continue
            if (twin := other_side(said := fact["classes"][0])) is None:
                continue
            sides.append("meant_classes" in fact)
            for reference in (each for each in fact["references"] if "meant" not in each):
                alone = [len({said, twin} & classes[uid]) == 1 for uid in reference["sop_uids"]]
                telling += ["meant_classes" in fact] * sum(alone)
    return sum(slices) / len(slices), sum(sides) / len(sides), sum(telling) / max(1, len(telling))


def main() -> int:
    """Measure, print, write."""
    head = "source|asked|planted slices|estimated|planted sides|where it can be told|estimated|pairs|telling"
    rows = [head.split("|")]
    claims: dict[str, Claim] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        phantom("clean", 0, 0, work)
        rrg("extract-slices", "clean/dicom", "--store", "store", "--out", "slices.jsonl", cwd=work)
        masks = ("--engine", "masks", "--masks", "clean/masks", "--labels", "clean/labels.json")
        rrg("segment", "slices.jsonl", *masks, "--store", "store", "--out", "masks.jsonl", cwd=work)
        for slice_, side in RATES:
            name = f"slice={slice_:g},side={side:g}"
            phantom("noisy", slice_, side, work)
            rrg("parse-reports", "masks.jsonl", "--reports", "noisy/reports", "--out", "reports.jsonl", cwd=work)
            tasks = ("--tasks", "report", "--slices", "referenced")
            rrg("synth-ground", "reports.jsonl", *tasks, "--out", "samples.jsonl", cwd=work)
            counts = json.loads((work / "samples.jsonl").read_text().splitlines()[-1])["counts"]
            slices, everywhere, sides = truth(work / "noisy")
            for source, tally in tallies(counts).items():
                found = tally.slices(), tally.sides()
                told = (f"{slices:.4f}", str(found[0]), f"{everywhere:.4f}", f"{sides:.4f}", str(found[1]))
                rows.append([source, name, *told, str(tally.pairs), str(found[1].n)])
                for what, planted, estimate in (("slices", slices, found[0]), ("sides", sides, found[1])):
                    claims[f"{what} {name} {source}"] = _claim(planted, estimate)
            shutil.rmtree(work / "noisy")
            print(table(rows), flush=True)
    write("consistency", claims)
    return int(any(claim.verdict == "MISSED" for claim in claims.values()))


def _claim(planted: float, found: Estimate) -> Claim:
    off = abs((found.value if found.value is not None else 1.0) - planted)
    low, high = found.low or 0.0, 1.0 if found.high is None else found.high
    error = (high - low) / (2 * 1.96)
    inside = "within" if low - EDGE <= planted <= high + EDGE else "OUTSIDE"
    note = f"{STUDIES} phantom studies, n {found.n}, planted {planted:.4f}, {inside} [{low:.4f}, {high:.4f}]"
    note += f", standard error {error:.4f}"
    return Claim(ratio=off, goal=POINT, runs=1, unit="difference", peer="truth", lower_is_better=True, note=note)


if __name__ == "__main__":
    sys.exit(main())
