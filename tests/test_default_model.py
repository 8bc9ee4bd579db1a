"""The demonstration model that comes with rrg: it answers when no model is given, and says what it is."""

import json
from pathlib import Path

import pytest

from rrg.infer_request import OWN
from rrg.model.load import load
from rrg.model.settings import read_settings
from rrg.prompt import free_prompt
from tests.conftest import Rrg

MEGABYTES = 25


@pytest.fixture(scope="module")
def study(rrg: Rrg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up study of another seed than those that it learned from."""
    folder = tmp_path_factory.mktemp("study")
    rrg("phantom", "--out", folder / "p", "--studies", 1, "--slices", 4, "--size", 128, "--seed", 7)
    return min((folder / "p" / "dicom").iterdir())


def test_it_is_small_and_says_what_it_is() -> None:
    assert sum(path.stat().st_size for path in OWN.rglob("*") if path.is_file()) < MEGABYTES * 10**6
    assert read_settings(OWN).demonstration
    card = (OWN / "card.md").read_text()
    for words in ("Not a medical device", "What it can not do", "unseen phantoms", "10.7937/K9/TCIA.2015.LO9QL9SX"):
        assert words in card
    assert {path.name for path in OWN.glob("*.gguf")} == {"llm-f16.gguf", "mmproj-f16.gguf"}


def test_without_model_it_answers_and_says_so(rrg: Rrg, study: Path) -> None:
    for lang, ask, notice in (
        ("de", "Wo ist die Leber?", "Demonstrationsmodell"),
        ("en", "Where is the liver?", "demonstration"),
    ):
        done = rrg("infer", study, "--lang", lang, "--slices", "2", "-q", ask)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        answers = [row for row in rows if row["schema"] == "rrg.prediction/1"]
        assert answers
        assert all(notice in row["notice"] and row["backend"] == "gguf" for row in answers)
        assert b"the demonstration model that comes with rrg" in done.stderr


def test_dicom_of_it_needs_a_word(rrg: Rrg, study: Path, tmp_path: Path) -> None:
    refused = rrg("infer", study, "--dicom", tmp_path / "d", code=2)
    assert b"--allow-demo" in refused.stderr
    assert not (tmp_path / "d").exists()


def test_its_weights_for_torch_answer_alike() -> None:
    """`model/` beside the GGUF files is the same model: a run can start from it."""
    import numpy as np

    from rrg.model.load import TorchModel

    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    answers = [
        model.answer((picture,), free_prompt("Wo ist die Leber?"), 24).raw for model in (load(OWN), TorchModel(OWN))
    ]
    assert answers[0] == answers[1]
