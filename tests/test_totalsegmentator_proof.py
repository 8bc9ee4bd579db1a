"""Networks trained on phantoms for a few minutes segment phantoms that they never saw, through TotalSegmentator."""

from pathlib import Path

import pytest

from rrg.totalsegmentator_tasks import TASK_OF, Work
from tests.conftest import Rrg
from tests.tiny_totalsegmentator import make_weights
from tests.train_tiny_totalsegmentator import dice, phantoms, train

pytestmark = pytest.mark.proof
ENOUGH = 0.7
ORGANS = {
    "CT": ("liver", "spleen", "kidney_left", "kidney_right", "lung_lower_lobe_left", "lung_lower_lobe_right", "heart"),
    "MR": ("liver", "spleen", "kidney_left", "kidney_right", "lung_left", "lung_right", "heart"),
}


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_trained_networks_find_the_organs_of_unseen_phantoms(
    rrg: Rrg, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch, modality: str
) -> None:
    monkeypatch.setenv("RRG_KEY_FILE", str(key_file))
    train(tmp_path / "trained", modality)
    task = TASK_OF[modality]
    make_weights(tmp_path / "random", Work(task, fast=True))
    (tmp_path / "unseen").mkdir()
    truth, where = phantoms(tmp_path / "unseen", modality, 4, seed=77)

    def scores(weights: Path, name: str, *options: str) -> dict[str, float]:
        out = tmp_path / f"{name}.jsonl"
        engine = ["--engine", "totalsegmentator", "--weights", weights, "--device", "cpu", "--name", name]
        rrg("segment", truth, "--store", where, "--out", out, *engine, *options)
        mode = f"{task}-fast" if "--fast" in options else task
        found = dice(out, where, f"totalsegmentator:{mode}:{name}", truth)
        print(modality, name, {label: round(value, 3) for label, value in found.items()})
        return found

    for name, options in (("fast", ["--fast"]), ("parts", [])):
        found = scores(tmp_path / "trained", name, *options)
        assert {organ: found[organ] for organ in ORGANS[modality] if found[organ] <= ENOUGH} == {}
    untrained = scores(tmp_path / "random", "random", "--fast")
    assert max(untrained[organ] for organ in ORGANS[modality]) < 0.2  # the control: random weights find nothing
