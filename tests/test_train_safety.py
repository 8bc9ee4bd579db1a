"""What stops training in one line, before it learns anything wrong; and what is cached, checked and forecast."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from rrg.errors import RrgError, UsageError
from rrg.model.family import Loaded, load_family
from rrg.records import Sample
from rrg.train_attention import choose_attention
from rrg.train_cache import Features, keep_features, pixel_hash, tower_hash
from rrg.train_check import boxes_survive, check_questions, check_source, whole_boxes
from rrg.train_curve import curves
from rrg.train_data import Pictures, read_part
from rrg.train_events import head, scalars
from rrg.train_family import train_family
from rrg.train_family_data import Source, encoded, longest, micro_batches, source_of
from rrg.train_family_options import Options
from rrg.train_options import Running
from rrg.train_order import Order, draw_weights
from rrg.train_speed import AFTER, Meter, within_memory
from rrg.train_text import Question
from tests import squares
from tests.tiny_families import make

QUICK = Options(steps=2, batch=2, rate=1e-2, context=600)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares.make(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("llava", tmp_path_factory.mktemp("families") / "llava")


def source(dataset: Path, loaded: Loaded, options: Options = QUICK, samples: list[Sample] | None = None) -> Source:
    given = samples or list(read_part(dataset, "train", ("de", "en")).samples)
    order = Order(given, draw_weights(given, {}), 0)
    return source_of(given, order, loaded, Pictures(dataset, "soft", loaded.side), options)


# Before step 1


def test_the_collator_is_checked_and_records_are_named(dataset: Path, folder: Path) -> None:
    loaded = load_family(folder)
    whole = source(dataset, loaded)
    assert check_source(whole) == 16
    mute = dataclasses.replace(
        whole.samples[3],
        id="mute",
        turns=tuple(dataclasses.replace(turn, loss=False) for turn in whole.samples[3].turns),
    )
    with pytest.raises(RrgError, match="before step 1: no token to learn in samples mute"):
        check_source(source(dataset, loaded, samples=[*whole.samples[:3], mute]))


def test_boxes_that_a_tokenizer_breaks_are_told(dataset: Path, folder: Path) -> None:
    loaded = load_family(folder)
    boxed = [each for each in read_part(dataset, "train", ("en",)).samples if "<loc" in said(each, loaded)]
    assert boxed
    assert all(boxes_survive(each, said(each, loaded), loaded.dialect) for each in boxed)
    assert not boxes_survive(boxed[0], said(boxed[0], loaded).rpartition("<loc")[0], loaded.dialect)


def said(sample: Sample, loaded: Loaded) -> str:
    from rrg.prompt import render

    return "".join(piece.text for piece in render(sample, loaded.dialect).pieces if piece.loss)


def test_questions_of_the_tiny_family_are_checked() -> None:
    good = Question("good", (1, 9, 9, 5, 50, 51, 52, 53), (False,) * 4 + (True,) * 4, 3, (0,))
    check_questions([good], 9, 2, range(50, 60))
    for broken, says in (
        (good._replace(id="few", tokens=(1, 9, 5, 50, 51, 52, 53)), "tokens of pictures .* few"),
        (good._replace(id="mute", loss=(False,) * 8), "no token to learn .* mute"),
        (good._replace(id="cut", tokens=good.tokens[:-1]), "boxes are cut .* cut"),
    ):
        with pytest.raises(RrgError, match=says):
            check_questions([good, broken], 9, 2, range(50, 60))
    assert whole_boxes([1, 50, 50, 50, 50, 50, 51, 52, 53, 2], range(50, 60))


def test_a_loss_that_explodes_stops_with_the_ids_of_the_batch(dataset: Path, folder: Path, tmp_path: Path) -> None:
    ids = r"p\d+-\d-(en|de)-\w+-\w+"
    with pytest.raises(
        RrgError, match=rf"stage sft, step \d: (loss|gradient) is (nan|inf); .* {ids}, {ids}.*E_NUMERIC"
    ):
        train_family(dataset, tmp_path / "run", folder, dataclasses.replace(QUICK, steps=9, rate=1e30))
    assert not (tmp_path / "run").exists()


def test_no_memory_is_told_with_the_setting_to_change() -> None:
    told = pytest.raises(RrgError, match=r"stage sft: out of memory with a, b; lower --micro-batch.*E_MEMORY")
    with told, within_memory("sft", "lower --micro-batch (now 4)", ["a", "b"]):
        torch.empty(1 << 55)
    with pytest.raises(RrgError, match="E_MEMORY"), within_memory("sft", "x"):
        raise torch.OutOfMemoryError
    with pytest.raises(RuntimeError, match="shape"), within_memory("sft", "x"):
        raise RuntimeError("shape")


def test_nothing_that_fits_is_told(dataset: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sample fits into 30 tokens; raise --context"):
        train_family(dataset, tmp_path / "run", folder, dataclasses.replace(QUICK, context=30))


# Lean


def test_features_are_kept_and_found_by_the_next_run(dataset: Path, folder: Path, tmp_path: Path) -> None:
    """With a cold cache, a warm one, and none: the same weights; another tower finds nothing of it."""
    from safetensors.torch import load_file

    runs = []
    for number, running in enumerate((Running(), Running(features=tmp_path / "c"), Running(features=tmp_path / "c"))):
        train_family(dataset, tmp_path / f"run{number}", folder, QUICK, running)
        runs.append(load_file(tmp_path / f"run{number}" / "model" / "model.safetensors"))
    assert all(torch.equal(runs[0][name], run[name]) for run in runs[1:] for name in runs[0])
    files = list((tmp_path / "c").rglob("*.safetensors"))
    assert len(files) > 4
    towers = {file.relative_to(tmp_path / "c").parts[0] for file in files}
    assert towers == {tower_hash(load_family(folder).model.model.vision_tower)}
    other = load_family(folder).model.model.vision_tower
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert tower_hash(other) not in towers


@pytest.mark.parametrize("name", ["paligemma", "llava", "idefics3", "gemma3"])
def test_kept_features_are_those_of_the_tower(name: str, dataset: Path, tmp_path: Path) -> None:
    loaded = load_family(make(name, tmp_path / name))
    loaded.model.eval()
    inputs = encoded(source(dataset, loaded).samples[0], loaded, Pictures(dataset, "soft", loaded.side)).inputs
    with torch.no_grad():
        plain = loaded.model(**inputs).logits
        tower = loaded.model.get_submodule(loaded.family.tower)
        features = Features(tmp_path / "cache", tower)
        keep_features(tower, features, loaded.family.layers(loaded.model.config))
        cold, warm = loaded.model(**inputs).logits, loaded.model(**inputs).logits
    assert torch.equal(plain, cold)
    assert torch.equal(plain, warm)
    assert (features.made, features.found) == (1, 1)


def test_kept_features_have_the_precision_of_the_tower(dataset: Path, tmp_path: Path) -> None:
    """Whoever reads a picture first: a step in bf16, or the validation after it, which is in float32."""
    loaded = load_family(make("llava", tmp_path / "llava"))
    inputs = encoded(source(dataset, loaded).samples[0], loaded, Pictures(dataset, "soft", loaded.side)).inputs
    with torch.no_grad():
        plain = loaded.model.eval()(**inputs).logits
        tower = loaded.model.get_submodule(loaded.family.tower)
        features = Features(tmp_path / "cache", tower)
        keep_features(tower, features, loaded.family.layers(loaded.model.config))
        with torch.autocast("cpu", torch.bfloat16):
            loaded.model(**inputs)
        assert torch.equal(loaded.model(**inputs).logits, plain)
    assert (features.made, features.found) == (1, 1)


def test_a_damaged_feature_is_made_again(tmp_path: Path) -> None:
    tower = torch.nn.Linear(2, 2)
    made = torch.randn(1, 3)
    key = pixel_hash(torch.zeros(4, 4))
    Features(tmp_path, tower).of([key], lambda: made)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:20])
    again = Features(tmp_path, tower)
    assert torch.equal(again.of([key], lambda: made), made)
    assert again.made == 1


def test_checkpointing_gives_the_same_gradients(dataset: Path, folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    for name, options in (("plain", QUICK), ("less", dataclasses.replace(QUICK, checkpointing=True))):
        train_family(dataset, tmp_path / name, folder, options)
    plain, less = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("plain", "less"))
    assert all(torch.allclose(plain[name], less[name], atol=1e-6) for name in plain)


def test_attention_is_checked_against_eager(dataset: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_family(folder)
    (one,) = longest(source(dataset, loaded), 1)
    choose_attention(loaded.model, "sdpa", one.encoded.inputs, "f32")
    assert loaded.model.config.text_config._attn_implementation == "sdpa"
    with pytest.raises(UsageError, match="--attn flash_attention_2"):
        choose_attention(loaded.model, "flash_attention_2", one.encoded.inputs, "f32")
    import rrg.train_attention

    values = iter((1.0, 1.01))
    monkeypatch.setattr(rrg.train_attention, "answer_loss", lambda *_: next(values))
    with pytest.raises(RrgError, match=r"--attn sdpa: the loss of the first batch is 1\.01000, with eager 1\.00000"):
        choose_attention(loaded.model, "sdpa", one.encoded.inputs, "f32")


def test_batches_are_of_like_length_and_the_longest_comes_first(dataset: Path, folder: Path) -> None:
    loaded = load_family(folder)
    whole = source(dataset, loaded)
    (most,) = longest(whole, 1, look=len(whole.samples))
    made = [most._replace(encoded=encoded(each, loaded, whole.pictures)) for each in whole.samples[:24]]
    assert most.encoded.length >= max(each.encoded.length for each in made)
    parts = list(micro_batches(made, 4))
    lengths = [[each.encoded.length for each in part] for part in parts]
    assert [length for part in lengths for length in part] == sorted((e.encoded.length for e in made), reverse=True)


def test_a_stage_says_once_how_fast_it_is_and_what_bounds_it(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter("sft")
    for _ in range(AFTER + 5):
        with meter.time("model"):
            pass
        meter.step(100)
    meter._spent, meter._elapsed = {"data": 2.0, "model": 7.0, "optimiser": 1.0}, 10.0
    assert meter.waiting == pytest.approx(0.2)
    assert "bound by data" in meter.bound()
    meter._spent = {"data": 0.1, "model": 4.0, "optimiser": 6.0}
    assert "bound by the optimiser" in meter.bound()
    assert capsys.readouterr().err.count("tokens/s") == 1


# The run folder


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of a model folder from the shell, with all that is said."""
    root = tmp_path_factory.mktemp("runs")
    base = make("qwen3_vl", root / "base")
    words = ("train", dataset, "--model", base, "--out", root / "run", "--sft-steps", 24, "--sample-every", 12)
    more = ("--batch", 2, "--micro-batch", 2, "--context", 600, "--prefix", "random", "--findings-noise", 0.1,
            "--augment", "shift,flip", "--threads", 1, "--precision", "bf16")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "rrg", *map(str, (*words, *more))], capture_output=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return root / "run", done.stderr.decode()


def test_forecast_comes_before_step_1_and_speed_after_20_steps(run: tuple[Path, str]) -> None:
    said = run[1]
    forecast = re.search(r"sft: 24 steps, at most [^(]+ \(\S+ s a step.*\), ([\d.]+) GB of memory", said)
    assert forecast
    assert 0.1 < float(forecast[1]) < 10
    assert re.search(r"sft: [\d,]+ tokens/s, [\d.]+ % of the time waiting for data; bound by", said)


def test_a_run_folder_tells_all(run: tuple[Path, str]) -> None:
    folder = run[0]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "val_loss" in line] == [12, 24]
    names = sorted(path.name for path in (folder / "samples").iterdir())
    assert names == [f"sft-{step:06d}.{kind}" for step in (12, 24) for kind in ("jsonl", "png")]
    looked = [json.loads(line) for line in (folder / "samples" / "sft-000024.jsonl").read_text().splitlines()]
    assert len(looked) == 4
    assert {each["task"] for each in looked} == {"detect", "vqa"}
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["torch"] == str(torch.__version__)
    assert environment["threads"] == 1
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"curve.svg", "environment.json", "metrics.jsonl", "card.md"} <= set(manifest["files"])
    assert manifest["run"]["options"]["prefix"] == "random"
    assert set(manifest["run"]["inputs"]) == {"dataset", "base"}
    drawing = ElementTree.fromstring((folder / "curve.svg").read_text())
    assert len(drawing.findall(".//{http://www.w3.org/2000/svg}polyline")) == 2


def test_a_curve_is_drawn_to_scale() -> None:
    drawn = ElementTree.fromstring(
        curves(['{"stage": "a", "step": 10, "loss": 4}', '{"stage": "a", "step": 20, "loss": 2}'])
    )
    points = drawn.find(".//{http://www.w3.org/2000/svg}polyline").get("points")  # type: ignore[union-attr]
    (x0, y0), (x1, y1) = (tuple(map(float, point.split(","))) for point in str(points).split())
    assert (x0, x1, y0, y1) == (233.0, 408.0, 26.0, 98.0)


def test_tensorboard_reads_the_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    data = head() + b"".join(scalars("sft", step, {"loss": 1 / step, "val_loss": 300.0}) for step in (1, 25, 70_000))
    (tmp_path / "events.out.tfevents.0.rrg").write_bytes(data)
    read = EventAccumulator(str(tmp_path)).Reload()
    assert read.Tags()["scalars"] == ["sft/loss", "sft/val_loss"]
    assert [(each.step, each.value) for each in read.Scalars("sft/loss")] == [
        (1, 1.0), (25, pytest.approx(0.04)), (70_000, pytest.approx(1 / 70_000))
    ]  # fmt: skip
