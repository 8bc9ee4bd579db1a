"""``make bench-score``: box AP beside pycocotools; 100,000 items with 10,000 draws beside the parsing of their JSON.

AP: processes in turn, each times its own evaluation of the same 5,000 images; the averages must be equal. Items: whole
processes of ``rrg score``, from start to the written result, beside a process that only parses the same two files. The
goal is twice that time plus five seconds, in less than 1 GB. Writes ``bench-out/score.json``. Ends with 1 when a goal
is missed. faster-coco-eval is measured when it is installed.
"""

import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench import REPEATS, Claim, Run, in_turn, measured, rows_of, run, table, write

ITEMS = 100_000
AP_RATIO, EXTRA_SECONDS, PEAK_MB = 7, 5.0, 1000
PARSE = "import json, sys\nfor path in sys.argv[1:]:\n    for line in open(path):\n        json.loads(line)\n"
WORDS = ("left", "right", "lung", "liver", "no", "yes", "small", "nodule", "pleural effusion", "of the upper lobe")


def write_items(folder: Path) -> None:
    """Box pairs and questions with answers, as two files each."""
    draw = random.Random(5)
    with (folder / "boxes.jsonl").open("w") as said, (folder / "box-truths.jsonl").open("w") as wanted:
        for n in range(ITEMS):
            box = [draw.uniform(0, 300), draw.uniform(0, 300), draw.uniform(301, 512), draw.uniform(301, 512)]
            near = [value + draw.gauss(0, 20) for value in box]
            said.write(json.dumps({"id": n, "bbox": [round(value, 2) for value in near]}) + "\n")
            wanted.write(json.dumps({"id": n, "bbox": [round(value, 2) for value in box]}) + "\n")
    with (folder / "answers.jsonl").open("w") as said, (folder / "questions.jsonl").open("w") as wanted:
        for n in range(ITEMS):
            closed = n % 2 == 0
            answer = draw.choice(("yes", "no")) if closed else " ".join(draw.choices(WORDS, k=3))
            other = draw.choice(("Yes.", "No.", "yes, it is")) if closed else " ".join(draw.choices(WORDS, k=4))
            said.write(json.dumps({"qid": n, "answer": other}) + "\n")
            row = {"qid": n, "q_lang": "en", "question": "?", "answer": answer, "modality": draw.choice(("CT", "MR"))}
            wanted.write(json.dumps({**row, "answer_type": "CLOSED" if closed else "OPEN"}) + "\n")


def evaluation(program: str, folder: Path) -> tuple[Run, list[float]]:
    """The seconds that a program needs for its evaluation alone, and its averages."""
    arguments = [sys.executable, "-m", "tests.bench.score_coco", program, str(folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr[-600:]}")
    found = json.loads(done.stdout)
    return Run(found["seconds"], 0.0), found["stats"]


def box_claims(folder: Path) -> dict[str, Claim]:
    """AP of rrg and its peers, in turn. RuntimeError when the averages differ."""
    run([sys.executable, "-m", "tests.bench.score_coco", "make", folder])
    peers = ["pycocotools", *(["faster"] if importlib.util.find_spec("faster_coco_eval") else [])]
    runs: dict[str, list[Run]] = {name: [] for name in ("rrg", *peers)}
    stats: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        for name, made in runs.items():
            each, stats[name] = evaluation(name, folder)
            made.append(each)
    worst = max(abs(a - b) for a, b in zip(stats["rrg"], stats["pycocotools"], strict=True))
    if worst > 1e-9:
        raise RuntimeError(f"the averages differ from pycocotools' by {worst}")
    claims = {}
    for name in peers:
        goal = AP_RATIO if name == "pycocotools" else 1
        ratios = [b.seconds / a.seconds for a, b in zip(runs["rrg"], runs[name], strict=True)]
        seconds = {who: statistics.median(each.seconds for each in runs[who]) for who in ("rrg", name)}
        note = f"5,000 images, 20 classes, averages equal to {worst:.0e}"
        claim = Claim(goal=goal, unit="times faster", peer=name, note=note, seconds=seconds)
        claims[f"ap-{name}"] = measured(ratios, claim)
    return claims


def item_claims(folder: Path, task: str, files: tuple[str, str], options: tuple[str, ...]) -> dict[str, Claim]:
    """Seconds over twice the parsing time, and peak memory."""
    rrg = (sys.executable, "-m", "rrg", "score", task, *files, *options, "--by", "none", "--out", "out.json", "-q")
    sides = {
        "rrg": lambda: run(rrg, cwd=folder),
        "parse": lambda: run((sys.executable, "-c", PARSE, *files), cwd=folder),
    }
    found = in_turn(sides, REPEATS)
    over = [a.seconds - 2 * b.seconds for a, b in zip(found["rrg"], found["parse"], strict=True)]
    seconds = {name: statistics.median(each.seconds for each in runs) for name, runs in found.items()}
    time = Claim(
        goal=EXTRA_SECONDS,
        unit="s above 2 x parse",
        peer="json.loads of both files",
        lower_is_better=True,
        seconds=seconds,
        note="100,000 items, 10,000 draws",
    )
    memory = Claim(goal=PEAK_MB, unit="MB", peer="-", lower_is_better=True)
    return {
        f"{task}-seconds": measured(over, time),
        f"{task}-peak": measured([each.peak_mb for each in found["rrg"]], memory),
    }


def main() -> int:
    """Measure, print, write. 1 when a goal is missed."""
    os.environ |= {"OMP_NUM_THREADS": "1", "RRG_QUIET": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_items(folder)
        claims = box_claims(folder)
        declared = ("--box-format", "xyxy", "--box-unit", "pixel")
        claims |= item_claims(folder, "refer", ("boxes.jsonl", "box-truths.jsonl"), declared)
        claims |= item_claims(folder, "vqa", ("answers.jsonl", "questions.jsonl"), ())
    print(table(rows_of(claims)))
    write("score", claims)
    return int(any(claim.verdict == "MISSED" for claim in claims.values()))


if __name__ == "__main__":
    sys.exit(main())
