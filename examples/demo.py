"""The demo: made-up CT and MR studies with German and English reports -> slices, facts, masks, samples -> a tiny
grounded model -> GGUF -> answers on patients it never saw -> scores and a page.

Usage: demo.py [FOLDER]    Runs `rrg` commands as a user would; every line that starts with $ is one of them.
"""

import hashlib
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEMO_KEY = hashlib.sha256(b"not a secret: nobody is behind phantoms").digest()
"""A fixed key gives the same split, and so the same scores, every time. Never do this with real patients."""
STUDIES, SLICES = 160, 20
"""Many patients with few slices each teach more than few patients with many."""
ASKED = {"vqa": 1200, "detect": 1200, "grounded-report": 200}
"""Test samples that are asked, by task; of `vqa` those that need the image and are answered by yes, no or a choice."""
COMPARED = 60
"""Of these, samples that torch answers too, for gguf_agreement."""


def rrg(*words: object, output: Path | None = None) -> None:
    """Run one command, its line shown first. Code 3 (some inputs rejected, each with its record) goes on."""
    line = ["rrg", *map(str, words)]
    print("$", shlex.join(line) + (f" > {output}" if output else ""), flush=True)
    with (output or Path(os.devnull)).open("wb") as file:
        done = subprocess.run(line, stdout=file if output else None, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"demo: rrg {words[0]} ended with {done.returncode}")


def score(out: Path, name: str, *words: object) -> dict[str, Any]:
    """Score, keep the file, return its metrics."""
    rrg("score", *words, "--out", out / "scores" / f"{name}.json", "--quiet")
    metrics: dict[str, Any] = json.loads((out / "scores" / f"{name}.json").read_text())["metrics"]
    return metrics


def choose(source: Path, target: Path, wanted: dict[str, int]) -> None:
    """Copy a stream with at most the wanted number of samples of each task, picked by the hash that is their id."""
    lines = source.read_bytes().splitlines(keepends=True)
    samples: dict[str, list[tuple[str, bytes]]] = {task: [] for task in wanted}
    for line in lines:
        record = json.loads(line)
        if record["schema"] == "rrg.sample/1" and record["task"] in wanted:
            if record["task"] == "vqa" and (record["question_type"] == "open" or not record.get("needs_image")):
                continue
            samples[record["task"]].append((record["id"], line))
    kept = {line for task, found in samples.items() for _, line in sorted(found)[: wanted[task]]}
    target.write_bytes(b"".join(line for line in lines if b'"rrg.sample/1"' not in line[:30] or line in kept))


def agreement(one: Path, other: Path) -> tuple[float, int]:
    """Share of samples with the same text and boxes in both files, and their number."""

    def answers(path: Path) -> dict[str, str]:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        return {r["id"]: r["raw"] for r in records if r.get("schema") == "rrg.prediction/1"}

    a, b = answers(one), answers(other)
    shared = a.keys() & b.keys()
    return sum(a[key] == b[key] for key in shared) / max(1, len(shared)), len(shared)


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-out")
    if out.exists():
        shutil.rmtree(out)
    (out / "scores").mkdir(parents=True)
    os.environ["RRG_KEY_FILE"] = str(out / "key")
    (out / "key").write_bytes(DEMO_KEY)
    (out / "key").chmod(0o600)
    start = time.monotonic()

    rrg("phantom", "--out", out / "phantom", "--studies", STUDIES, "--slices", SLICES, "--workers", 2)
    recipe = [HERE / "recipes" / "phantom.toml", "--set", f"out={out}", "--set", f"phantom={out / 'phantom'}"]
    rrg("pipeline", *recipe, "--work", out / "work", "--print")
    rrg("pipeline", *recipe, "--work", out / "work")

    test, compared = out / "test.jsonl", out / "compared.jsonl"
    choose(out / "dataset" / "test.jsonl", test, ASKED)
    choose(test, compared, dict.fromkeys(ASKED, COMPARED // len(ASKED)))
    ask = ["infer", test, "--store", out / "dataset" / "store", "--model", out / "gguf"]
    rows = {"": out / "predictions.jsonl", "_shuffled": out / "predictions-shuffled.jsonl"}
    rrg(*ask, output=rows[""])
    rrg(*ask, "--shuffle-images", output=rows["_shuffled"])

    scores: dict[str, Any] = {}
    for suffix, predictions in rows.items():
        closed = score(out, f"closed{suffix}", "vqa", predictions, test)
        boxes = score(out, f"boxes{suffix}", "refer", predictions, test)
        for name, metric in (("closed_accuracy", closed["closed.accuracy"]), ("mean_iou", boxes["iou"])):
            scores[name + suffix] = metric["value"]
            scores[f"{name}{suffix}_ci95"] = metric["ci95"]
        if not suffix:
            scores |= {"closed_n": closed["closed.accuracy"]["n"], "iou_n": boxes["iou"]["n"]}
            scores["f1_at_50"] = score(out, "phrases", "grounded-text", predictions, test)["at50.f1"]["value"]
            report = score(out, "reports", "report", predictions, test, "--where", "task=grounded-report")
            scores |= {"bleu4": report["bleu4"]["value"], "rougel": report["rougel.f"]["value"]}

    for name in ("run", "gguf"):
        ask = ["infer", compared, "--store", out / "dataset" / "store", "--model", out / name]
        rrg(*ask, output=out / f"compared-{name}.jsonl")
    scores["gguf_agreement"], scores["gguf_n"] = agreement(out / "compared-run.jsonl", out / "compared-gguf.jsonl")

    rrg("phantom", "--out", out / "new", "--studies", 1, "--seed", 1)
    study = min((out / "new" / "dicom").iterdir())
    for lang in ("de", "en"):
        page = ["--page", out / f"study-{lang}.html", "--lang", lang]
        rrg("infer", study, "--model", out / "gguf", *page, output=out / f"study-{lang}.jsonl")
    rrg("view", rows[""], "--store", out / "dataset" / "store", "--limit", 24, "--page", out / "page.html")

    scores["seconds"] = round(time.monotonic() - start, 1)
    scores["peak_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    (out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    table(scores, out)


def table(scores: dict[str, Any], out: Path) -> None:
    """Print the scores as a person reads them."""

    def row(name: str, key: str, n: str) -> str:
        cells = []
        for suffix in ("", "_shuffled"):
            low, high = scores[f"{key}{suffix}_ci95"] or (float("nan"),) * 2
            cells.append(f"{scores[key + suffix]:.3f} [{low:.3f}, {high:.3f}]")
        return f"{name:<28}{scores[n]:>6}  {cells[0]:<24}{cells[1]}"

    print("\nHeld-out phantom patients     n    tiny, GGUF f16 [95 % CI]  images shuffled among patients")
    print(row("closed accuracy", "closed_accuracy", "closed_n"))
    print(row("mean box IoU", "mean_iou", "iou_n"))
    print(f"F1 at IoU 0.5 {scores['f1_at_50']:.3f}, BLEU-4 {scores['bleu4']:.1f}, ROUGE-L {scores['rougel']:.3f}")
    print(f"GGUF and torch agree on {scores['gguf_agreement']:.1%} of {scores['gguf_n']} samples")
    print(f"{scores['seconds']:.0f} s, largest process {scores['peak_mb']} MB")
    print(f"page: {out / 'page.html'}   scores: {out / 'scores.json'}")


if __name__ == "__main__":
    main()
