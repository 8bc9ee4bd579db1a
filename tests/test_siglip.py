"""The siglip stage: its loss by hand, what it draws, and that unseen slices find their sentences."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rrg.model.contrast import Contrast, retrieval, sigmoid_loss
from rrg.train_siglip import LONGEST, Order, Unit, drawn, padded
from tests.conftest import Rrg
from tests.squares import make


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_the_loss_by_hand() -> None:
    scores = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    expected = sum(np.log1p(np.exp(-z)) for z in (2.0, 1.0, -0.5, 3.0)) / 2
    assert float(sigmoid_loss(scores, torch.eye(2, dtype=torch.bool))) == pytest.approx(expected, rel=1e-6)
    both = torch.tensor([[True, True], [False, True]])  # two slices say the same
    expected += (np.log1p(np.exp(1.0)) - np.log1p(np.exp(-1.0))) / 2
    assert float(sigmoid_loss(scores, both)) == pytest.approx(expected, rel=1e-6)


def test_retrieval_by_hand() -> None:
    scores = torch.zeros(6, 6)
    scores[0, 0] = 1  # above all five others; the other five rows are ties with the four others, one of them
    found = retrieval(scores)
    assert found.order == pytest.approx((5 + 5 * 2.5) / 30)
    scores[5] = torch.tensor([1, 1, 1, 1, 1, 0])
    assert retrieval(scores).first_of_5 == pytest.approx(5 / 6)
    random = torch.randn(200, 200, generator=torch.Generator().manual_seed(0))
    assert retrieval(random).order == pytest.approx(0.5, abs=0.03)


def test_padding_and_company_change_nothing() -> None:
    torch.manual_seed(0)
    contrast = Contrast(8, torch.randn(50, 12), 16, open=False)
    texts = [(3, 4, 5), (7,), tuple(range(LONGEST - 20))]
    with torch.inference_mode():
        together = contrast.text(*padded(texts))
        alone = torch.cat([contrast.text(*padded([text])) for text in texts])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.ones(3))
    assert not contrast.text.embed.weight.requires_grad


def test_batches_hold_each_slice_once_and_draw_both_languages() -> None:
    units = [Unit(n, (((n, 1),), ((n, 2), (n, 3))), str(n)) for n in range(10)]
    order = Order(units, 4, torch.Generator().manual_seed(0))
    rounds = [order.next() for _ in range(25)]
    assert all(len({unit.id for unit in each}) == 4 for each in rounds)
    counts = np.bincount([unit.picture for each in rounds for unit in each], minlength=10)
    assert set(counts) == {10}
    draw = torch.Generator().manual_seed(1)
    second = [int(t) for each in rounds for t in drawn(each, draw)[0][:, 1]]
    assert 0.35 < np.mean(np.array(second) == 1) < 0.65
    kept = order.state_dict()
    again = Order(units, 4, torch.Generator().manual_seed(7))
    again.load_state_dict(kept)
    assert again.state_dict() == kept
    same = drawn([Unit(0, (((1, 2),),), "a"), Unit(1, (((1, 2),),), "b"), Unit(2, (((3,),),), "c")], draw)[2]
    assert same.tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def metrics(run: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {name: value for line in lines if line["stage"] == "siglip" for name, value in line.items()}


def test_the_stage_from_the_shell(rrg: Rrg, tmp_path: Path) -> None:
    dataset = make(tmp_path, patients=20, reports=True)
    common = ("--model", "tiny:test", "--threads", 1, "--siglip-steps", 4, "--sft-steps", 2)
    rrg("train", dataset, "--stages", "siglip,sft", "--out", tmp_path / "run", *common)
    assert {"loss", "val_order", "val_first_of_5", "val_snippets"} <= metrics(tmp_path / "run").keys()
    bare = make(tmp_path / "bare", patients=4)
    done = rrg("train", bare, "--stages", "siglip", "--out", tmp_path / "none", *common, code=2)
    assert b"slices with report sentences" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.proof
def test_unseen_slices_find_their_sentences(rrg: Rrg, tmp_path: Path) -> None:
    """Their own score above others; with sentences of other slices it stays at chance."""
    found = {}
    for name in ("right", "shuffled"):
        dataset = make(
            tmp_path / name, patients=120, slices=6, split=(80, 10, 10), reports=True, shuffled=name != "right"
        )
        rrg("train", dataset, "--model", "tiny:test", "--stages", "siglip", "--siglip-steps", 600, "--threads", 1,
            "--out", tmp_path / name / "run")  # fmt: skip
        found[name] = metrics(tmp_path / name / "run")
    print({name: {k: v for k, v in values.items() if k.startswith("val")} for name, values in found.items()})
    assert found["right"]["val_order"] > 0.75
    assert found["right"]["val_first_of_5"] > 2 * 5 / found["right"]["val_snippets"]
    assert abs(found["shuffled"]["val_order"] - 0.5) < 0.1
