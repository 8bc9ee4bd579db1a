"""Every answer of synth-vqa is true of 20 phantom studies, judged from plan and DICOM files (tests/vqa_oracle.py)."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rrg.synth.vqa import FAMILIES
from tests.conftest import Rrg
from tests.vqa_oracle import Truth, entailed, truths


class Asked(NamedTuple):
    folder: Path
    truths: dict[str, Truth]
    images: dict[str, str]
    """Slice -> SHA-256 of its pixels."""
    samples: list[dict[str, Any]]


@pytest.fixture(scope="module")
def asked(rrg: Rrg, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    out = tmp_path_factory.mktemp("truth")
    phantom, store = out / "phantom", out / "store"
    rrg("phantom", "--out", phantom, "--studies", 20, "--slices", 12, "--size", 80, "--seed", 11)
    slices = rrg("extract-slices", phantom / "dicom", "--store", store).stdout
    reports = rrg("parse-reports", "--reports", phantom / "reports", stdin=slices).stdout
    masks = rrg(
        *("segment", "--engine", "masks", "--masks", phantom / "masks", "--labels", phantom / "labels.json"),
        *("--store", store),
        stdin=reports,
    ).stdout
    (out / "masks.jsonl").write_bytes(masks)
    lines = []
    common = ("--slices", "all", "--store", store, out / "masks.jsonl")
    for more in (
        ("--seed", 0),
        ("--seed", 1, "--paraphrase"),
        ("--seed", 2, "--paraphrase", "--findings", 12, "--families", ",".join(set(FAMILIES) - {"presence", "which"})),
    ):
        lines += rrg("synth-vqa", *common, *more).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    return Asked(
        out,
        truths(phantom),
        {each["id"]: each["sha256"] for each in records if each["schema"] == "rrg.slice/1"},
        [each for each in records if each["schema"] == "rrg.sample/1"],
    )


def _truth(asked: Asked, sample: dict[str, Any]) -> Truth:
    return asked.truths[asked.images[sample["images"][0]["slice"]]]


def test_every_answer_is_true(asked: Asked) -> None:
    wrong = [sample for sample in asked.samples if not entailed(sample, _truth(asked, sample))]
    assert not wrong, (len(wrong), [(s["turns"][0]["content"][1]["text"], s["answer"]) for s in wrong[:5]])
    families = Counter(sample["facets"]["question"] for sample in asked.samples)
    assert len(asked.samples) > 10_000
    assert len({asked.images[sample["images"][0]["slice"]] for sample in asked.samples}) > 250
    # every family of a phantom: no phases and no chest are written into its headers
    expected = {
        *("presence", "which", "side", "count", "count-of", "position", "larger", "denser", "extent", "area"),
        *("diameter", "density", "finding", "finding-in", "finding-what", "finding-where", "finding-size", "modality"),
        *("is-modality", "plane", "is-plane", "region", "is-region", "contrast", "contrast-which", "sequence"),
        *("is-sequence", "window", "is-window"),
    }
    assert set(families) == expected, families
    assert min(families.values()) >= 10, families


def test_the_oracle_refuses_the_answers_of_another_image(asked: Asked) -> None:
    """The control: an oracle that can not tell is none."""
    keys = sorted(set(asked.images.values()) & asked.truths.keys())
    other = dict(zip(keys, keys[1:] + keys[:1], strict=True))
    refused: Counter[str] = Counter()
    for sample in asked.samples[:8000]:
        truth = asked.truths[other[asked.images[sample["images"][0]["slice"]]]]
        try:
            refused[sample["facets"]["question"]] += not entailed(sample, truth)
        except (KeyError, ValueError, AssertionError):  # a structure that is not there can not be measured
            refused[sample["facets"]["question"]] += 1
    assert sum(refused.values()) > 1500, refused
    for family in ("presence", "which", "side", "count", "extent", "area", "diameter", "density", "modality", "plane"):
        assert refused[family], family


def test_same_bytes_from_pixels_with_two_workers(rrg: Rrg, asked: Asked) -> None:
    command = ("synth-vqa", "--slices", "2", "--store", asked.folder / "store", asked.folder / "masks.jsonl")
    one = rrg(*command).stdout
    assert b'"question":"density"' in one
    assert b'"question":"diameter"' in one
    assert rrg(*command, "--workers", 2).stdout == one
