"""`rrg check boxes`: right boxes pass, and each way of putting them elsewhere is found."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrg import check_boxes as checked
from rrg.boxes import Dialect, decode
from rrg.check_boxes import anchor, check_boxes
from rrg.model.settings import Settings, write_settings
from rrg.model.tokenizer import train_tokenizer
from tests import squares

TEXTS = ["Wo ist die Leber? anchor 0123456789", "Where is the liver?"] * 9
DIALECTS = [
    Dialect("loc", 64), Dialect("radgrounder", 512), Dialect("paligemma", 1024), Dialect("qwen2.5-vl", 112),
    Dialect("qwen3-vl", 1000), Dialect("internvl", 1000), Dialect("llava", 1000), Dialect("json", 1000),
    Dialect("text", 1000),
]  # fmt: skip
SETTINGS = Settings(
    family="tiny", side=112, preset="soft", dialect=DIALECTS[0], image_tokens=64, context=512,
    languages=("de", "en"), tasks=("vqa",), dataset="d", run="r",
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares.make(tmp_path_factory.mktemp("squares"))


def run_of(folder: Path, dialect: Dialect) -> Path:
    train_tokenizer(TEXTS, dialect, 400).save_pretrained(folder / "model")
    write_settings(folder, dataclasses.replace(SETTINGS, dialect=dialect))
    return folder


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda each: each.kind)
def test_boxes_are_found_where_they_were(dialect: Dialect, dataset: Path, tmp_path: Path) -> None:
    tiles = check_boxes(run_of(tmp_path / "run", dialect), dataset, tmp_path / "boxes.png")
    assert len(tiles) == 17
    assert all(tile.good for tile in tiles), [tile.bins for tile in tiles]
    assert sum(len(tile.true) for tile in tiles) >= 17
    drawn = np.asarray(Image.open(tmp_path / "boxes.png"))
    assert ((drawn == [0, 208, 0]).all(-1) | (drawn == [255, 48, 48]).all(-1)).sum() > 2000


@pytest.mark.parametrize("fault", ["axes", "mirrored", "lost"])
def test_wrong_boxes_are_found_out(fault: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the anchor alone tells swapped axes, a mirrored picture and a tokenizer without box tokens."""
    run = run_of(tmp_path / "run", DIALECTS[0])
    if fault == "axes":
        monkeypatch.setattr(checked, "decode", lambda raw, rows, columns, kind: decode(raw, columns, rows, kind))
    elif fault == "mirrored":
        real = checked.look
        monkeypatch.setattr(checked, "look", lambda *given: (real(*given)[0][:, ::-1], real(*given)[1]))
    else:
        monkeypatch.setattr(checked, "through", lambda tokenizer, text: text.replace("<loc", "loc"))
    tiles = check_boxes(run, dataset, tmp_path / "boxes.png")
    assert not tiles[0].good


def test_the_anchor_is_seen_where_it_was_drawn() -> None:
    settings = dataclasses.replace(SETTINGS, side=200)
    tile = anchor(settings, train_tokenizer(TEXTS, DIALECTS[0], 400))
    # 30..90 of 200 columns and 60..240 of 300 rows, in a picture of 200 x 200 pixels
    assert np.allclose(tile.true[0].xyxy, (30, 40, 90, 160), atol=1)


def test_from_the_shell(dataset: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", DIALECTS[0])
    command = [sys.executable, "-m", "rrg", "check", "boxes", str(run), str(dataset), "--draw", str(tmp_path / "b.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "anchor and 16 samples" in done.stderr
    write_settings(run, dataclasses.replace(SETTINGS, dialect=Dialect("none", 64)))
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "writes no boxes" in refused.stderr
