"""Proof: box tokens against the mask head on the same data, same tower and steps; both need the right image."""

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from rrg.boxes import Kind
from rrg.records import Mask, Sample
from rrg.store import read
from rrg.train import train
from rrg.train_data import read_part
from rrg.train_options import Options
from tests.conftest import Rrg
from tests.squares import make

FORMS: tuple[tuple[str, Kind], ...] = (("tokens", "loc"), ("mask", "seg"))
QUICK = Options(model="tiny:test", tower_steps=1000, sft_steps=800, sft_tokens=160)


def answers(rrg: Rrg, dataset: Path, run: Path, *control: str) -> dict[str, dict]:
    done = rrg("infer", dataset, "--model", run, "--task", "detect", "--limit", 160, "--max-new-tokens", 16, *control)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["id"]: row for row in rows if row["schema"] == "rrg.prediction/1"}


def overlaps(found: dict[str, dict], samples: dict[str, Sample]) -> float:
    """Mean IoU of the boxes where the structure is there; an answer without a box counts 0."""
    out = []
    for name, row in found.items():
        (region,) = samples[name].mentions[0].regions
        if not region.boxes:
            continue
        told = [box for mention in row["mentions"] for each in mention["regions"] for box in each["boxes"]]
        if not told:
            out.append(0.0)
            continue
        a, b = told[0], region.boxes[0]
        pair = [[v[0], v[1], v[2] - v[0], v[3] - v[1]] for v in ((a["x0"], a["y0"], a["x1"], a["y1"]), b.xyxy)]
        out.append(float(coco.iou([pair[0]], [pair[1]], [0])[0, 0]))
    return float(np.mean(out))


def dice(found: dict[str, dict], samples: dict[str, Sample], masks: dict[str | None, Mask], store: Path) -> float:
    """Mean Dice of the masks where the structure is there; an answer without a mask counts 0."""
    out = []
    for name, row in found.items():
        (region,) = samples[name].mentions[0].regions
        if not region.boxes:
            continue
        true = read(store, masks[samples[name].images[0].slice].array)[0] == region.class_id
        drawn = row["extra"].get("masks") or []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pycocotools' own, of numpy 2
            mask = coco.decode({"size": drawn[0]["size"], "counts": drawn[0]["counts"]}) if drawn else 0 * true
        out.append(float(2 * (mask & true).sum() / max(1, mask.sum() + true.sum())))
    return float(np.mean(out))


@pytest.mark.proof
def test_box_tokens_against_the_mask_head(rrg: Rrg, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    dataset = make(tmp_path, patients=120, slices=6, split=(90, 0, 10))
    part = read_part(dataset, "test", ("de", "en"))
    samples = {sample.id: sample for sample in part.samples}
    masks: dict[str | None, Mask] = {mask.slice: mask for mask in part.masks}
    table = {}
    for name, form in FORMS:
        train(dataset, tmp_path / name, dataclasses.replace(QUICK, box_format=form))
        for control in ("right", "shuffled"):
            found = answers(rrg, dataset, tmp_path / name, *(("--shuffle-images",) if control == "shuffled" else ()))
            table[name, control] = overlaps(found, samples)
            if name == "mask":
                table["dice", control] = dice(found, samples, masks, dataset / "store")
    print({" ".join(key): round(value, 3) for key, value in table.items()})
    assert table["tokens", "right"] >= 0.6
    assert table["mask", "right"] >= 0.6
    assert table["dice", "right"] >= 0.7
    for name in ("tokens", "mask", "dice"):
        assert table[name, "shuffled"] <= 0.35
