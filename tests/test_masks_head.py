"""The mask head: the i-th tag is the i-th mask, masks lie where the records say, and it learns where to look."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rrg.boxes import Dialect
from rrg.errors import RrgError
from rrg.model.mask_head import MaskHead, Masks, Shape, iou, load_head, mask_loss, save_head
from rrg.model.masks import Found
from rrg.prompt import render
from rrg.records import Mask
from rrg.store import read
from rrg.train_data import read_part
from rrg.train_masks import Targets, head_of, shares
from tests.squares import make

SHAPE = Shape(features=12, text=20, grid=4, width=32, heads=4)
SEG = Dialect("seg")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_the_state_of_a_tag_moves_its_own_mask_alone() -> None:
    head = head_of(None, SHAPE, 0).eval()
    features, states = torch.randn(2, 16, 12), torch.randn(4, 20)
    picture = torch.tensor([0, 1, 1, 0])
    with torch.inference_mode():
        before = head(features, states, picture)
        assert before.logits.shape == (4, 16, 16)
        order = torch.tensor([2, 0, 3, 1])
        turned = head(features, states[order], picture[order])
        assert torch.allclose(turned.logits, before.logits[order], atol=1e-5)
        states[2] += 1
        after = head(features, states, picture)
    changed = [not torch.allclose(a, b, atol=1e-5) for a, b in zip(before.logits, after.logits, strict=True)]
    assert changed == [False, False, True, False]


@pytest.mark.parametrize("kind", ["bce", "focal"])
def test_it_learns_to_look_where_the_state_says(kind: str) -> None:
    """Two marked patches a picture; the state says which one is meant. With states of other tags it is lost."""
    draw = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    head = MaskHead(SHAPE)
    names = torch.randn(2, 20, generator=draw)
    marks = torch.randn(2, 12, generator=draw)

    def batch(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        features = 0.3 * torch.randn(count, 16, 12, generator=draw)
        cells = torch.stack([torch.randperm(16, generator=draw)[:2] for _ in range(count)])
        features[torch.arange(count)[:, None], cells] += marks
        which = torch.randint(2, (count,), generator=draw)
        wanted = torch.zeros(count, 16)
        wanted[torch.arange(count), cells[torch.arange(count), which]] = 1
        full = wanted.view(count, 4, 4).repeat_interleave(4, 1).repeat_interleave(4, 2)
        return features, names[which], names[1 - which], full

    descent = torch.optim.AdamW(head.parameters(), 2e-3)
    for _ in range(150):
        features, states, _, wanted = batch(16)
        loss, _ = mask_loss(head(features, states, torch.arange(16)), wanted, kind)  # type: ignore[arg-type]
        descent.zero_grad()
        loss.backward()
        descent.step()
    features, states, others, wanted = batch(64)
    with torch.inference_mode():
        right, wrong = (head(features, each, torch.arange(64)) for each in (states, others))
    found, lost = (float(iou(each.logits > 0, wanted > 0.5).mean()) for each in (right, wrong))
    assert found > 0.9
    assert lost < 0.1
    assert float((right.overlap - iou(right.logits > 0, wanted > 0.5)).abs().mean()) < 0.2


def test_losses_by_hand() -> None:
    """Two masks: one right, one empty where all is wanted."""
    far = torch.stack([torch.full((2, 2), 50.0), torch.full((2, 2), -50.0)])
    loss, overlap = mask_loss(Masks(far, torch.tensor([1.0, 0.0])), torch.ones(2, 2, 2))
    # BCE 0 and 50; Dice 1 - (8 + 1) / (8 + 1) and 1 - 1 / (4 + 1); overlaps 1 and 0 were expected
    assert float(loss) == pytest.approx((0 + 50) / 2 + (0 + 0.8) / 2, rel=1e-5)
    assert float(overlap) == 0.5
    both = iou(torch.zeros(1, 2, 2, dtype=torch.bool), torch.zeros(1, 2, 2, dtype=torch.bool))
    assert float(both) == 1


def test_targets_are_the_masks_of_the_records_in_the_order_of_the_tags(tmp_path: Path) -> None:
    dataset = make(tmp_path)
    part = read_part(dataset, "train", ("de", "en"))
    targets = Targets(dataset, part.masks, SEG, 64)
    known = targets.known(part.samples)
    assert len(known) == len(part.samples)
    by_slice: dict[str | None, Mask] = {mask.slice: mask for mask in part.masks}
    seen = 0
    for sample in known:
        chat, wanted = render(sample, SEG), targets.of(sample)
        assert len(wanted.masks) == len(chat.tags) == chat.text.count("</seg>")
        for tag, mask in zip(chat.tags, wanted.masks, strict=True):
            drawn = read(dataset / "store", by_slice[sample.images[0].slice].array)[0] == tag.regions[0].class_id
            assert np.array_equal(mask.numpy() == 255, drawn)
            seen += 1
    assert seen > 20
    nothing = Targets(dataset, (), SEG, 64)
    assert {render(sample, SEG).tags for sample in nothing.known(part.samples)} == {()}


def test_shares_and_their_way_back_to_the_slice() -> None:
    """A rectangle of a slice that is not square, through the grid of the head and back: within a cell of it."""
    mask = np.zeros((60, 90), bool)
    mask[12:40, 21:75] = True
    cells = shares(mask, 16)
    assert float(cells.sum()) / 255 == pytest.approx(mask.sum() / mask.size * 256, rel=0.03)
    back = Found((cells.float()[None] - 127.5) / 30, (1.0,)).on(60, 90)[0]
    rows, columns = np.nonzero(back)
    for found, true, cell in ((rows, (12, 40), 60 / 16), (columns, (21, 75), 90 / 16)):
        assert abs(found.min() - true[0]) <= cell
        assert abs(found.max() + 1 - true[1]) <= cell
    assert (back & mask).sum() / (back | mask).sum() > 0.85
    assert Found(torch.zeros(0, 16, 16), ()).on(5, 7).shape == (0, 5, 7)


def test_a_head_is_saved_whole_or_refused(tmp_path: Path) -> None:
    head = head_of(None, SHAPE, 3).eval()
    save_head(head, tmp_path)
    inputs = torch.randn(1, 16, 12), torch.randn(1, 20), torch.zeros(1, dtype=torch.long)
    with torch.inference_mode():
        assert torch.equal(load_head(tmp_path)(*inputs).logits, head(*inputs).logits)
    (tmp_path / "mask_head" / "model.safetensors").write_bytes(b"")
    with pytest.raises(RrgError, match="no whole mask head"):
        load_head(tmp_path)
