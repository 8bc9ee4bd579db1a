"""The acceptance run: what a model, weights and a server do on this machine, on made-up studies in a folder that goes.

Every part is a command of rrg in a process of its own, as a user would run it; the first that fails ends the parts that
build on it, and its last line is told.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rrg.doctor import Finding

STUDIES, SLICES, SIDE = 6, 12, 128
"""TotalSegmentator needs ten slices; six patients fill two splits."""


class Part(NamedTuple):
    """A part of the run: what it shows, and the commands that show it, one after the other."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    remedy: str
    needs: str | None = None
    """The part it builds on."""


def accept(model: str, weights: Path | None, llm: str | None) -> Iterator[Finding]:
    """Findings of one train step of `model` with its boxes and answers, one volume with `weights`, one call of `llm`.

    `model` is what ``rrg train --model`` takes; `weights` TotalSegmentator's folder; `llm` a GGUF file or URL.
    """
    with tempfile.TemporaryDirectory(prefix="rrg-accept-") as folder:
        failed: set[str] = set()
        for part in parts(model, weights, llm):
            if part.needs in failed:
                failed.add(part.name)
                yield Finding(part.name, "absent", f"not run: {part.needs} failed")
                continue
            found = run(part, Path(folder))
            if found.state == "broken":
                failed.add(part.name)
            yield found


def parts(model: str, weights: Path | None, llm: str | None) -> Iterator[Part]:
    """What is run, in order."""
    made = ("phantom", "--out", "p", "--studies", f"{STUDIES}", "--slices", f"{SLICES}", "--size", f"{SIDE}")
    truth = ("--masks", "p/masks", "--labels", "p/labels.json")
    data = (
        made,
        ("extract-slices", "p/dicom", "--store", "store", "--out", "slices.jsonl"),
        ("parse-reports", "slices.jsonl", "--reports", "p/reports", "--out", "reports.jsonl"),
        ("segment", "reports.jsonl", "--engine", "masks", *truth, "--store", "store", "--out", "masks.jsonl"),
        ("synth-vqa", "masks.jsonl", "--out", "vqa.jsonl"),
        ("synth-ground", "vqa.jsonl", "--out", "samples.jsonl"),
        ("pack", "samples.jsonl", "--store", "store", "--out", "dataset", "--split", "70,0,30", "--phantom"),
    )
    yield Part("data set", data, "the message names the command that failed")
    stages = ("--tower-steps", "1") if model.partition(":")[0] == "tiny" else ("--batch", "1")
    start = str(Path(model).absolute()) if Path(model).is_dir() else model
    train = ("train", "dataset", "--model", start, *stages, "--sft-steps", "1", "--out", "run")
    step, built = "one train step", "data set"
    yield Part(step, (train,), "docs/models.md says which folders can be trained", built)
    wrong = "the model would be told wrong places; choose another --box-format"
    yield Part("box anchor", (("check", "boxes", "run", "dataset"),), wrong, step)
    ask = ("infer", "dataset", "--split", "train", "--limit", "1", "--model", "run", "--max-new-tokens", "8")
    yield Part("one answer", ((*ask, "--out", "answer.jsonl"),), "try infer with --model RUN by hand", step)
    few = ("--shard", f"1/{STUDIES}", "--out", "found.jsonl")
    if weights is not None:
        engine = ("--engine", "totalsegmentator", "--weights", str(weights.absolute()), "--fast", "--store", "store")
        command = ("segment", "slices.jsonl", *engine, *few)
        yield Part("one volume", (command,), "docs/segment.md says what the folder must hold", built)
    if llm is not None:
        read = ("parse-reports", "slices.jsonl", "--reports", "p/reports", "--unmatched", "ignore", "--engine", "llm")
        asked = (*read, "--llm", llm if "://" in llm else str(Path(llm).absolute()), *few)
        yield Part("language model", (asked,), "docs/llm.md", built)


def run(part: Part, folder: Path) -> Finding:
    """Run the commands of a part in `folder`: how long they took, or what the first that failed said last."""
    environment = {**os.environ, "RRG_KEY_FILE": str(folder / "key"), "RRG_QUIET": "1"}
    start = time.monotonic()
    for command in part.commands:
        done = process(command, folder, environment)
        if done.returncode not in (0, 3):
            said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
            return Finding(part.name, "broken", f"rrg {command[0]}: {said[-1]}", part.remedy)
    return Finding(part.name, "ok", f"{time.monotonic() - start:.1f} s")


def process(command: Sequence[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[bytes]":
    """One command of rrg."""
    line = [sys.executable, "-m", "rrg", *command]
    return subprocess.run(line, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
