"""``make bench-pipeline``: a pipe beside its slowest stage, a second run with nothing to do, memory of the stages.

Phantom studies (20 slices of 256 x 256) go through the data stages, each alone from file to file, then all of them as
one recipe. What is reported: wall time of the recipe, less that of the same recipe on one patient (start-up), in units
of the slowest stage's own; a run of a finished recipe; and the peak memory of each stage with ten times the studies.
Writes ``bench-out/pipeline.json``. Ends with 1 when a goal is missed.

All stages of a pipe work at the same time: with fewer processors than stages the sum of their processor time is a
bound, too. ``beside-the-bound`` says how far the recipe is from the larger of the two.
"""

import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tests.bench import Claim, Run, measured, rows_of, run, table, write

FEW, MANY, ONE = 50, 500, 2
"""Studies; two are of one patient."""
SLICES, SIZE, REPEATS = 20, 256, 2
CHAIN, NO_OP_SECONDS, GROWTH = 1.1, 3.0, 1.1
RRG = (sys.executable, "-m", "rrg")
MASKS = ("--masks", "{demo}/masks", "--labels", "{demo}/labels.json")
STAGES: Mapping[str, tuple[str, ...]] = {
    "extract-slices": ("{demo}/dicom", "--store", "{out}/store"),
    "parse-reports": ("--reports", "{demo}/reports"),
    "segment": ("--engine", "masks", *MASKS, "--store", "{out}/store"),
    "synth-vqa": ("--store", "{out}/store"),
    "synth-ground": (),
    "pack": ("--store", "{out}/store"),
}


def main() -> int:
    """Measure, print, write. 1 when a goal is missed."""
    os.environ |= {"OMP_NUM_THREADS": "1", "RRG_QUIET": "1"}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["RRG_KEY_FILE"] = str(work / "key")
        for studies in (ONE, FEW, MANY):
            words = ("--out", f"demo-{studies}", "--studies", studies, "--slices", SLICES, "--size", SIZE)
            run([*RRG, "phantom", *words], cwd=work)
        (work / "chain.toml").write_text(recipe())
        (work / "files.toml").write_text(recipe(after="synth-ground"))
        alone: dict[int, dict[str, list[Run]]] = {each: defaultdict(list) for each in (FEW, MANY)}
        chains: dict[int, list[Run]] = defaultdict(list)
        for _ in range(REPEATS):
            for studies, found in alone.items():
                for name, each in stages(work, studies).items():
                    found[name].append(each)
            for studies in (ONE, MANY):
                chains[studies].append(pipeline(work, "chain.toml", studies))
        records = sum(path.read_bytes().count(b"\n") for path in work.glob("alone/[0-9]-synth-ground.jsonl"))
        pipeline(work, "files.toml", MANY)
        again = [pipeline(work, "files.toml", MANY, anew=False) for _ in range(REPEATS)]
    claims = {
        **of_chain(alone[MANY], chains),
        "no-op": measured(
            [each.seconds for each in again],
            Claim(goal=NO_OP_SECONDS, unit="s", peer="-", lower_is_better=True, note=f"{records} records"),
        ),
        **of_memory(alone),
    }
    print(table(rows_of(claims)))
    write("pipeline", claims)
    return int(any(claim.verdict == "MISSED" for claim in claims.values()))


def recipe(after: str | None = None) -> str:
    """All stages as one pipe, or as two with a file between them: the records of the stage `after`."""
    lines = ["[vars]", 'demo = ""', 'out = ""']
    reads = ""
    for name, words in STAGES.items():
        lines += ["[[stage]]", f'run = "{name}"', *([f'reads = "{reads}"'] if reads else [])]
        reads = ""
        lines += [f'input = "{words[0]}"'] if words and not words[0].startswith("--") else []
        at = len(words) % 2
        lines += [f'{key[2:]} = "{value}"' for key, value in zip(words[at::2], words[at + 1 :: 2], strict=True)]
        lines += ['out = "{out}/dataset"'] if name == "pack" else []
        if name == after:
            lines.append(f'output = "{{out}}/{name}.jsonl"')
            reads = name
    return "\n".join(lines) + "\n"


def stages(work: Path, studies: int) -> dict[str, Run]:
    """Every stage alone, from the file of the one before it to its own."""
    out = work / "alone"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    found: dict[str, Run] = {}
    before: list[Path] = []
    for number, (name, words) in enumerate(STAGES.items()):
        target = out / ("dataset" if name == "pack" else f"{number}-{name}.jsonl")
        filled = [word.format(demo=f"demo-{studies}", out=out) for word in words]
        os.sync()
        found[name] = run([*RRG, name, *before, *filled, "--out", target], cwd=work)
        before = [target]
    return found


def pipeline(work: Path, name: str, studies: int, *, anew: bool = True) -> Run:
    """A recipe, from the start when `anew`."""
    if anew:
        for made in ("made", "work"):
            shutil.rmtree(work / made, ignore_errors=True)
    values = ("--set", f"demo=demo-{studies}", "--set", "out=made")
    os.sync()  # what the runs before have written is not this one's to wait for
    return run([*RRG, "pipeline", name, "--work", "work", "--quiet", *values], cwd=work)


def of_chain(alone: Mapping[str, list[Run]], chains: Mapping[int, list[Run]]) -> dict[str, Claim]:
    """Wall time of the recipe in units of the slowest stage, and of what the processors allow."""
    cores = len(os.sched_getaffinity(0))
    median = {name: statistics.median(each.seconds for each in runs) for name, runs in alone.items()}
    name = max(median, key=lambda each: median[each])
    start_up = statistics.median(each.seconds for each in chains[ONE])
    busy = statistics.median(
        map(sum, zip(*([each.processor for each in runs] for runs in alone.values()), strict=True))
    )
    walls = [each.seconds - start_up for each in chains[MANY]]
    seconds = {"recipe": statistics.median(each.seconds for each in chains[MANY]), "start-up": start_up, **median}
    note = f"{MANY} studies; slowest: {name}; {cores} processors, {busy:.1f} s of their time"
    ratio = Claim(unit="x slowest stage", peer="-", goal=CHAIN, lower_is_better=True, note=note, seconds=seconds)
    bound = Claim(unit="x bound", peer="larger of slowest stage and processor time / processors", lower_is_better=True)
    return {
        "chain": measured([wall / median[name] for wall in walls], ratio),
        "beside-the-bound": measured([wall / max(median[name], busy / cores) for wall in walls], bound),
    }


def of_memory(alone: Mapping[int, Mapping[str, list[Run]]]) -> dict[str, Claim]:
    """Peak memory of each stage with many studies, in units of that with few."""
    found = {}
    for name in STAGES:
        few, many = ([each.peak_mb for each in alone[studies][name]] for studies in (FEW, MANY))
        claim = Claim(
            unit=f"x memory of {FEW}",
            peer="-",
            goal=GROWTH,
            lower_is_better=True,
            peak_mb={str(FEW): max(few), str(MANY): max(many)},
        )
        found[f"memory-{name}"] = measured([b / a for a, b in zip(few, many, strict=True)], claim)
    return found


if __name__ == "__main__":
    sys.exit(main())
