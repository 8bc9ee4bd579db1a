"""Arms of an experiment on phantoms: train, ask unseen patients, score, each also with images shuffled among them.

One arm trains at a time, on all cores, so that its seconds are those of a user who does the same.

All lies in `bench-out/arms`, in a folder of the sources that made it: an arm that is whole is not run again, one that
was stopped goes on, and after a change of rrg all are made anew.
"""

import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from rrg.provenance import sha256_files

ROOT = Path(__file__).parents[1]
SOURCES = "".join(sha256_files(ROOT / name, "**/*.py") for name in ("rrg", "commands"))
WORK = ROOT / "bench-out" / "arms" / hashlib.sha256(SOURCES.encode()).hexdigest()[:12]
DEMO: dict[str, Any] = runpy.run_path(str(ROOT / "examples" / "demo.py"))
ASKED = {"vqa": 800, "detect": 800}
"""Test samples; of `vqa` those that need the image and have a closed answer."""
CONTROLS = {"": (), "_shuffled": ("--shuffle-images",)}


def rrg(*words: object, output: Path | None = None, threads: int | None = None) -> None:
    """Run one command, on all cores or with so many threads; 3 (some inputs rejected, with a record each) is fine."""
    key = WORK / "key"
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        key.touch(mode=0o600)
        key.write_bytes(DEMO["DEMO_KEY"])
    line = [sys.executable, "-m", "rrg", *map(str, words)]
    environment = {**os.environ, "RRG_KEY_FILE": str(key)} | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    with (output or Path(os.devnull)).open("wb") as file:
        done = subprocess.run(line, stdout=file, stderr=subprocess.PIPE, env=environment, text=True, check=False)
    assert done.returncode in (0, 3), f"{line}: {done.stderr[-2000:]}"


def dataset(studies: int) -> Path:
    """The demo's data set of so many studies, with the questions that are asked in `test-asked.jsonl`."""
    folder = WORK / f"data-{studies}"
    phantom = folder / "phantom"
    if not (folder / "test-asked.jsonl").exists():
        shutil.rmtree(phantom, ignore_errors=True)
        rrg("phantom", "--out", phantom, "--studies", studies, "--slices", DEMO["SLICES"], "--workers", 2)
        recipe = [ROOT / "examples/recipes/phantom.toml", "--set", f"out={folder}", "--set", f"phantom={phantom}"]
        rrg("pipeline", *recipe, "--work", folder / "work", "--to", "pack")
        DEMO["choose"](folder / "dataset/test.jsonl", folder / "test-asked.jsonl", ASKED)
    return folder


def trained(data: Path, name: str, *options: object) -> Path:
    """The run folder of an arm; how long its training took stands beside it."""
    run = data / "arms" / name
    if not run.exists():
        run.parent.mkdir(exist_ok=True)
        start = time.monotonic()
        rrg("train", data / "dataset", "--out", run, "--resume", *options)
        run.with_suffix(".seconds").write_text(f"{time.monotonic() - start:.0f}\n")
    return run


def table(data: Path, arms: Mapping[str, Sequence[object]], out: Path) -> dict[str, dict[str, float]]:
    """Name -> options of `rrg train`; the scores of each, also in `out`, which grows with every arm that ends."""
    rows: dict[str, dict[str, float]] = {}
    for name, options in arms.items():
        rows[name] = scored(data, trained(data, name, *options))
        out.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def scored(data: Path, run: Path) -> dict[str, float]:
    """`accuracy` of closed answers and mean `iou` of boxes, and both with `_shuffled` images."""
    kept = run.with_suffix(".json")
    if not kept.exists():
        with ThreadPoolExecutor(2) as pool:
            values = {name: value for found in pool.map(partial(_asked, data, run), CONTROLS) for name, value in found}
        values["train_seconds"] = float(run.with_suffix(".seconds").read_text())
        kept.write_text(json.dumps(values, indent=1) + "\n")
    found: dict[str, float] = json.loads(kept.read_text())
    return found


def _asked(data: Path, run: Path, suffix: str) -> list[tuple[str, float]]:
    """The scores of one run with the images of one control."""
    answers, test = run.with_name(f"{run.name}{suffix}.jsonl"), data / "test-asked.jsonl"
    ask = ["infer", test, "--store", data / "dataset/store", "--model", run, "--max-new-tokens", 24]
    rrg(*ask, *CONTROLS[suffix], output=answers, threads=1)
    values = []
    for task, metric, name in (("vqa", "closed.accuracy", "accuracy"), ("refer", "iou", "iou")):
        out = run.with_name(f"{run.name}{suffix}-{task}.json")
        rrg("score", task, answers, test, "--out", out, "--quiet", threads=1)
        values.append((name + suffix, json.loads(out.read_text())["metrics"][metric]["value"]))
    return values
