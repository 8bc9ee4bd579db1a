"""Proof: what grounding, its form and the tower stage do to a tiny model on phantoms of patients it never saw."""

import pytest

from tests import arms

SEEDS = (0, 1, 2)
STUDIES = arms.DEMO["STUDIES"]
LONG = (*("--tower-steps", 2100), *("--sft-steps", 1400))
"""About four minutes of two quiet cores of an AMD EPYC (family 26)."""
LONGER = (*("--tower-steps", 9000), *("--sft-steps", 13_500), *("--bins", 128))
"""Just under thirty minutes of the same (1,787 s), on twice as many studies; 64 bins alone cost a tenth of IoU."""
MIX = "which=2,side=2"
GROUNDING = ("detect", "grounded-report", "box-to-phrase", "phrase-to-box")
WITHOUT = ",".join((MIX, *(f"{task}=0" for task in GROUNDING)))


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, float]]:
    """Arm and seed -> scores; also in `bench-out/grounding.json`."""
    made: dict[str, tuple[object, ...]] = {}
    for seed in SEEDS:
        made[f"grounding-{seed}"] = (*LONG, "--mix", MIX, "--seed", seed)
        made[f"language-{seed}"] = (*LONG, "--mix", WITHOUT, "--seed", seed)
    made["masks-0"] = (*LONG, "--mix", MIX, "--grounding", "mask")
    made["no-tower-0"] = (*LONG, "--mix", MIX, "--stages", "sft")
    return arms.table(arms.dataset(STUDIES), made, arms.ROOT / "bench-out" / "grounding.json")


def over_seeds(table: dict[str, dict[str, float]], arm: str, name: str) -> float:
    return sum(table[f"{arm}-{seed}"][name] for seed in SEEDS) / len(SEEDS)


@pytest.mark.proof
def test_minutes_of_training_are_enough(table: dict[str, dict[str, float]]) -> None:
    for seed in SEEDS:
        assert table[f"grounding-{seed}"]["accuracy"] >= 0.90
        assert table[f"grounding-{seed}"]["iou"] >= 0.60


@pytest.mark.proof
def test_half_an_hour_is_better() -> None:
    made = {"long-0": (*LONGER, "--mix", MIX)}
    scores = arms.table(arms.dataset(2 * STUDIES), made, arms.ROOT / "bench-out" / "grounding-long.json")["long-0"]
    assert scores["accuracy"] >= 0.95
    assert scores["iou"] >= 0.75
    assert scores["accuracy_shuffled"] <= 0.60
    assert scores["iou_shuffled"] <= 0.30


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
