"""Towers of timm inside a LLaVA: their features are timm's, statistics stay, what learns is what was asked for."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rrg.errors import RrgError, UsageError
from rrg.export import export
from rrg.model.assemble import Spec, assemble, parse_spec
from rrg.model.assemble_parts import vision_tower
from rrg.model.family import load_family, mean_losses
from rrg.model.load import MODEL, load
from rrg.model.settings import read_settings
from rrg.model.timm_tower import timm_tower  # before timm: it silences a warning of its
from rrg.prompt import free_prompt
from rrg.records import Part, Turn
from rrg.train_data import Pictures, read_part
from rrg.train_family import train_family
from rrg.train_family_data import encoded, lower_answers
from rrg.train_family_options import Options
from rrg.train_options import Running
from rrg.train_validate import DECIDING, Best, spread
from rrg.windows import BLANK
from tests.conftest import Rrg
from tests.squares import make
from tests.tiny_parts import language

timm = pytest.importorskip("timm")

SIDE = 160
QUICK = Options(steps=2, batch=2, rate=1e-3, context=600)


def network_folder(root: Path, name: str) -> Path:
    """A random network of timm as the hub keeps it."""
    torch.manual_seed(3)
    network = timm.create_model(name, num_classes=0)
    root.mkdir()
    save_file(network.state_dict(), root / "model.safetensors", {"format": "pt"})
    rules = {"input_size": [3, SIDE, SIDE], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "num_classes": 0}
    config = {"architecture": name, "num_classes": 0, "num_features": network.num_features, "pretrained_cfg": rules}
    (root / "config.json").write_text(json.dumps(config))
    return root


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("timm")
    return {name: network_folder(root / name, name) for name in ("test_efficientnet", "test_vit")}


@pytest.fixture(scope="module")
def whole(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("llava")
    assemble(Spec(language("qwen2", root / "llm"), folders["test_efficientnet"], 3), root / "whole")
    return root / "whole"


def tower_weights(run: Path) -> dict[str, torch.Tensor]:
    found = load_file(next((run / MODEL).glob("*.safetensors")))
    return {name: value for name, value in found.items() if "vision_tower" in name}


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_features_are_those_of_timm_in_reading_order(name: str, folders: dict[str, Path]) -> None:
    tower: Any = timm_tower(folders[name], None)
    plain = timm.create_model(name, num_classes=0).eval()
    plain.load_state_dict(load_file(folders[name] / "model.safetensors"))
    pictures = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = tower(pictures).hidden_states[-2], plain.forward_features(pictures)
    if name == "test_vit":
        norm, theirs = plain.norm, theirs[:, plain.num_prefix_tokens :]
        with torch.inference_mode():
            ours = norm(ours)
    else:
        theirs = theirs.flatten(2).transpose(1, 2)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert ours.shape[1] == tower.config.grid**2


def test_a_map_is_pooled_to_the_tokens_that_are_asked_for(folders: dict[str, Path]) -> None:
    fine, pooled = (timm_tower(folders["test_efficientnet"], grid) for grid in (None, 1))
    pictures = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(fine(pictures)[0].mean(1), pooled(pictures)[0][:, 0], atol=1e-5)
    assert fine.config.patch_size * fine.config.grid == SIDE


def test_an_assembled_model_keeps_the_tower_to_the_bit_and_answers(whole: Path, tmp_path: Path) -> None:
    train_family(make(tmp_path), tmp_path / "run", whole, QUICK)
    before = {name: value for name, value in load_file(whole / "model.safetensors").items() if "vision_tower" in name}
    after = tower_weights(tmp_path / "run")
    assert before.keys() == after.keys()
    assert any("running_mean" in name for name in after)
    for name, value in after.items():
        assert torch.equal(value, before[name]), name
    model = load(tmp_path / "run")
    dark, bright = (np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 255))
    answers = [model.answer([each], free_prompt("Wo?"), 8) for each in (dark, bright)]
    assert all(each.raw is not None for each in answers)
    again: Any = vision_tower(tmp_path / "run")[0]
    assert again.config.grid == 3
    with pytest.raises(RrgError, match=r"tower rrg_timm.*E_CONVERT"):
        export(tmp_path / "run", "gguf", tmp_path / "gguf")


@pytest.mark.parametrize("opened", [("projector",), ("projector", "tower")])
def test_parts_learn_beside_adapters_when_asked(opened: tuple[str, ...], whole: Path, tmp_path: Path) -> None:
    options = Options(steps=2, batch=2, rate=1e-2, context=600, peft="lora", lora_rank=2, opened=opened)
    train_family(make(tmp_path), tmp_path / "run", whole, options)
    before, after = (load_file(next(f.glob("*.safetensors"))) for f in (whole, tmp_path / "run" / MODEL))
    changed = {name for name, value in after.items() if name in before and not torch.equal(value, before[name])}
    assert any("multi_modal_projector" in name for name in changed)
    assert any("vision_tower" in name for name in changed) == ("tower" in opened)
    assert not any("running_" in name for name in changed)


def test_features_of_a_tower_that_learns_are_not_kept(whole: Path, tmp_path: Path) -> None:
    options = Options(steps=1, batch=1, context=600, opened=("tower",))
    with pytest.raises(UsageError, match=r"--feature-cache: with --also tower"):
        train_family(make(tmp_path), tmp_path / "run", whole, options, Running(features=tmp_path / "cache"))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("grid=0", "expected a number of tokens"),
        ("grid=99", "at most its side"),
        ("grid=x", "expected a number of tokens"),
    ],
)
def test_bad_grids(spec: str, told: str, folders: dict[str, Path], tmp_path: Path) -> None:
    given = f"llava:llm={tmp_path},vision={folders['test_efficientnet']},{spec}"
    with pytest.raises(UsageError, match=told):
        timm_tower(folders["test_efficientnet"], parse_spec(given).grid)


def test_networks_that_timm_does_not_have(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = network_folder(tmp_path / "x", "test_vit")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architecture": "no_such_network"}))
    with pytest.raises(UsageError, match="no_such_network"):
        timm_tower(folder, None)


def test_the_best_weights_come_back() -> None:
    layer, head = torch.nn.Linear(2, 2), torch.nn.Linear(1, 1)
    best = Best(layer, head)
    assert "last weights stay" in best.restore()
    for step, loss in ((1, 0.9), (2, 0.5), (3, float("nan")), (4, 0.7)):
        torch.nn.init.constant_(layer.weight, step)
        torch.nn.init.constant_(head.bias, -step)
        best.look(step, loss)
    other = Best(layer, head)
    other.load_state_dict(best.state_dict())
    assert other.restore() == "kept step 2, validation loss 0.500"
    assert bool((layer.weight == 2).all())
    assert bool((head.bias == -2).all())


def test_a_stage_ends_with_the_weights_of_its_best_look(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a rate that ruins the model: what is saved has the lowest loss that was logged, that of the step it tells."""
    data = make(tmp_path)
    options = Options(steps=6, batch=2, rate=0.5, context=600, stages=("align",), keep="best")
    train_family(data, tmp_path / "run", whole, options, Running(sample_every=2))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    looks = {row["step"]: row["val_loss"] for row in rows if "val_loss" in row}
    assert sorted(looks) == [2, 4, 6]
    lowest = min(looks, key=lambda step: looks[step])
    assert f"kept step {lowest}" in capsys.readouterr().err
    loaded = load_family(tmp_path / "run" / MODEL, read_settings(tmp_path / "run").dialect)
    samples = spread(read_part(data, "val", ("de", "en")).samples, DECIDING)
    pictures = Pictures(data, "radgrounder", loaded.side)
    with torch.inference_mode():
        losses = [float(mean_losses(loaded.model.eval(), encoded(each, loaded, pictures).inputs)) for each in samples]
    assert sum(losses) / len(losses) == pytest.approx(looks[lowest], rel=1e-4)


def test_a_stage_ends_early_when_no_look_is_better(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the weights that a run of all steps keeps, unless a better look comes later."""
    data, kept = make(tmp_path), {}
    for name, patience, losses, steps in (
        ("all", 0, [3.0, 2.0, 2.5, 2.0, 4.0, 3.0], 6),
        ("early", 2, [3.0, 2.0, 2.5, 2.0, 4.0, 3.0], 4),
        ("later", 3, [3.0, 2.0, 2.5, 2.0, 1.0, 3.0], 6),
    ):
        looks: list[int] = []

        def told(*given: Any, losses: list[float] = losses, looks: list[int] = looks) -> float:
            _, stage, step, _, _, going = given
            looks.append(step)
            going.log.write(stage, step, {"val_loss": losses[step - 1]})
            return losses[step - 1]

        monkeypatch.setattr("rrg.train_family.validate", told)
        options = Options(steps=6, batch=2, rate=0.5, context=600, stages=("align",), keep="best", patience=patience)
        train_family(data, tmp_path / name, whole, options, Running(sample_every=1))
        assert looks == list(range(1, steps + 1))
        assert ("ended at step 4" in capsys.readouterr().err) == (name == "early")
        kept[name] = (tmp_path / name / MODEL / "model.safetensors").read_bytes()
    assert kept["all"] == kept["early"] != kept["later"]
    with pytest.raises(UsageError, match="--patience"):
        Options(patience=1)


def test_the_best_of_nothing_is_refused(whole: Path, tmp_path: Path) -> None:
    data = make(tmp_path)
    val = data / "val.jsonl"
    val.write_bytes(b"".join(line for line in val.read_bytes().splitlines(True) if b"rrg.sample/1" not in line[:40]))
    with pytest.raises(UsageError, match="--keep best: no samples in the val split"):
        train_family(data, tmp_path / "run", whole, dataclasses.replace(QUICK, keep="best"))
    with pytest.raises(UsageError, match="not with the stage siglip"):
        Options(stages=("siglip", "sft"), keep="best")


def test_samples_from_all_of_the_split(tmp_path: Path) -> None:
    samples = read_part(make(tmp_path), "train", ("de", "en")).samples
    some = spread(samples, 5)
    assert len(some) == 5
    assert [samples.index(each) for each in some] == [n * len(samples) // 5 for n in range(5)]
    assert spread(samples, 10**6) == list(samples)


def test_without_images_every_picture_is_grey(tmp_path: Path) -> None:
    data = make(tmp_path)
    samples = read_part(data, "train", ("de", "en")).samples
    images = [image for sample in samples for image in sample.images]
    shown, grey = (Pictures(data, "radgrounder", 56, grey=control) for control in (False, True))
    assert len({shown.of(image).tobytes() for image in images}) > 1
    assert {grey.of(image).tobytes() for image in images} == {np.full((56, 56, 3), BLANK, np.uint8).tobytes()}


def test_answers_in_lower_case_and_nothing_else(tmp_path: Path) -> None:
    sample = read_part(make(tmp_path), "train", ("de", "en")).samples[0]
    ask = Turn(role="user", content=(Part(type="text", text="Is It  RED?"),))
    told = Turn(role="assistant", content=(Part(type="text", text=" Yes, It  is "),), loss=True)
    vqa = dataclasses.replace(sample, task="vqa", turns=(ask, told))
    learnt = lower_answers(vqa)
    assert [turn.content[0].text for turn in learnt.turns] == ["Is It  RED?", "yes, it is"]
    other = dataclasses.replace(vqa, task="report")
    assert lower_answers(other) is other


def test_from_parts_to_answers_in_separate_processes(rrg: Rrg, folders: dict[str, Path], tmp_path: Path) -> None:
    data = make(tmp_path, patients=8)
    spec = f"llava:llm={language('qwen2', tmp_path / 'llm')},vision={folders['test_efficientnet']},grid=2"
    few = ("--sft-steps", 2, "--batch", 2, "--threads", 1, "--box-format", "none", "--context", 600)
    cache = ("--feature-cache", tmp_path / "cache")
    made = rrg("train", data, "--model", spec, "--stages", "align", *few, *cache, "--out", tmp_path / "align")
    assert b"Warning" not in made.stderr
    assert b"tower rrg_timm" not in made.stderr
    assert b"no GGUF export of this family" in made.stderr
    more = ("--peft", "lora", "--also", "projector", "--keep", "best", "--lower-answers")
    rrg("train", data, "--init-from", tmp_path / "align", *few, *cache, *more, "--out", tmp_path / "run")
    done = rrg("infer", data, "--model", tmp_path / "run", "--limit", 2, "--max-new-tokens", 4)
    assert done.stdout.count(b'"rrg.prediction/1"') == 2
    assert b"Loading" not in done.stderr
    refused = rrg("export", tmp_path / "run", "--to", "gguf", "--out", tmp_path / "gguf", code=1)
    assert refused.stderr.count(b"\n") == 1
