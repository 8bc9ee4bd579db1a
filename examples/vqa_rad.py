"""VQA-RAD on a CPU: put a LLaVA together from two parts on disk, train projector, then adapters, answer, score.

See vqa-rad.sh for the arguments. Runs `rrg` commands as a user would; every line that starts with $ is one of them.
"""

import argparse
import hashlib
import json
import os
import resource
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """What is trained."""

    align: tuple[str, ...]
    sft: tuple[str, ...]
    cached: bool = True
    """Pictures pass the tower once for the whole run."""


ALIGN = ("--sft-steps", "60", "--rate", "1e-3", "--batch", "16", "--micro-batch", "16")
SFT = ("--sft-steps", "200", "--rate", "3e-4", "--batch", "16", "--micro-batch", "16", "--lora-rank", "16",
       "--lora-dropout", "0.05", "--keep", "best", "--patience", "2", "--sample-every", "40")  # fmt: skip
PROJECTOR, TOWER = ("--also", "projector"), ("--also", "projector,tower")
MOVED = ("--augment", "shift,scale,rotate,intensity")
ROWS = {
    "frozen": Row(ALIGN, (*SFT, *PROJECTOR)),
    "question-only": Row((*ALIGN, "--no-image"), (*SFT, *PROJECTOR, "--no-image")),
    "moved": Row((*ALIGN, *MOVED), (*SFT, *PROJECTOR, *MOVED), cached=False),
    "tuned": Row((*ALIGN, *MOVED), (*SFT, *TOWER, *MOVED), cached=False),
}
BEST = "frozen"
COMMON = ("--lang", "en", "--box-format", "none", "--lower-answers", "--context", "512")
PROTOCOLS = ("radgrounder", "strict")


def rrg(*words: object, output: Path | None = None) -> None:
    """Run one command, its line shown first. Code 3 (some inputs rejected, each with its record) goes on."""
    line = ["rrg", *map(str, words)]
    print("$", shlex.join(line) + (f" > {output}" if output else ""), flush=True)
    partial = output.with_name(f".{output.name}.partial") if output else Path(os.devnull)
    with partial.open("wb") as file:
        done = subprocess.run([sys.executable, "-m", *line], stdout=file if output else None, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"vqa-rad: rrg {words[0]} ended with {done.returncode}; the same command again goes on")
    if output:
        partial.replace(output)


def packed(source: Path, out: Path) -> Path:
    """The data set of a folder of split files and images; made once."""
    if not out.exists():
        rrg("pack", source, "--from", "vqa-rad", "--split-by", "given", "--no-balance", "--out", out)
    return out


def tested(test: Path, images: Path, source: Path) -> tuple[Path, bool]:
    """The data set of one question file, all of it in the test split; whether its answers are known.

    Questions whose answers are kept elsewhere get a question mark for one, and are not scored here.
    """
    rows = json.loads(test.read_text(encoding="utf-8"))
    unknown = sum(blank(row.get("answer")) for row in rows)
    if unknown:
        print(f"{test}: {unknown} of {len(rows)} answers are not there: questions are answered, not scored")
    stand_in = {"q_type": "open", "answer": "?"}
    source.mkdir(exist_ok=True)
    filled = [row | {name: value for name, value in stand_in.items() if blank(row.get(name))} for row in rows]
    (source / "test.json").write_text(json.dumps(filled))
    (source / "images").unlink(missing_ok=True)
    (source / "images").symlink_to(images.resolve())
    return packed(source, source / "dataset"), not unknown


def blank(value: Any) -> bool:
    """Whether a field says nothing; 0 and false say something."""
    return value is None or not str(value).strip()


def beside_questions(test: Path, answers: Path, dataset: Path, out: Path) -> None:
    """The question file with a `prediction` in each row, for whoever holds the answers; empty where there is none."""
    samples, said = {}, {}
    for line in (dataset / "test.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["schema"] == "rrg.sample/1":
            samples[record["id"]] = int(record["extra"]["vqa-rad"].rpartition("#")[2])
    for line in answers.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["schema"] == "rrg.prediction/1" and record["id"] in samples:
            said[samples[record["id"]]] = record["text"]
    rows = json.loads(test.read_text(encoding="utf-8"))
    told = [row | {"prediction": said.get(number, "")} for number, row in enumerate(rows, 1)]
    out.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{out}: {sum(number in said for number in range(1, len(rows) + 1))} of {len(rows)} questions answered")


def trained(dataset: Path, model: str, row: Row, out: Path, seed: int) -> dict[str, float]:
    """Train the row's run folder; how long its finished calls took, and the most memory of one of them."""
    spent = out / "spent.json"
    known: dict[str, float] = json.loads(spent.read_text()) if spent.exists() else {"seconds": 0.0, "gigabytes": 0.0}
    cache = ("--feature-cache", out.parent / "features") if row.cached else ()
    stages = (
        ("align", ("--model", model), row.align, ()),
        ("run", ("--init-from", out / "align"), row.sft, ("--peft", "lora")),
    )
    for name, start, options, more in stages:
        if (out / name).exists():
            continue
        began = time.monotonic()
        stage = "align" if name == "align" else "sft"
        rrg("train", dataset, *start, "--stages", stage, *COMMON, *cache, *options, *more, "--seed", seed, "--resume",
            "--out", out / name)  # fmt: skip
        known["seconds"] += time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        known["gigabytes"] = max(known["gigabytes"], peak)
        spent.write_text(json.dumps(known) + "\n")
    return known


def answered(dataset: Path, split: str, run: Path, name: str, *words: str, score: bool = True) -> dict[str, Any]:
    """Answers to a split in `run/NAME.jsonl`, and their scores by every protocol: metric -> value, interval."""
    answers = run / f"{name}.jsonl"
    if not answers.exists():
        rrg("infer", dataset / f"{split}.jsonl", "--store", dataset / "store", "--model", run / "run",
            "--max-new-tokens", 24, *words, output=answers)  # fmt: skip
    found: dict[str, Any] = {}
    for protocol in PROTOCOLS if score else ():
        out = run / f"{name}-{protocol}.json"
        rrg("score", "vqa", answers, dataset / f"{split}.jsonl", "--protocol", protocol, "--out", out, "--quiet",
            *(("--sanity",) if name == split else ()))  # fmt: skip
        metrics = json.loads(out.read_text())["metrics"]
        found[protocol] = {key: [each["value"], each.get("ci95")] for key, each in metrics.items()}
    return found


def same(path: Path, row: Mapping[str, Any]) -> None:
    """Keep what a row is made of; end where the same name stands for something else."""
    if path.exists() and json.loads(path.read_text()) != row:
        sys.exit(f"vqa-rad: {path} has other parts or options; give another --name, --seed or OUT, or remove it")
    path.write_text(json.dumps(row, indent=1) + "\n")


def add(path: Path, result: Mapping[str, Any]) -> None:
    """Add a row to the results; one of the same name is replaced."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["row"] != result["row"]]
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(f"{line}\n" for line in (*kept, json.dumps(result))), encoding="utf-8")
    partial.replace(path)


def main() -> None:
    known = argparse.ArgumentParser(prog="vqa-rad.sh", description=__doc__)
    known.add_argument("data", type=Path)
    known.add_argument("llm", type=Path)
    known.add_argument("tower", type=Path)
    known.add_argument("out", type=Path)
    known.add_argument("--row", choices=sorted(ROWS), default=BEST)
    known.add_argument("--grid", type=int, help="tokens of a side of a picture; a timm network has 5 unless told")
    known.add_argument("--name", help="of the row in results.jsonl, where the parts differ from those of others")
    known.add_argument("--seed", type=int, default=0)
    known.add_argument("--test", nargs=2, type=Path, metavar=("TEST.json", "IMAGES"))
    asked = known.parse_args()
    for path in (asked.data, asked.llm, asked.tower, *(asked.test or ())):
        if not path.exists():
            known.error(f"{path}: nothing there")
    if asked.grid is None and (asked.tower / "config.json").is_file():
        asked.grid = 5 if "architecture" in json.loads((asked.tower / "config.json").read_text()) else None

    asked.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("RRG_KEY_FILE", str(asked.out / "key"))
    if not (key := Path(os.environ["RRG_KEY_FILE"])).exists():
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(32))
    same(asked.out / "data.json", {"data": str(asked.data)})
    dataset = packed(asked.data, asked.out / "dataset")
    name = f"{asked.name or asked.row}-{asked.seed}"
    run = asked.out / name
    run.mkdir(exist_ok=True)
    row = ROWS[asked.row]
    parts = {"llm": str(asked.llm), "tower": str(asked.tower), "grid": asked.grid, "data": str(asked.data)}
    whole = {"row": name, **parts, "seed": asked.seed, "options": [*row.align, "then", *row.sft]}
    same(run / "row.json", whole)
    grid = f",grid={asked.grid}" if asked.grid else ""
    model = f"llava:llm={asked.llm},vision={asked.tower}{grid}"
    result: dict[str, Any] = whole | trained(dataset, model, row, run, asked.seed)
    control = ("--no-image",) if asked.row == "question-only" else ()
    result["validation"] = answered(dataset, "val", run, "val", *control)
    if asked.row != "question-only":
        result["shuffled"] = answered(dataset, "val", run, "val-shuffled", "--shuffle-images")
    if asked.test:
        name_of_test = f"test-{hashlib.sha256(asked.test[0].read_bytes()).hexdigest()[:8]}"
        questions, scored = tested(*asked.test, asked.out / name_of_test)
        result["test"] = answered(questions, "test", run, name_of_test, *control, score=scored)
        beside_questions(asked.test[0], run / f"{name_of_test}.jsonl", questions, run / f"{name_of_test}-answers.json")
    add(asked.out / "results.jsonl", result)
    for split in ("validation", "shuffled", "test"):
        for protocol, metrics in result.get(split, {}).items():
            shown = ", ".join(f"{key} {value[0]:.3f}" for key, value in metrics.items() if value[0] is not None)
            print(f"{name} {split} {protocol}: {shown}")


if __name__ == "__main__":
    main()
