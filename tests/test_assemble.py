"""A LLaVA put together from parts: their weights to the bit, their answers without pictures, trained from the shell."""

import ctypes
import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from rrg.errors import RrgError, UsageError
from rrg.export import export
from rrg.llm_local import quiet_stderr
from rrg.model.assemble import Spec, assemble, parse_spec
from rrg.model.assemble_parts import PREFIX_TOKENS, WHOLE, check_tokenizer, language_model
from rrg.model.family import chat_pieces, encode, load_family, turns_of
from rrg.model.gguf_writer import pre_tokenizer, write_text
from rrg.model.load import load
from rrg.prompt import Piece, free_prompt
from rrg.train import train
from rrg.train_family import train_family
from rrg.train_family_options import Options
from rrg.train_options import Options as TinyOptions
from tests.conftest import Rrg
from tests.squares import make
from tests.tiny_parts import SIDE, TOWERS, language, tower


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("parts")
    made = {kind: language(kind, root / kind, spare=3 if kind == "qwen2" else 0) for kind in ("llama", "qwen2")}
    return made | {kind: tower(kind, root / f"tower-{kind}") for kind in TOWERS}


@pytest.fixture(scope="module")
def whole(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("whole")
    for kind in ("llama", "qwen2"):
        assemble(Spec(parts[kind], parts["siglip_vision_model"]), root / kind)
    return {kind: root / kind for kind in ("llama", "qwen2")}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}


def tail_of(name: str) -> str:
    for prefix in (
        "language_model.model.",
        "language_model.",
        "model.language_model.",
        "vision_tower.",
        "model.",
        "vision_model.",
    ):
        name = name.removeprefix(prefix)
    return name.removeprefix("vision_model.").removeprefix("language_model.").removeprefix("model.")


@pytest.mark.parametrize("text", ["llama", "qwen2"])
def test_parts_keep_their_weights_to_the_bit(text: str, parts: dict[str, Path], whole: dict[str, Path]) -> None:
    """Read from the files, not through our loader."""
    made = {tail_of(name): value for name, value in weights(whole[text]).items()}
    for kind in (text, "siglip_vision_model"):
        for name, value in weights(parts[kind]).items():
            found = made[tail_of(name)]
            assert torch.equal(found[: len(value)], value), name
    assert {name for name in made if "linear_" in name} == {
        f"multi_modal_projector.linear_{n}.{part}" for n in (1, 2) for part in ("weight", "bias")
    }


@pytest.mark.parametrize("text", ["llama", "qwen2"])
def test_without_pictures_it_is_the_language_model(text: str, parts: dict[str, Path], whole: dict[str, Path]) -> None:
    alone: Any = transformers.AutoModelForCausalLM.from_pretrained(parts[text], dtype=torch.float32)
    made: Any = transformers.LlavaForConditionalGeneration.from_pretrained(whole[text], dtype=torch.float32)
    tokens = torch.randint(0, 250, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = alone(tokens).logits, made(input_ids=tokens).logits
    assert torch.equal(found[..., : expected.shape[-1]], expected)
    assert float(expected.std()) > 0.1
    before = transformers.AutoTokenizer.from_pretrained(parts[text])
    after = transformers.AutoTokenizer.from_pretrained(whole[text])
    asked = "Wo ist die Leber? Größe 3,5 cm\n<|im_start|>user"
    assert before.encode(asked) == after.encode(asked)


def test_the_template_is_that_of_the_language_model(parts: dict[str, Path], whole: dict[str, Path]) -> None:
    alone = transformers.AutoTokenizer.from_pretrained(parts["qwen2"])
    loaded = load_family(whole["qwen2"])
    pieces, opening = chat_pieces(turns_of([Piece(free_prompt("Wo?"), False)]), loaded)
    told = alone.apply_chat_template(
        [{"role": "user", "content": "<image>Wo?"}], add_generation_prompt=True, tokenize=False
    )
    assert "".join(piece.text for piece in pieces) + opening == told


def test_a_model_without_template_gets_a_plain_one(tmp_path: Path, parts: dict[str, Path]) -> None:
    assemble(Spec(language("llama", tmp_path / "base", template=None), parts["siglip"]), tmp_path / "whole")
    loaded = load_family(tmp_path / "whole")
    turns = turns_of([Piece("<|user|>Wo?<|assistant|>", False), Piece("hier</s>", True)])
    pieces, _ = chat_pieces(turns, loaded)
    assert [piece.text for piece in pieces] == ["USER: Wo?\nASSISTANT: ", "hier<|im_end|>"]
    assert pieces[1].loss


@pytest.mark.parametrize("kind", TOWERS)
def test_every_tower_sees_the_whole_picture(kind: str, parts: dict[str, Path], tmp_path: Path) -> None:
    """As many tokens as patches, the tower's own features before the projector, no pixel cut off or resized."""
    assemble(Spec(parts["llama"], parts[kind]), tmp_path / "whole")
    loaded = load_family(tmp_path / "whole")
    assert loaded.side == SIDE
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    made = encode(loaded, [Piece(loaded.processor.image_token + "Wo?", False)], [pixels])
    image = loaded.model.config.image_token_index
    assert made.inputs["input_ids"][0].tolist().count(image) == (SIDE // 14) ** 2
    rules = json.loads((parts[kind] / "preprocessor_config.json").read_text())
    by_hand = (pixels / 255 - rules["image_mean"]) / rules["image_std"]
    assert np.allclose(made.inputs["pixel_values"][0].permute(1, 2, 0).numpy(), by_hand, atol=1e-5)
    seen: list[torch.Tensor] = []
    projector = loaded.model.model.multi_modal_projector
    projector.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    config = json.loads((parts[kind] / "config.json").read_text())["model_type"]
    name = {"siglip_vision_model": "SiglipVisionModel", "clip_vision_model": "CLIPVisionModel", "dinov2": "Dinov2Model",
            "vit": "ViTModel"}[WHOLE.get(config, config)]  # fmt: skip
    stock: Any = getattr(transformers, name).from_pretrained(parts[kind], dtype=torch.float32).eval()
    with torch.inference_mode():
        loaded.model.eval()(**{name: value for name, value in made.inputs.items() if name != "labels"})
        hidden = stock(made.inputs["pixel_values"], output_hidden_states=True).hidden_states[-2]
    assert torch.allclose(seen[0], hidden[:, PREFIX_TOKENS[WHOLE.get(config, config)] :], atol=1e-5)


def test_the_tower_of_a_run(parts: dict[str, Path], whole: dict[str, Path], tmp_path: Path) -> None:
    """The tower that `tiny` learned, its weights to the bit and its pictures as it knows them; that of a LLaVA, too."""
    run = tmp_path / "run"
    train(make(tmp_path, patients=8), run, TinyOptions(model="tiny:test", stages=("tower",), tower_steps=2))
    for vision, source in ((run, run / "model"), (whole["qwen2"], whole["qwen2"])):
        assemble(Spec(parts["llama"], vision), tmp_path / "again")
        ours, theirs = weights(tmp_path / "again"), weights(source)
        names = [name for name in theirs if "vision_tower." in name]
        assert names
        assert all(torch.equal(ours[name], theirs[name]) for name in names)
        loaded = load_family(tmp_path / "again")
        grey = np.full((loaded.side, loaded.side, 3), 255, np.uint8)
        made = encode(loaded, [Piece(loaded.processor.image_token + "Wo?", False)], [grey])
        assert made.inputs["pixel_values"].shape == (1, 3, loaded.side, loaded.side)
        if vision == run:
            assert torch.allclose(made.inputs["pixel_values"], torch.ones(1))
        shutil.rmtree(tmp_path / "again")


def test_the_same_parts_and_seed_give_the_same_files(parts: dict[str, Path], tmp_path: Path) -> None:
    spec = Spec(parts["qwen2"], parts["clip"])
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assemble(spec, tmp_path / name, seed)
    a, b, c = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in "abc")
    assert a == b
    assert {name for name in a if a[name] != c[name]} == {"model.safetensors"}


def test_what_can_not_be_put_together(parts: dict[str, Path], tmp_path: Path) -> None:
    siglip = parts["siglip"]
    for text in ("llava:", "llava:llm=x", f"llava:llm={siglip},vision=", f"llava:x,llm={siglip},vision={siglip}"):
        with pytest.raises(UsageError, match="expected llava:llm=FOLDER_OR_GGUF,vision=FOLDER"):
            parse_spec(text)
    assert parse_spec(f"llava:vision={siglip},llm={siglip}") == Spec(siglip, siglip)
    odd = tmp_path / "a,b"
    shutil.copytree(siglip, odd)
    assert parse_spec(f"llava:llm={odd},vision={odd}") == Spec(odd, odd)
    (tmp_path / "x.gguf").write_bytes(b"GGUF and nothing else")
    bare = tmp_path / "bare"
    shutil.copytree(siglip, bare, ignore=shutil.ignore_patterns("preprocessor_config.json"))
    code = tmp_path / "code"
    shutil.copytree(parts["llama"], code)
    (code / "modeling_x.py").write_text("")
    for llm, vision, says in (
        (siglip, siglip, "language model of kind siglip"),
        (parts["llama"], parts["llama"], "tower of kind llama"),
        (tmp_path / "x.gguf", siglip, "neither a folder nor a whole GGUF file"),
        (parts["llama"], bare, "image_mean"),
        (code, siglip, "never run"),
    ):
        with pytest.raises(UsageError, match=says):
            assemble(Spec(llm, vision), tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_gguf_file_is_read_as_it_was_written(kind: str, parts: dict[str, Path], tmp_path: Path) -> None:
    """f32: the folder's logits. Q8_0: weights as the gguf package de-quantises them, logits near."""
    folder: Any = transformers.AutoModelForCausalLM.from_pretrained(parts[kind], dtype=torch.float32)
    whole, small = tmp_path / "f32.gguf", tmp_path / "q8.gguf"
    write_text(folder.state_dict(), folder.config, parts[kind], whole, "test", "f32", begins=False)
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, 1
    with quiet_stderr():
        assert llama_cpp.llama_model_quantize(str(whole).encode(), str(small).encode(), ctypes.byref(options)) == 0
    tokens = torch.randint(0, 250, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = folder(tokens).logits
        exact, near = (language_model(path)[0](tokens).logits for path in (whole, small))
    assert torch.allclose(exact, expected, atol=1e-4)
    assert not torch.allclose(near, expected, atol=1e-4)
    assert float((near - expected).std()) < 0.05 * float(expected.std())
    read = language_model(small)[0].state_dict()
    for tensor in gguf.GGUFReader(small).tensors:
        if tensor.name.startswith("blk.0.ffn_"):
            name = {"ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "ffn_gate": "mlp.gate_proj",
                    "ffn_norm": "post_attention_layernorm"}[tensor.name.split(".")[2]]  # fmt: skip
            own = gguf.dequantize(tensor.data, tensor.tensor_type)
            assert np.array_equal(read[f"model.layers.0.{name}.weight"].numpy(), own)


def test_another_cut_of_text_is_noticed(parts: dict[str, Path], tmp_path: Path) -> None:
    """One vocabulary with a token for two digits, cut in two ways: digits stay together, or stand alone."""
    folder: Any = transformers.AutoModelForCausalLM.from_pretrained(parts["qwen2"], dtype=torch.float32)
    saved = json.loads((parts["qwen2"] / "tokenizer.json").read_text())
    last = max(saved["model"]["vocab"].items(), key=lambda item: item[1] if len(item[0]) > 1 else -1)[0]
    saved["model"]["vocab"]["12"] = saved["model"]["vocab"].pop(last)
    saved["model"]["merges"][-1] = ["1", "2"]
    together = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizers = {}
    for name, cut in (("alone", saved["pre_tokenizer"]), ("together", together)):
        shutil.copytree(parts["qwen2"], tmp_path / name)
        (tmp_path / name / "tokenizer.json").write_text(json.dumps({**saved, "pre_tokenizer": cut}))
        write_text(folder.state_dict(), folder.config, tmp_path / name, tmp_path / f"{name}.gguf", "t", "f32")
        tokenizers[name] = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / name / "tokenizer.json"))
    for name, other in (("alone", "together"), ("together", "alone")):
        check_tokenizer(tmp_path / f"{name}.gguf", tokenizers[name])
        with pytest.raises(UsageError, match=r"otherwise than llama\.cpp"):
            check_tokenizer(tmp_path / f"{name}.gguf", tokenizers[other])
    with pytest.raises(RrgError, match=r"cuts text by Whitespace.*E_CONVERT"):
        pre_tokenizer({"pre_tokenizer": {"type": "Whitespace"}})


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_an_assembled_model_is_exported_and_answers_alike(kind: str, whole: dict[str, Path], tmp_path: Path) -> None:
    """Trained until it is sure of what it writes: next tokens of a random model are ties, which rounding decides."""
    options = Options(steps=40, batch=2, rate=3e-3, context=600)
    train_family(make(tmp_path), tmp_path / "run", whole[kind], options)
    export(tmp_path / "run", "gguf", tmp_path / "gguf", precision="f32")
    found = json.loads((tmp_path / "gguf" / "manifest.json").read_text())["self_test"]
    assert found["texts"] >= 7
    assert found["log_probability"] < 5e-3
    ours, theirs = load(tmp_path / "run"), load(tmp_path / "gguf")
    picture = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    try:
        assert ours.answer([picture], free_prompt("Wo?"), 8).raw == theirs.answer([picture], free_prompt("Wo?"), 8).raw
    finally:
        theirs.close()


def test_from_parts_to_masks_from_the_shell(rrg: Rrg, parts: dict[str, Path], tmp_path: Path) -> None:
    """Tower, projector, then LoRA beside a mask head; the run folder answers with masks and can not be exported."""
    dataset = make(tmp_path, patients=20, reports=True)
    spec = f"llava:llm={parts['qwen2']},vision={parts['siglip']}"
    rrg("train", dataset, "--model", spec, "--grounding", "mask", "--stages", "siglip,align,sft", "--peft", "lora",
        "--sft-steps", 3, "--batch", 4, "--augment", "shift", "--threads", 1, "--out", tmp_path / "run")  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "run", "store", "stream.jsonl"]
    done = rrg("infer", dataset, "--model", tmp_path / "run", "--limit", 2, "--max-new-tokens", 6)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    answers = [row for row in rows if row["schema"] == "rrg.prediction/1"]
    assert all(len(row["extra"]["masks"]) == len(row["mentions"]) == row["raw"].count("</seg>") for row in answers)
    refused = rrg("export", tmp_path / "run", "--to", "gguf", "--out", tmp_path / "gguf", code=1)
    assert b"no mask head" in refused.stderr
    bad = rrg("train", dataset, "--model", "llava:llm=nowhere", "--out", tmp_path / "x", code=2)
    assert bad.stderr.count(b"\n") == 1
    assert b"expected llava:llm=FOLDER_OR_GGUF,vision=FOLDER" in bad.stderr
