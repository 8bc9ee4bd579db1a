"""Proof: what grounding, its form and the tower stage do to a tiny model on phantoms of patients it never saw."""

import json

import pytest

from tests import arms

SEEDS = (0, 1, 2)
STUDIES = arms.DEMO["STUDIES"]
TOWER, SFT = ("--tower-steps", 2600), ("--sft-steps", 1500)
MIX = "which=2,side=2"
GROUNDING = ("detect", "grounded-report", "box-to-phrase", "phrase-to-box")
WITHOUT = ",".join((MIX, *(f"{task}=0" for task in GROUNDING)))
MEAN = ("accuracy", "iou", "accuracy_shuffled", "iou_shuffled", "train_seconds")


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, float]]:
    """Arm and seed -> scores; written to `bench-out/grounding.json` as it grows."""
    data = arms.dataset(STUDIES)
    rows: dict[str, dict[str, float]] = {}

    def arm(name: str, *options: object) -> None:
        rows[name] = arms.scored(data, arms.trained(data, name, *options))
        text = json.dumps(rows, indent=1) + "\n"
        (arms.ROOT / "bench-out" / "grounding.json").write_text(text)

    for seed in SEEDS:
        chosen = ("--seed", seed)
        arm(f"grounding-{seed}", *TOWER, *SFT, "--mix", MIX, *chosen)
        tower = arms.trained(data, f"tower-{seed}", "--stages", "tower", *TOWER, *chosen)
        arm(f"language-{seed}", "--init-from", tower, "--stages", "sft", *SFT, "--mix", WITHOUT, *chosen)
    arm("masks-0", *TOWER, *SFT, "--mix", MIX, "--grounding", "mask")
    arm("no-tower-0", "--stages", "sft", *SFT, "--mix", MIX)
    return rows


def over_seeds(table: dict[str, dict[str, float]], arm: str, name: str) -> float:
    return sum(table[f"{arm}-{seed}"][name] for seed in SEEDS) / len(SEEDS)


@pytest.mark.proof
def test_minutes_of_training_are_enough(table: dict[str, dict[str, float]]) -> None:
    for seed in SEEDS:
        assert table[f"grounding-{seed}"]["accuracy"] >= 0.90
        assert table[f"grounding-{seed}"]["iou"] >= 0.60


@pytest.mark.proof
def test_grounding_does_not_hurt_language(table: dict[str, dict[str, float]]) -> None:
    with_boxes, without = (over_seeds(table, arm, "accuracy") for arm in ("grounding", "language"))
    assert with_boxes >= without - 0.05


@pytest.mark.proof
def test_the_masks_teach_the_tower(table: dict[str, dict[str, float]]) -> None:
    """Without its stage the tower stays as random as it was made: worse, though not useless."""
    for name in ("iou", "accuracy"):
        assert table["no-tower-0"][name] <= table["grounding-0"][name] - 0.04


@pytest.mark.proof
def test_boxes_of_the_mask_head(table: dict[str, dict[str, float]]) -> None:
    assert table["masks-0"]["iou"] >= 0.60
    assert table["masks-0"]["accuracy"] >= table["grounding-0"]["accuracy"] - 0.05


@pytest.mark.proof
def test_shuffled_images_fall_to_chance(table: dict[str, dict[str, float]]) -> None:
    """Closed answers are balanced between two or three choices."""
    for arm, scores in table.items():
        assert scores["accuracy_shuffled"] <= 0.60, arm
        assert scores["iou_shuffled"] <= 0.30, arm
