"""Training: what is learnt, what stays, what is written; and that a model that learnt needs its images."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from rrg.boxes import decode
from rrg.errors import RrgError, UsageError
from rrg.model import tiny
from rrg.model.attention import NAME
from rrg.model.load import TorchModel
from rrg.model.tokenizer import train_tokenizer
from rrg.optimise import Muon, Optimiser, orthogonal, warm_cosine
from rrg.prompt import IMAGE, user_prompt
from rrg.records import ImageRef, Sample
from rrg.train import model_of, train
from rrg.train_data import Pictures, check_pictures, dense_arrays, read_part, shrunk, structures
from rrg.train_log import Log
from rrg.train_options import Options, Running
from rrg.train_text import Batches, Question, answer_loss, collate, kinds_of, pack_questions, questions_of
from rrg.train_tower import (
    Dense,
    View,
    cached_features,
    channel_statistics,
    dense_loss,
    fold,
    patch_shares,
    train_tower,
    unfold,
)
from tests.conftest import Rrg
from tests.squares import NAMES, make

SIZE = tiny.SIZES["test"]
QUICK = Options(model="tiny:test", tower_steps=3, sft_steps=3, tower_batch=4, sft_batch=4, sft_tokens=160)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(dataset, out, QUICK)
    return out


def weights(run: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    saved = load_file(run / "model" / "model.safetensors")
    return {"lm_head.weight" if name.endswith("lm_head.weight") else name: value for name, value in saved.items()}


# The data


def test_dense_labels_say_what_the_masks_say(dataset: Path) -> None:
    part = read_part(dataset, "train", ("de", "en"))
    classes = structures(part.masks)
    assert set(classes) == {name for name, *_ in NAMES}
    arrays = dense_arrays(dataset, part, classes, 64)
    assert arrays.known.all()
    for row, name in enumerate(arrays.ids):
        (mask,) = (each for each in part.masks if each.slice == name)
        there = {found.label: found.box.xyxy for found in mask.labels}
        for number, label in enumerate(classes):
            drawn = arrays.maps[row, 0] == number + 1
            assert drawn.any() == (label in there)
            if label in there:
                y, x = np.nonzero(drawn)
                assert (x.min(), y.min(), x.max() + 1, y.max() + 1) == there[label]
                assert np.allclose(arrays.boxes[row, number] * 64, there[label])
            else:
                assert np.isnan(arrays.boxes[row, number]).all()


def test_shrinking_takes_the_nearest_pixel_on_both_axes() -> None:
    layer = np.zeros((1, 6, 4), np.uint8)
    layer[0, 4, 3] = 7
    assert np.argwhere(shrunk(layer, 2)).tolist() == [[0, 1, 1]]
    assert shrunk(layer, 2).shape == (1, 2, 2)


def test_shares_of_patches_by_hand() -> None:
    maps = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
    maps[0, 0, 0, :2] = 1  # half of the first patch
    maps[0, 1, :, 2:] = 2  # all of the right column of patches, in another layer
    assert patch_shares(maps, 2, 2)[0].tolist() == [[0.5, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]]


def test_a_view_moves_pixels_and_boxes_alike() -> None:
    planes = torch.zeros(2, 1, 100, 100)
    planes[:, 0, 40:60, 20:50] = 1
    boxes = torch.tensor([[[0.2, 0.4, 0.5, 0.6]]]).repeat(2, 1, 1)
    view = View(torch.tensor([1.2, 0.9]), torch.tensor([[0.1, -0.05], [-0.08, 0.02]]))
    moved = view.sample(planes, "nearest")
    for plane, box in zip(moved, view.boxes(boxes), strict=True):
        y, x = torch.nonzero(plane[0] > 0.5, as_tuple=True)
        seen = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]) / 100
        assert torch.allclose(seen, box[0], atol=0.011)


def test_the_tower_loss_asks_for_boxes_only_where_something_is_and_was_looked_for() -> None:
    shares = torch.tensor([[[0.9, 0.0], [0.0, 0.0]]])
    boxes = torch.tensor([[[0.1, 0.1, 0.5, 0.5], [math.nan] * 4]])
    out = torch.zeros(1, 2, 10)
    out[0, 0, 2:6] = boxes[0, 0]
    known = torch.tensor([[True, True]])
    assert dense_loss(out, shares, boxes, known)[1] == 0
    out[0, 1, 2:6] = 9.0  # boxes of a patch without the structure are free
    out[0, 0, 6:] = 9.0  # and of a structure that is not there
    assert dense_loss(out, shares, boxes, known)[1] == 0
    out[0, 0, 2] += 0.4
    assert dense_loss(out, shares, boxes, known)[1] == pytest.approx(0.1)
    unsure = torch.tensor([[True, False]])
    wrong = out.clone()
    wrong[..., 1] = 50.0  # "there everywhere": wrong only if it was looked for
    assert dense_loss(wrong, shares, boxes, unsure)[0] < 10 < dense_loss(wrong, shares, boxes, known)[0]


# Questions in one sequence


def question(name: str, start: int, own: list[int], learnt: int, pictures: tuple[int, ...] = (0,)) -> Question:
    tokens = [*range(10, 10 + start), *own]
    loss = [False] * (len(tokens) - learnt) + [True] * learnt
    return Question(name, tuple(tokens), tuple(loss), start, pictures)


def test_a_sequence_of_questions_by_hand() -> None:
    packed = pack_questions([question("a", 2, [1, 2, 3], 1), question("b", 2, [4, 5], 1)])
    assert packed.tokens.tolist() == [10, 11, 1, 2, 3, 4, 5]
    assert packed.positions.tolist() == [0, 1, 2, 3, 4, 2, 3]
    assert packed.weights.tolist() == [0, 0, 0, 0, 1, 0, 1]
    seen = collate([packed], 0).mask[0, 0]
    assert seen[6].tolist() == [True, True, False, False, False, True, True]
    assert seen[4].tolist() == [True, True, True, True, True, False, False]


def small_model(dataset: Path) -> tuple[object, object, list[Question], Pictures]:
    part = read_part(dataset, "train", ("de", "en"))
    tokenizer = train_tokenizer((turn for turn in ("Wo ist die Leber?", "yes no ja nein") * 4), QUICK_DIALECT, 400)
    torch.manual_seed(0)
    model = tiny.build(SIZE, tokenizer).eval()
    pictures = Pictures(dataset, "soft", SIZE.side)
    found = list(questions_of(part.samples, QUICK_DIALECT, tokenizer, SIZE.image_tokens, SIZE.context, pictures, {}))
    return model, tokenizer, found, pictures


QUICK_DIALECT = QUICK.dialect


def test_a_question_in_company_costs_what_it_costs_alone(dataset: Path) -> None:
    """The packed loss is the weighted mean of the losses of single questions, computed by the stock forward pass."""
    model, tokenizer, found, pictures = small_model(dataset)
    group = next(Batches(found, 1, 400, torch.Generator().manual_seed(1)))[0]
    assert len(group) > 3
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    pad = tokenizer.pad_token_id
    pixels = torch.from_numpy(pictures.stacked())
    features = cached_features(model.model.vision_tower, pixels).float()
    with torch.no_grad():
        together = answer_loss(
            model, collate([pack_questions(group)], pad), image, features[[*group[0].pictures]], range(0)
        )
        total = weight = 0.0
        for one in group:
            labels = torch.tensor([[t if learn else -100 for t, learn in zip(one.tokens, one.loss, strict=True)]])
            alone = model(
                input_ids=torch.tensor([one.tokens]),
                pixel_values=tiny.normalised(pixels[[*one.pictures]]),
                labels=labels,
            ).loss
            n = sum(one.loss)
            total += float(alone) * n**0.5
            weight += n**0.5
    assert float(together) == pytest.approx(total / weight, rel=1e-3)


def test_only_answers_are_learnt(dataset: Path) -> None:
    _, tokenizer, found, _ = small_model(dataset)
    for one in found[:20]:
        learnt = tokenizer.decode([t for t, learn in zip(one.tokens, one.loss, strict=True) if learn])
        asked = tokenizer.decode([t for t, learn in zip(one.tokens, one.loss, strict=True) if not learn])
        assert learnt.endswith("</s>")
        assert "?" not in learnt
        assert asked.endswith("?<|assistant|>")
        assert "loc" not in asked


def test_groups_share_pictures_fit_and_all_come_round(dataset: Path) -> None:
    _, _, found, _ = small_model(dataset)
    stream = Batches(found, 4, 120, torch.Generator().manual_seed(0))
    rounds = len({one.pictures for one in found}) // 4
    shown = []
    for _, groups in zip(range(rounds), stream, strict=False):
        for group in groups:
            assert len({(one.pictures, one.tokens[: one.start]) for one in group}) == 1
            used = group[0].start + sum(len(one.tokens) - one.start for one in group)
            assert used <= 120 or len(group) == 1
            shown.append(group[0].pictures)
    assert len(set(shown)) == len(shown)


def test_kinds_are_mixed_by_their_weight(dataset: Path) -> None:
    _, tokenizer, _, pictures = small_model(dataset)
    samples = read_part(dataset, "train", ("de", "en")).samples
    tasks = sorted({kind for sample in samples for kind in kinds_of(sample)})

    def mixed(mix: dict[str, float]) -> dict[str, float]:
        made = questions_of(samples, QUICK_DIALECT, tokenizer, SIZE.image_tokens, SIZE.context, pictures, mix)
        return {each.id: each.weight for each in made}

    plain, more, without = mixed({}), mixed({tasks[0]: 3.0}), mixed({tasks[0]: 0.0})
    meant = {sample.id for sample in samples if tasks[0] in kinds_of(sample)}
    assert more == {id_: 3 * weight if id_ in meant else weight for id_, weight in plain.items()}
    assert without == {id_: weight for id_, weight in plain.items() if id_ not in meant}
    assert without != plain


def test_a_neighbouring_bin_costs_less_than_a_far_one() -> None:
    tokenizer = train_tokenizer(["a"], QUICK_DIALECT, 300)
    model = tiny.build(SIZE, tokenizer).eval()
    first = tokenizer.convert_tokens_to_ids("<loc00>")
    boxes = range(first, first + 64)

    def cost(guess: int) -> float:
        with torch.no_grad():
            model.lm_head.weight.zero_()
            model.lm_head.weight[first + guess] = 0.1
            one = Question("a", (1, 6, 8, first + 20), (False, False, False, True), 1, ())
            return float(answer_loss(model, collate([pack_questions([one])], 3), 4, torch.zeros(0, 16, 32), boxes))

    with torch.no_grad():
        hidden = model.model.language_model(input_ids=torch.tensor([[1, 6, 8]])).last_hidden_state[0, -1]
    sign = 1 if float(hidden.sum()) > 0 else -1
    costs = {guess: cost(guess) * sign for guess in (20, 21, 40)}
    assert costs[20] < costs[21] < costs[40]


# Weights


def test_folding_the_statistics_changes_nothing() -> None:
    features = torch.randn(5, 7, 16) * torch.linspace(0.1, 9, 16) + torch.linspace(-4, 4, 16)
    mean, std = channel_statistics(features)
    linear = torch.nn.Linear(16, 8)
    wanted = linear((features - mean) / std)
    before = linear.weight.detach().clone()
    fold(linear, mean, std)
    assert torch.allclose(linear(features), wanted, atol=1e-4)
    unfold(linear, mean, std)
    assert torch.allclose(linear.weight, before, atol=1e-5)


def test_the_unused_block_stays_and_all_others_learn(dataset: Path) -> None:
    part = read_part(dataset, "train", ("de", "en"))
    classes = structures(part.masks)
    arrays = dense_arrays(dataset, part, classes, SIZE.side)
    noise = torch.randint(0, 255, (len(arrays.ids), SIZE.side, SIZE.side, 3), dtype=torch.uint8)
    dense = Dense(noise, *(torch.from_numpy(each) for each in (arrays.maps, arrays.boxes, arrays.known)))
    tower = tiny.build(SIZE, train_tokenizer(["a"], QUICK_DIALECT, 300)).model.vision_tower
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    train_tower(
        tower, dense, patch=SIZE.patch, steps=2, batch=4, rate=1e-2, precision="f32",
        generator=torch.Generator().manual_seed(0), report=lambda *_: None,
    )  # fmt: skip
    last = f"encoder.layers.{SIZE.tower_blocks}."
    for name, value in tower.state_dict().items():
        same = torch.equal(value, before[name])
        assert same == name.startswith((last, "post_layernorm")) or "k_proj.bias" in name, name


def test_the_text_stage_leaves_the_tower_bit_identical(dataset: Path, run: Path, tmp_path: Path) -> None:
    """Same seed: the tower after both stages is the tower after its own stage alone."""
    train(dataset, tmp_path / "tower", dataclasses.replace(QUICK, stages=("tower",)))
    both, alone = weights(run), weights(tmp_path / "tower")
    tower = {name for name in both if "vision_tower" in name}
    assert len(tower) > 20
    assert all(torch.equal(both[name], alone[name]) for name in tower)
    assert not torch.equal(both["lm_head.weight"], alone["lm_head.weight"])


def test_the_same_seed_gives_the_same_weights_and_another_does_not(dataset: Path, run: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "again", QUICK)
    train(dataset, tmp_path / "other", dataclasses.replace(QUICK, seed=1))
    first, again, other = weights(run), weights(tmp_path / "again"), weights(tmp_path / "other")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])
    for name in ("metrics.jsonl", "rrg.json", "card.md"):
        assert (run / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft, not us
def test_lora_adapts_and_merges(dataset: Path, run: Path, tmp_path: Path) -> None:
    """Only adapters learn; the merged weights answer as base and adapter do together."""
    from peft import PeftModel
    from transformers import LlavaForConditionalGeneration

    options = dataclasses.replace(QUICK, stages=("sft",), peft="lora", lora_rank=4, sft_steps=6, sft_rate=1e-2)
    train(dataset, tmp_path / "lora", options, base=run)
    base, merged = weights(run), weights(tmp_path / "lora")
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert changed
    assert all("language_model" in name and ".layers." in name and "_proj." in name for name in changed)
    model = LlavaForConditionalGeneration.from_pretrained(run / "model").eval()
    adapted = PeftModel.from_pretrained(model.model.language_model, tmp_path / "lora" / "adapter").eval()
    whole = LlavaForConditionalGeneration.from_pretrained(tmp_path / "lora" / "model").eval()
    tokens = torch.tensor([[1, 6, 20, 30, 40, 8]])
    with torch.no_grad():
        plain = model.lm_head(adapted(input_ids=tokens).last_hidden_state)
        assert torch.allclose(whole(input_ids=tokens).logits, plain, atol=1e-5)
        with adapted.disable_adapter():
            off = model.lm_head(adapted(input_ids=tokens).last_hidden_state)
    assert not torch.allclose(plain, off, atol=1e-3)


# What a run leaves and refuses


def test_a_run_folder_is_whole(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["schema"] == "rrg.model/1"
    assert set(manifest["files"]) >= {
        "model/model.safetensors",
        "model/tokenizer.json",
        "rrg.json",
        "metrics.jsonl",
        "card.md",
    }
    assert manifest["run"]["options"]["tower_steps"] == 3
    model = TorchModel(run)
    assert (model.settings.side, model.settings.demonstration, model.settings.bins) == (SIZE.side, True, 64)
    assert "Not a medical device" in (run / "card.md").read_text()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"tower", "sft"}
    assert any("val_loss" in line for line in lines)
    assert not [path for path in run.parent.iterdir() if path.name.startswith(".run")]


def test_a_stopped_run_leaves_no_folder_and_resumes_after_the_tower(
    dataset: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import rrg.train

    with monkeypatch.context() as patched:
        patched.setattr(rrg.train, "sft_stage", lambda *_, **__: (_ for _ in ()).throw(RrgError("stopped")))
        with pytest.raises(RrgError, match="stopped"):
            train(dataset, tmp_path / "run", QUICK)
    assert not (tmp_path / "run").exists()
    with monkeypatch.context() as patched:
        patched.setattr(rrg.train, "tower_stage", lambda *_, **__: pytest.fail("the tower was trained again"))
        train(dataset, tmp_path / "run", QUICK, running=Running(resume=True))
    assert all(
        torch.equal(a, b) for a, b in zip(weights(tmp_path / "run").values(), weights(run).values(), strict=True)
    )
    assert "not trained again" in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops_with_ids(tmp_path: Path) -> None:
    log = Log(tmp_path / "metrics.jsonl")
    with pytest.raises(RrgError, match=r"step 7: loss is nan; .*s1, s2.*E_NUMERIC"):
        log.stage("sft", 9)(7, {"loss": math.nan}, ["s1", "s2"])


def test_wrong_options_are_told(dataset: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--stages"):
        Options(stages=("sft", "tower"))
    with pytest.raises(UsageError, match="manifest"):
        train(tmp_path, tmp_path / "x", QUICK)
    with pytest.raises(UsageError, match="--init-from"):
        train(dataset, tmp_path / "x", dataclasses.replace(QUICK, peft="lora"))
    with pytest.raises(UsageError, match="is there already"):
        train(dataset, run, QUICK)
    assert not (tmp_path / "x").exists()


def test_a_kind_that_is_not_there_can_not_be_mixed(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--mix wich: no such task or question"):
        train(dataset, tmp_path / "run", dataclasses.replace(QUICK, mix=(("wich", 2.0),)))


def test_the_rate_warms_up_and_falls() -> None:
    rates = [warm_cosine(step, 200) for step in range(200)]
    assert rates[0] < rates[10] < rates[19] == 1.0
    assert rates[20] > rates[100] > rates[199] > 0
    assert warm_cosine(0, 1) == 1.0


def test_orthogonal_keeps_directions_and_levels_sizes() -> None:
    made = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(0))
    for given in (made, made.mT):
        u, _, v = torch.linalg.svd(given, full_matrices=False)
        sizes = u.mT @ orthogonal(given) @ v.mT
        diagonal = torch.diagonal(sizes, dim1=1, dim2=2)
        assert diagonal.min() > 0.5
        assert diagonal.max() < 1.3
        assert (sizes - torch.diag_embed(diagonal)).abs().max() < 1e-4


def test_stacked_muon_is_torchs_muon() -> None:
    source = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=source) for shape in ((16, 8), (8, 16), (16, 8), (8, 8))]
    ours, theirs = ([torch.nn.Parameter(each.clone()) for each in start] for _ in range(2))
    one, other = Muon(ours, 0.02, 0.01), torch.optim.Muon(theirs, lr=0.02, weight_decay=0.01)
    for _ in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=source)
            b.grad = a.grad.clone()
        one.step()
        other.step()
    for first, a, b in zip(start, ours, theirs, strict=True):
        assert (a - b).abs().max() < 0.05 * (a - first).abs().max()  # torch's products are bf16


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_attention_is_that_which_is_faster(dataset: Path, precision: Literal["f32", "bf16"]) -> None:
    part = read_part(dataset, "train", ("de", "en"))
    _, _, model = model_of(part, dataclasses.replace(QUICK, precision=precision), None)
    for each in (model.model.vision_tower, model.model.language_model):
        assert (each.config._attn_implementation == NAME) == (precision == "bf16")


def test_a_stopped_run_in_bf16_goes_on_as_if_it_was_not(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rrg.train

    options = dataclasses.replace(QUICK, precision="bf16")
    train(dataset, tmp_path / "whole", options)
    with monkeypatch.context() as patched:
        patched.setattr(rrg.train, "sft_stage", lambda *_, **__: (_ for _ in ()).throw(RrgError("stopped")))
        with pytest.raises(RrgError, match="stopped"):
            train(dataset, tmp_path / "stopped", options)
    train(dataset, tmp_path / "stopped", options, running=Running(resume=True))
    whole, stopped = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)


def test_products_in_bf16_take_the_same_way() -> None:
    source = torch.Generator().manual_seed(0)
    start = [torch.randn(16, 8, generator=source) for _ in range(3)]
    made = []
    for products in (torch.float32, torch.bfloat16):
        weights = [torch.nn.Parameter(each.clone()) for each in start]
        muon, draws = Muon(weights, 0.02, 0.01, products), torch.Generator().manual_seed(1)
        for _ in range(5):
            for each in weights:
                each.grad = torch.randn(each.shape, generator=draws)
            muon.step()
        assert all(each.dtype == torch.float32 for each in (*weights, *(s["momentum"] for s in muon.state.values())))
        made.append(weights)
    for first, a, b in zip(start, *made, strict=True):
        assert 0 < (a - b).abs().max() < 0.05 * (a - first).abs().max()


def test_the_optimiser_takes_both_kinds_of_weights_down() -> None:
    torch.manual_seed(0)
    matrix, bias = torch.nn.Parameter(torch.randn(8, 8)), torch.nn.Parameter(torch.ones(8))
    optimiser = Optimiser([matrix], [bias], 1e-2, 60)
    losses = []
    for step in range(60):
        loss = ((matrix @ torch.ones(8) + bias) ** 2).sum()
        losses.append(loss.item())
        optimiser.step(loss, step)
    assert losses[-1] < 0.1 * losses[0]


# What is learnt


def quality(model: TorchModel, samples: list[Sample], pictures: Pictures) -> tuple[float, float]:
    """(accuracy of yes/no, mean box overlap) over samples, each asked alone."""
    stacked = pictures.stacked()
    right, overlaps = [], []
    for one in samples:
        raw = model.answer(
            [stacked[pictures.add(one.images[0])]], user_prompt(one, model.settings.dialect).text, 16
        ).raw
        if one.task == "vqa":
            right.append(raw == one.answer)
        elif one.mentions[0].regions[0].boxes:
            found = decode(raw, 64, 64, model.settings.dialect).mentions
            true = one.mentions[0].regions[0].boxes[0]
            overlaps.append(overlap(found[0].regions[0].boxes[0].xyxy, true.xyxy) if found else 0.0)
    return float(np.mean(right)), float(np.mean(overlaps))


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@pytest.mark.proof
def test_the_model_learns_to_see_and_needs_the_right_image(tmp_path: Path) -> None:
    """On unseen patients it finds structures; with another patient's slices it is at chance."""
    dataset = make(tmp_path, patients=120, slices=6, split=(90, 0, 10))
    options = Options(model="tiny:test", tower_steps=1000, sft_steps=800, sft_tokens=160)
    train(dataset, tmp_path / "run", options)
    model = TorchModel(tmp_path / "run")
    part = read_part(dataset, "test", ("de", "en"))
    pictures = Pictures(dataset, "radgrounder", SIZE.side)
    samples = list(part.samples)[:400]
    for one in samples:
        pictures.add(one.images[0])
    seen = quality(model, samples, pictures)
    order = np.random.default_rng(0).permutation(len(samples))
    by_patient = [
        next(other for other in (samples[i] for i in np.roll(order, -n)) if other.patient != one.patient)
        for n, one in enumerate(samples)
    ]
    shuffled = [
        dataclasses.replace(one, images=(dataclasses.replace(one.images[0], ref=other.images[0].ref),))
        for one, other in zip(samples, by_patient, strict=True)
    ]
    blind = quality(model, shuffled, pictures)
    print(f"unseen: accuracy {seen[0]:.2f}, overlap {seen[1]:.2f}; shuffled: {blind[0]:.2f}, {blind[1]:.2f}")
    assert seen[0] >= 0.9
    assert seen[1] >= 0.6
    assert blind[0] <= 0.7
    assert blind[1] <= 0.35


def test_a_data_set_of_words_alone_is_refused(tmp_path: Path) -> None:
    bare = Sample(id="a", patient="p", study="s", images=(), turns=(), lang="en", task="vqa")
    with pytest.raises(UsageError, match="none of its samples has a picture"):
        check_pictures(tmp_path, [bare])
    image = ImageRef(id="i0", ref="series/x#0", rows=4, columns=4)
    check_pictures(tmp_path, [bare, dataclasses.replace(bare, images=(image,))])


def test_options_of_model_folders_are_not_for_tiny(rrg: Rrg, dataset: Path, tmp_path: Path) -> None:
    done = rrg("train", dataset, "--model", "tiny:test", "--out", tmp_path / "run", "--batch", "4", code=2)
    assert b"--batch: for a model folder" in done.stderr
    assert not (tmp_path / "run").exists()
