"""Export: files that both back ends answer alike, and everything that must be refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gguf as gguf_package
import numpy as np
import pytest
import torch

import rrg.export
from rrg.boxes import LOC64
from rrg.errors import RrgError, UsageError
from rrg.export import export
from rrg.export_self_test import Agreement, Probe, probes_of, report, spread
from rrg.model import tiny
from rrg.model.gguf_quantise import Precision, differences
from rrg.model.gguf_writer import check_exportable, rotary_order
from rrg.model.load import load
from rrg.model.settings import read_settings
from rrg.model.tokenizer import train_tokenizer
from rrg.train import Options, train
from rrg.train_data import read_part
from tests.squares import make

OPTIONS = Options(model="tiny:test", tower_steps=30, sft_steps=60, tower_batch=8, sft_batch=8, sft_tokens=160)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make(tmp_path_factory.mktemp("squares"), patients=20, split=(50, 10, 40))


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(dataset, out, OPTIONS)
    return out


@pytest.fixture(scope="module")
def gguf(run: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gguf") / "gguf"
    export(run, "gguf", out, dataset=dataset)
    return out


def tokens_of(path: Path) -> dict[str, int]:
    fields = gguf_package.GGUFReader(path).fields
    names = fields["tokenizer.ggml.tokens"].contents()
    return dict(zip(names, fields["tokenizer.ggml.token_type"].contents(), strict=True))


def test_the_folder_is_whole(gguf: Path, run: Path) -> None:
    names = {path.name for path in gguf.iterdir()}
    assert names == {"llm-f16.gguf", "mmproj-f16.gguf", "rrg.json", "card.md", "manifest.json"}
    assert read_settings(gguf) == read_settings(run)
    manifest = json.loads((gguf / "manifest.json").read_text())
    assert manifest["from"] == read_settings(run).run
    assert manifest["self_test"]["probes"] == 8
    assert manifest["self_test"]["texts"] >= 7
    assert "self-test on 8 pictures" in (gguf / "card.md").read_text()


def test_box_tokens_are_user_defined_and_steering_ones_control(gguf: Path) -> None:
    kinds = tokens_of(gguf / "llm-f16.gguf")
    assert {kinds[token] for token in LOC64.tokens} == {int(gguf_package.TokenType.USER_DEFINED)}
    control = {token for token, kind in kinds.items() if kind == int(gguf_package.TokenType.CONTROL)}
    assert control == {
        "<unk>",
        "<s>",
        "</s>",
        "<pad>",
        "<image>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|tool|>",
    }


def test_the_chat_template_is_inside_and_says_what_prompt_says(gguf: Path) -> None:
    from jinja2 import Template

    from rrg.prompt import IMAGE, MEDIA, free_prompt

    text = gguf_package.GGUFReader(gguf / "llm-f16.gguf").fields["tokenizer.chat_template"].contents()
    content = [{"type": "image_url"}, {"type": "text", "text": "Wo?"}]
    made = Template(text).render(messages=[{"role": "user", "content": content}], add_generation_prompt=True)
    assert made == free_prompt("Wo?").replace(MEDIA, IMAGE)


def test_ten_answers_of_both_back_ends_agree(gguf: Path, run: Path, dataset: Path) -> None:
    reference, exported = load(run), load(gguf)
    try:
        probes = probes_of(reference.settings, dataset, 12)
        pairs = [
            tuple(model.answer(probe.pictures, probe.prompt, 32) for model in (reference, exported)) for probe in probes
        ]
    finally:
        exported.close()
    assert len(pairs) == 12
    assert sum(a[:2] == b[:2] for a, b in pairs) >= 11  # text and end; probabilities differ by f16
    assert len({a.raw for a, _ in pairs}) > 1


def test_f32_and_random_pictures(run: Path, tmp_path: Path) -> None:
    export(run, "gguf", tmp_path / "g", precision="f32")
    found = json.loads((tmp_path / "g" / "manifest.json").read_text())["self_test"]
    assert found["texts"] == found["boxes"] == found["probes"] == 8
    assert found["log_probability"] < 5e-3


@pytest.mark.parametrize("precision", ["q8_0", "q4_k_m"])
def test_fewer_bits(precision: Precision, run: Path, dataset: Path, gguf: Path, tmp_path: Path) -> None:
    """Smaller by about what llama.cpp's blocks promise, each matrix close to the one of torch, tower in f16."""
    export(run, "gguf", tmp_path / "g", precision=precision, dataset=dataset)
    assert {path.name for path in (tmp_path / "g").glob("*.gguf")} == {f"llm-{precision}.gguf", "mmproj-f16.gguf"}
    found = differences(tmp_path / f"g/llm-{precision}.gguf", gguf / "llm-f16.gguf")
    assert {each.type for each in found} & {"Q8_0", "Q5_0", "Q4_K"}
    assert 1e-4 < found[0].relative < {"q8_0": 0.01, "q4_k_m": 0.1}[precision]
    assert f"GGUF export ({precision})" in (tmp_path / "g/card.md").read_text()


def test_merged_is_a_model_that_loads(run: Path, tmp_path: Path) -> None:
    export(run, "merged", tmp_path / "m")
    settings = read_settings(run)
    (probe,) = probes_of(settings, None, 1)
    assert load(tmp_path / "m").answer(probe.pictures, probe.prompt, 9) == load(run).answer(
        probe.pictures, probe.prompt, 9
    )


def test_probes_are_on_different_pictures_of_the_test_split(run: Path, dataset: Path) -> None:
    samples = read_part(dataset, "test", ("de", "en")).samples
    chosen = spread(samples, 8)
    assert len({sample.images[0].ref for sample in chosen}) == len(chosen) == 8
    assert {sample.task for sample in chosen} == {"detect", "vqa"}
    assert {sample.split for sample in chosen} == {"test"}


# What must fail


def test_swapped_projections_are_noticed(
    run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the self-test: an error in the export of the kind that llama.cpp accepts in silence."""
    write = rrg.export.write_text

    def wrong(state: dict[str, torch.Tensor], *rest: object, **named: object) -> None:
        gate = next(name for name in state if name.endswith("layers.0.mlp.gate_proj.weight"))
        up = gate.replace("gate", "up")
        write({**state, gate: state[up], up: state[gate] * 3}, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(rrg.export, "write_text", wrong)
    with pytest.raises(RrgError, match=r"self-test .*furthest tensors: blk\.0\.ffn_.*E_CONVERT"):
        export(run, "gguf", tmp_path / "g", dataset=dataset)
    assert not (tmp_path / "g").exists()


def test_unpermuted_rotary_rows_are_noticed(
    run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rrg.model.gguf_writer, "rotary_order", lambda weight, heads: weight)
    with pytest.raises(RrgError, match="E_CONVERT"):
        export(run, "gguf", tmp_path / "g", dataset=dataset)


def test_another_tokenizer_is_noticed(
    run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(writer: object, folder: Path, config: object) -> None:
        saved = json.loads((folder / "tokenizer.json").read_text())
        for token in saved["added_tokens"]:
            token["special"] = token["special"] and token["content"] != "<|user|>"
        saved["model"]["merges"] = saved["model"]["merges"][:20]
        other = tmp_path / "tokenizer"
        other.mkdir()
        (other / "tokenizer.json").write_text(json.dumps(saved))
        true(writer, other, config)

    true = rrg.model.gguf_writer._add_tokenizer
    monkeypatch.setattr(rrg.model.gguf_writer, "_add_tokenizer", wrong)
    with pytest.raises(RrgError, match=r"splits a prompt .*E_CONVERT"):
        export(run, "gguf", tmp_path / "g", dataset=dataset)


def test_a_probe_that_can_not_be_asked_is_one_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = [Probe((), "<|user|>" + "viel " * 600)]
    monkeypatch.setattr(rrg.export, "probes_of", lambda *_: long)
    with pytest.raises(RrgError, match=r"self-test: prompt has .*E_TOKENS"):
        export(run, "gguf", tmp_path / "g")
    assert not (tmp_path / "g").exists()


def test_what_the_self_test_may_find(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("")
    report(Agreement(8, 8, 8, 8, 0.001), tmp_path, "f16")
    report(Agreement(8, 7, 7, 8, 0.01), tmp_path, "f16")
    report(Agreement(8, 6, 6, 7, 0.3), tmp_path, "q8_0")
    for bad in (
        Agreement(8, 6, 8, 8, 0.0),
        Agreement(8, 8, 6, 6, 0.0),
        Agreement(8, 8, 8, 8, 0.2),
        Agreement(8, 8, 8, 8, float("nan")),
    ):
        with pytest.raises(RrgError, match="E_CONVERT"):
            report(bad, tmp_path, "f16")


@pytest.mark.parametrize(
    ("part", "field", "value", "says"),
    [
        ("", "vision_feature_layer", -1, "vision_feature_layer -1"),
        ("", "vision_feature_select_strategy", "default", "vision_feature_select_strategy default"),
        ("", "projector_hidden_act", "gelu", "activations"),
        ("vision_config", "model_type", "clip_vision_model", "class token"),
        ("vision_config", "intermediate_size", 32, "swapped"),
        ("text_config", "model_type", "gemma2", "language model gemma2"),
    ],
)
def test_models_that_llama_cpp_would_run_differently_are_refused(
    part: str, field: str, value: object, says: str
) -> None:
    config = tiny.build(tiny.SIZES["test"], train_tokenizer(["a"], LOC64, 300)).config
    check_exportable(config)
    setattr(getattr(config, part) if part else config, field, value)
    with pytest.raises(RrgError, match=rf"{says}.*E_CONVERT"):
        check_exportable(config)


def test_rotary_rows_by_hand() -> None:
    rows = torch.arange(8.0)[:, None]  # two heads of four: halves 0 1 | 2 3 become pairs 0 2, 1 3
    assert rotary_order(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_folders_that_can_not_be_used(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RrgError, match="E_MODEL"):
        export(tmp_path, "gguf", tmp_path / "g")
    with pytest.raises(UsageError, match="is there already"):
        export(run, "gguf", run)


def test_commands_train_and_export_as_processes(dataset: Path, tmp_path: Path) -> None:
    def rrg_(*arguments: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "rrg", *map(str, arguments)],
            capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )

    common = ("--model", "tiny:test", "--tower-steps", 2, "--sft-steps", 2, "--threads", 1)
    done = rrg_("train", dataset, "--out", tmp_path / "run", *common)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    assert b"tower: " in done.stderr
    again = rrg_("train", dataset, "--out", tmp_path / "run", *common)
    assert (again.returncode, again.stderr.count(b"\n")) == (2, 1)
    done = rrg_("export", tmp_path / "run", "--to", "gguf", "--out", tmp_path / "gguf")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in lines] == ["rrg export"] * 2  # nothing of llama.cpp or transformers
    assert (tmp_path / "gguf" / "llm-f16.gguf").is_file()
    refused = rrg_("train", tmp_path, "--out", tmp_path / "x")
    assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)
    for name in ("train", "export"):
        assert b"Example:" in rrg_(name, "--help").stdout


def test_pictures_of_probes_are_what_infer_shows(run: Path, dataset: Path) -> None:
    from rrg.store import read
    from rrg.windows import picture

    settings = read_settings(run)
    sample = spread(read_part(dataset, "test", settings.languages).samples, 8)[0]
    shown = picture(read(dataset / "store", sample.images[0].ref), "stored", "radgrounder", settings.side)[0]
    assert np.array_equal(probes_of(settings, dataset)[0].pictures[0], shown)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft, not us
def test_an_adapter_beside_its_base(run: Path, gguf: Path, dataset: Path, tmp_path: Path) -> None:
    """Answers as the merged model; the base is found by its hash, and another base or a run without LoRA is refused."""
    options = Options(model="tiny:test", stages=("sft",), peft="lora", lora_rank=8, sft_steps=60, sft_rate=5e-2)
    train(dataset, tmp_path / "lora", options, base=run)
    base = tmp_path / "base"
    shutil.copytree(gguf, base)
    export(tmp_path / "lora", "gguf", tmp_path / "small", dataset=dataset, base=base)
    assert [path.name for path in (tmp_path / "small").glob("l*.gguf")] == ["lora-f32.gguf"]
    export(tmp_path / "lora", "gguf", tmp_path / "whole", dataset=dataset)
    small, whole, before = (load(tmp_path / name) for name in ("small", "whole", "base"))
    probes = probes_of(read_settings(run), dataset)
    ours, merged, old = ([m.log_probabilities(p.pictures, p.prompt) for p in probes] for m in (small, whole, before))
    assert np.allclose(ours, merged, atol=0.02)
    assert not np.allclose(ours, old, atol=0.1)
    with pytest.raises(UsageError, match="runs of --peft lora"):
        export(run, "gguf", tmp_path / "x", base=base)
    with pytest.raises(UsageError, match="an adapter for the base as it is"):
        export(tmp_path / "lora", "gguf", tmp_path / "x", base=base, precision="q8_0")
    with pytest.raises(UsageError, match="no llm-"):
        export(tmp_path / "lora", "gguf", tmp_path / "x", base=run)
    with pytest.raises(RrgError, match=r"only adapters learnt.*E_CONVERT"):
        export(tmp_path / "lora", "gguf", tmp_path / "x", dataset=dataset, base=tmp_path / "whole")
    shutil.move(base, tmp_path / "elsewhere")
    with pytest.raises(RrgError, match=r"base language model is not at .*E_MODEL"):
        load(tmp_path / "small")
