"""Train the demonstration model that answers when `rrg infer` is given none, and write its folder, scores and card.

Usage: default_model.py DATA [OUT]    OUT (default-out) gets weights/, to be copied to rrg/weights/. About 45 minutes on
two cores. DATA holds totalsegmentator-ct-mr/ and lidc-idri-0314-chest-ct/ (openly licensed; see the card).

It learns from phantoms and two real volumes: abdominal CT with the masks of TotalSegmentator's tests, and a chest CT
with masks by Hounsfield units. Two real volumes of other patients, CT and MR, are only asked about.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from demo import ASKED, DEMO_KEY, HERE, choose, rrg, score

PHANTOMS = {"learn": (200, 0), "unseen": (40, 1)}
"""Studies and seed."""
FAMILIES = "report,presence,which,side,count,position,larger,modality,plane,region,contrast"
LIMITS = ("--min-area-px", 200, "--families", FAMILIES)
STEPS = ("--tower-steps", 6000, "--sft-steps", 4000)
ATTRIBUTION = (
    "Phantoms of rrg. CT and MR of TotalSegmentator's tests (Wasserthal et al., Radiology: Artificial Intelligence "
    "2023, doi 10.1148/ryai.230024; Apache 2.0). Chest CT LIDC-IDRI-0314 (Armato et al., Medical Physics 38, 2011; "
    "data doi 10.7937/K9/TCIA.2015.LO9QL9SX; Clark et al., J Digit Imaging 26, 2013; CC BY 3.0): the authors "
    "acknowledge the National Cancer Institute and the Foundation for the National Institutes of Health, and their "
    "critical role in the creation of the free publicly available LIDC/IDRI Database used in this study."
)


def phantoms(out: Path, name: str) -> Path:
    """Samples of made-up studies with reports."""
    studies, seed = PHANTOMS[name]
    made = out / name
    rrg("phantom", "--out", made, "--studies", studies, "--slices", 20, "--seed", seed, "--workers", 2)
    slices, reports, masks, vqa, samples = (out / f"{name}-{n}.jsonl" for n in range(5))
    store = ("--store", out / "store")
    rrg("extract-slices", made / "dicom", *store, "--out", slices)
    rrg("parse-reports", slices, "--reports", made / "reports", "--out", reports)
    truth = ("--masks", made / "masks", "--labels", made / "labels.json")
    rrg("segment", reports, "--engine", "masks", *truth, *store, "--out", masks)
    rrg("synth-vqa", masks, *LIMITS, "--out", vqa)
    rrg("synth-ground", vqa, *LIMITS[:2], "--out", samples)
    return samples


def real(out: Path, name: str, images: Path, *engine: object) -> Path:
    """Samples of a real volume without a report: what its masks show."""
    slices, masks, vqa, samples = (out / f"{name}-{n}.jsonl" for n in range(4))
    store = ("--store", out / "store")
    rrg("extract-slices", images, *store, "--out", slices)
    rrg("segment", slices, *engine, *store, "--out", masks)
    rrg("synth-vqa", masks, *LIMITS[2:], "--out", vqa)
    rrg("synth-ground", vqa, "--out", samples)
    return samples


def scores(out: Path, name: str, samples: Path, model: Path, control: str) -> dict[str, Any]:
    """Closed answers and boxes of one set of samples; both with a control (`_control`), too."""
    asked, found = out / f"{name}-asked.jsonl", {}
    choose(samples, asked, ASKED)
    for suffix, words in (("", ()), ("_control", (control,))):
        answers = out / f"{name}-answers{suffix}.jsonl"
        rrg("infer", asked, "--store", out / "store", "--model", model, *words, output=answers)
        closed = score(out, f"{name}-closed{suffix}", "vqa", answers, asked)["closed.accuracy"]
        boxes = score(out, f"{name}-boxes{suffix}", "refer", answers, asked)["iou"]
        found |= {f"accuracy{suffix}": closed, f"iou{suffix}": boxes}
    return found


def main() -> None:
    data, out = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "default-out")
    (out / "scores").mkdir(parents=True)
    os.environ["RRG_KEY_FILE"] = str(out / "key")
    (out / "key").touch(mode=0o600)
    (out / "key").write_bytes(DEMO_KEY)

    open_data = data / "totalsegmentator-ct-mr"
    names = ("--labels", open_data / "labels.json")

    def masks(file: str, task: str) -> tuple[object, ...]:
        return "--engine", "masks", "--masks", open_data / file, *names, "--task", task

    learnt = [
        phantoms(out, "learn"),
        real(out, "ct", open_data / "example_ct.nii.gz", *masks("example_seg_fast_force_split.nii.gz", "total")),
        real(out, "chest", data / "lidc-idri-0314-chest-ct" / "full_5mm", "--engine", "threshold"),
    ]
    unseen = phantoms(out, "unseen")
    other = real(out, "other", open_data / "example_ct_dicom", *masks("example_seg_dicom.nii.gz", "total"))
    mr = real(out, "mr", open_data / "example_mr_sm.nii.gz", *masks("example_seg_mr.nii.gz", "total_mr"))

    told = ("--demonstration", "--licence", "Apache 2.0, CC BY 3.0", "--attribution", ATTRIBUTION)
    rrg("pack", *learnt, "--store", out / "store", "--out", out / "dataset", "--split", "96,4,0", *told)
    rrg("train", out / "dataset", "--model", "tiny", *STEPS, "--mix", "which=2,side=2", "--out", out / "run")
    rrg("export", out / "run", "--to", "gguf", "--out", out / "gguf")
    found = {
        "phantoms": scores(out, "unseen", unseen, out / "gguf", "--shuffle-images"),
        "ct": scores(out, "other", other, out / "gguf", "--no-image"),
        "mr": scores(out, "mr", mr, out / "gguf", "--no-image"),
    }
    (out / "scores.json").write_text(json.dumps(found, indent=1) + "\n")

    weights = out / "weights"
    shutil.copytree(out / "gguf", weights)
    shutil.copytree(out / "run" / "model", weights / "model")
    (weights / "card.md").write_text(card(found, (out / "run" / "card.md").read_text()))


def card(found: dict[str, Any], training: str) -> str:
    """The model card: what it is, from what, how good, what it can not do; then how it was trained."""

    def row(what: str, name: str, key: str) -> str:
        cells = []
        for suffix in ("", "_control"):
            metric = found[name][key + suffix]
            low, high = metric["ci95"] or (float("nan"),) * 2
            cells.append(f"{metric['value']:.3f} [{low:.3f}, {high:.3f}]")
        return f"| {what} | {found[name][key]['n']} | {cells[0]} | {cells[1]} |"

    text = (HERE / "default_model_card.md").read_text()
    table = "\n".join(
        (
            row("unseen phantoms, closed questions, accuracy", "phantoms", "accuracy"),
            row("unseen phantoms, boxes, mean IoU", "phantoms", "iou"),
            row("a real CT of a patient never seen, closed questions, accuracy", "ct", "accuracy"),
            row("the same, boxes, mean IoU", "ct", "iou"),
            row("a real MR of a patient never seen, closed questions, accuracy", "mr", "accuracy"),
            row("the same, boxes, mean IoU", "mr", "iou"),
        )
    )
    return text.format(table=table, attribution=ATTRIBUTION, training=training)


if __name__ == "__main__":
    main()
