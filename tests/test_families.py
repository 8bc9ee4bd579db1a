"""Families of models: tiny random ones are trained, saved, loaded and asked; published sizes on the meta device."""

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from rrg.boxes import Dialect, decode
from rrg.errors import RecordError, UsageError
from rrg.model.families import FAMILIES, TRAINED, part_of
from rrg.model.family import (
    Encoded,
    FamilyModel,
    Loaded,
    Turn,
    answer_loss,
    chat_pieces,
    collate,
    encode,
    load_family,
    turns_of,
)
from rrg.model.load import load
from rrg.prompt import MEDIA, Piece, free_prompt
from rrg.train_family import Options, train_family, trainable
from tests import squares
from tests.tiny_families import MAKERS, make

NAMES = list(MAKERS)
QUICK = Options(steps=2, batch=2, rate=1e-2, context=600)
CHAT = [
    Turn("user", MEDIA + "Wo ist die Leber?", False),
    Turn("assistant", "hier", True),
    Turn("user", "Groß?", False),
    Turn("assistant", "ja", True),
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares.make(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: make(name, root / name) for name in NAMES}


@pytest.fixture(scope="module")
def loaded(folders: dict[str, Path]) -> dict[str, Loaded]:
    found = {name: load_family(folder) for name, folder in folders.items()}
    for each in found.values():
        each.model.eval()
    return found


def picture(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def encoded(one: Loaded, turns: list[Turn], seed: int = 0) -> Encoded:
    pieces, _ = chat_pieces(turns, one)
    count = sum(turn.text.count(MEDIA) for turn in turns)
    return encode(one, pieces, [picture(one.side, seed + number) for number in range(count)])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_then_saved_loaded_and_asked(
    name: str, dataset: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    train_family(dataset, tmp_path / "run", folders[name], QUICK)
    before, after = load_family(folders[name]).model.state_dict(), load_family(tmp_path / "run" / "model").model
    family, changed, same = FAMILIES[name], Counter[str](), Counter[str]()
    for key, value in after.state_dict().items():
        (same if torch.equal(value, before[key]) else changed)[part_of(family, key)] += 1
    assert changed["tower"] == 0
    assert min(changed["projector"], changed["text"], same["tower"]) > 0
    model = load(tmp_path / "run")
    assert isinstance(model, FamilyModel)
    assert model.settings.family == name
    side = model.settings.side
    prompt = free_prompt("Wo ist die Leber?")
    first = model.answer([picture(side)], prompt, 12)
    assert first == model.answer([picture(side)], prompt, 12)
    decode(first.raw, 64, 64, model.settings.dialect)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["sft", "sft"]
    assert "val_loss" in lines[-1]


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_reaches_the_answer(name: str, loaded: dict[str, Loaded]) -> None:
    one = loaded[name]
    with torch.no_grad():
        losses = [float(answer_loss(one.model, encoded(one, CHAT, seed).inputs)) for seed in (0, 0, 9)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_chat_in_company_costs_what_it_costs_alone(name: str, loaded: dict[str, Loaded]) -> None:
    one = loaded[name]
    long, short = encoded(one, CHAT), encoded(one, CHAT[:2], 1)
    assert long.length != short.length
    with torch.no_grad():
        alone = [float(answer_loss(one.model, each.inputs)) for each in (long, short)]
        together = float(answer_loss(one.model, collate([long, short], one.tokenizer.pad_token_id)))
    counts = [int((each.inputs["labels"] >= 0).sum()) for each in (long, short)]
    assert together == pytest.approx(np.average(alone, weights=counts), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_that_of_the_stock_forward_pass(name: str, loaded: dict[str, Loaded]) -> None:
    """Logits at learnt places only give the loss that transformers computes from all of them."""
    one = loaded[name]
    made = encoded(one, CHAT)
    with torch.no_grad():
        ours, theirs = answer_loss(one.model, made.inputs), one.model(**made.inputs).loss
    assert float(ours) == pytest.approx(float(theirs), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_only_answers_and_their_ends_are_learnt(name: str, loaded: dict[str, Loaded]) -> None:
    one = loaded[name]
    made = encoded(one, CHAT).inputs
    learnt = one.tokenizer.decode(made["input_ids"][0][made["labels"][0] >= 0])
    end = re.escape(one.tokenizer.eos_token) + "|<end_of_turn>"
    wanted = f"ja({end})" if FAMILIES[name].prefix else f" ?hier({end}) ?ja({end})"
    assert re.fullmatch(wanted, learnt)
    assert one.tokenizer.pad_token not in learnt


CANARY = "<image><loc0007></s><eos><|im_end|><end_of_turn><|image_pad|><start_of_image><end_of_utterance><bos>"


@pytest.mark.parametrize("name", NAMES)
def test_data_forms_no_control_token(name: str, loaded: dict[str, Loaded]) -> None:
    one = loaded[name]
    hostile = free_prompt(CANARY).removeprefix("<|user|>").removesuffix("<|assistant|>")
    plain, evil = (
        encoded(one, [CHAT[0]._replace(text=text), CHAT[1]]).inputs["input_ids"][0].tolist()
        for text in (MEDIA + "a", hostile)
    )
    control = {number for number, each in one.tokenizer.added_tokens_decoder.items() if each.special}
    assert Counter(token for token in evil if token in control) == Counter(t for t in plain if t in control)


def test_paligemma_reads_the_prompt_both_ways_and_the_answer_causally(loaded: dict[str, Loaded]) -> None:
    """Gradients at one place by the embeddings of another, through token_type_ids; without them all is causal."""
    one = loaded["paligemma"]
    made = encoded(one, [CHAT[0], Turn("assistant", "hier links", True)]).inputs
    learnt = (made["labels"][0] >= 0).nonzero()[:, 0]
    start, last = int(learnt[0]), int(learnt[-1])

    def reach(place: int, **given: torch.Tensor) -> list[bool]:
        vectors = one.model.get_input_embeddings()(made["input_ids"]).detach().requires_grad_(True)
        inputs = {key: value for key, value in made.items() if key != "labels"} | given
        hook = one.model.get_input_embeddings().register_forward_hook(lambda *_: vectors)
        try:
            there = one.model(**inputs).logits[0, place].sum()
        finally:
            hook.remove()
        (gradient,) = torch.autograd.grad(there, vectors)
        return [bool(each) for each in gradient[0].abs().sum(-1) > 0]

    early = start - 4  # a place of the question; pictures stand before it
    forward = reach(early)
    assert forward[early + 1 : start] == [True] * (start - early - 1)
    assert not any(forward[start:])
    assert not any(reach(start)[start + 1 :])
    assert all(reach(last - 1)[start:last])
    causal = reach(early, token_type_ids=torch.ones_like(made["token_type_ids"]))
    assert not any(causal[early + 1 :])


@pytest.mark.parametrize("name", NAMES)
def test_several_pictures_or_one_clear_line(name: str, loaded: dict[str, Loaded]) -> None:
    one = loaded[name]
    two = [Turn("user", MEDIA + MEDIA + "Was ist neu?", False), CHAT[1]]
    if FAMILIES[name].several_images:
        made, single = encoded(one, two), encoded(one, CHAT[:2])
        assert made.pictures == 2
        batch = collate([single, encoded(one, CHAT[:2], 5)], one.tokenizer.pad_token_id)
        with torch.no_grad():
            assert torch.isfinite(answer_loss(one.model, made.inputs) + answer_loss(one.model, batch))
    else:
        with pytest.raises(RecordError, match="one picture at a time, here are 2"):
            encoded(one, two)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_reach_the_tower_whole_and_in_their_own_size(name: str, loaded: dict[str, Loaded]) -> None:
    """No tiles, crops or second resize: a column painted in the picture is a column of the processor's pixels."""
    one = loaded[name]
    shown = np.zeros((one.side, one.side, 3), np.uint8)
    shown[:, one.side // 2 :] = 255
    pixels = one.processor.image_processor(images=[shown], return_tensors="pt")["pixel_values"].float()
    assert pixels.numel() in (3 * one.side**2, 6 * one.side**2)  # Qwen sees each picture as two equal frames
    values = pixels.reshape(-1, 3, one.side, one.side)[0] if pixels.ndim > 2 else pixels
    assert values.unique().numel() <= 6  # two grey values in three channels: nothing was interpolated
    if pixels.ndim > 2:
        step = values[0, one.side // 3]
        assert int((step > step.mean()).nonzero()[0]) == one.side // 2


@pytest.mark.parametrize("name", ["paligemma", "llava", "idefics3", "qwen2_5_vl"])
def test_merged_adapters_answer_like_adapters(
    name: str, dataset: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    from peft import PeftModel

    warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
    options = Options(
        steps=2, batch=2, rate=1e-2, context=600, peft="lora", lora_rank=4, lora_targets=("q_proj", "v_proj"),
        lora_dropout=0.1,
    )  # fmt: skip
    train_family(dataset, tmp_path / "run", folders[name], options)
    merged = load_family(tmp_path / "run" / "model")
    base = load_family(folders[name], merged.dialect)
    adapted = PeftModel.from_pretrained(base.model, tmp_path / "run" / "adapter").eval()
    inputs = {key: value for key, value in encoded(base, CHAT).inputs.items() if key != "labels"}
    with torch.no_grad():
        ours, theirs = merged.model.eval()(**inputs).logits, adapted(**inputs).logits
        with adapted.disable_adapter():
            plain = adapted(**inputs).logits
    assert float((ours - theirs).abs().max()) < 1e-4
    assert float((plain - theirs).abs().max()) > 1e-3
    rows = [merged.tokenizer.convert_tokens_to_ids(token) for token in merged.dialect.tokens]
    if rows:
        table = merged.model.get_input_embeddings().weight
        fresh = load_family(folders[name], merged.dialect).model.get_input_embeddings().weight
        moved = (table[: len(fresh)] != fresh).any(1)
        assert moved[rows].any()  # of the embeddings only box tokens learn
        moved[rows] = False
        assert not moved.any()


def test_added_box_tokens_learn_in_full_training(dataset: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    train_family(dataset, tmp_path / "run", folders["llava"], QUICK)
    after = load_family(tmp_path / "run" / "model")
    assert after.dialect == Dialect("loc", 512)
    known = load_family(folders["llava"]).tokenizer.get_vocab()
    assert all(token in known for token in after.dialect.tokens)
    assert "<loc007>" not in json.loads((folders["llava"] / "tokenizer.json").read_text())["model"]["vocab"]
    rows = after.model.get_input_embeddings().weight[[known[token] for token in after.dialect.tokens]]
    assert len({tuple(row.tolist()) for row in rows}) == len(rows)


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_on_the_projector_leaves_all_else(
    name: str, dataset: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    options = Options(stages=("align",), steps=2, batch=2, rate=1e-2, context=600, dialect=Dialect("none"))
    train_family(dataset, tmp_path / "run", folders[name], options)
    before, after = weights(folders[name]), weights(tmp_path / "run" / "model")
    assert before.keys() == after.keys()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    named = {
        re.sub(r"^.*(multi_modal_projector|connector|merger|deepstack_merger_list).*$", r"\1", key) for key in moved
    }
    assert moved
    assert named <= {"multi_modal_projector", "connector", "merger", "deepstack_merger_list"}


def test_folders_that_must_not_be_loaded(folders: dict[str, Path], tmp_path: Path) -> None:
    config = json.loads((folders["llava"] / "config.json").read_text())
    for name, change, says in (
        ("code", {"auto_map": {"AutoModel": "evil.Model"}}, "never run"),
        ("type", {"model_type": "bert"}, "model_type bert; expected one of paligemma, llava"),
    ):
        shutil.copytree(folders["llava"], tmp_path / name)
        (tmp_path / name / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(UsageError, match=says):
            load_family(tmp_path / name)
    shutil.copytree(folders["llava"], tmp_path / "pickle", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "pickle" / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(UsageError, match=r"no \*\.safetensors"):
        load_family(tmp_path / "pickle")
    with pytest.raises(UsageError, match=r"no readable config\.json"):
        load_family(tmp_path)


def test_turns_come_back_from_chat_text() -> None:
    pieces = [
        Piece(f"<|user|>{MEDIA}a?<|assistant|>", False), Piece("b</s>", True), Piece("<|user|>c?<|assistant|>", False)
    ]  # fmt: skip
    assert turns_of(pieces) == [
        Turn("user", f"{MEDIA}a?", False), Turn("assistant", "b", True), Turn("user", "c?", False),
        Turn("assistant", "", False),
    ]  # fmt: skip


def test_the_command_says_what_can_not_be_exported(dataset: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    """From the shell: train, then answer the test split; export to GGUF is refused in one line."""
    run = tmp_path / "run"

    def rrg(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rrg", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    trained = rrg(
        "train",
        dataset,
        "--model",
        folders["qwen3_vl"],
        "--sft-steps",
        "2",
        "--batch",
        "2",
        "--out",
        run,
        "--threads",
        "1",
    )
    assert trained.returncode == 0, trained.stderr
    assert "no GGUF export of this family" in trained.stderr.splitlines()[0]
    assert "--model tiny" in trained.stderr.splitlines()[0]
    answered = rrg("infer", dataset, "--split", "test", "--model", run, "--limit", "2", "--max-new-tokens", "8")
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout.count('"rrg.prediction/1"') == 2
    refused = rrg("export", run, "--to", "gguf", "--out", tmp_path / "gguf")
    assert refused.returncode in (1, 2)
    assert len(refused.stderr.strip().splitlines()) == 1


SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
    "num_attention_heads": 16, "patch_size": 14, "vision_use_head": False,
}  # fmt: skip
PUBLISHED: dict[str, tuple[str, str, dict[str, Any], int]] = {
    # family: (model, class, numbers of its config.json, parameters on its page)
    "paligemma": ("google/paligemma2-3b-pt-224", "PaliGemma", {
        "text_config": {"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
                        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 257216},
        "vision_config": {**SIGLIP, "image_size": 224, "projection_dim": 2304},
        "projection_dim": 2304, "hidden_size": 2304, "image_token_index": 257152}, 3_032_242_416),
    "llava": ("llava-hf/llava-1.5-7b-hf", "Llava", {
        "text_config": {"model_type": "llama", "vocab_size": 32064},
        "vision_config": {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
                          "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14},
        "tie_word_embeddings": False}, 7_063_427_072),
    "gemma3": ("google/gemma-3-4b-it, google/medgemma-4b-it", "Gemma3", {
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
                        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208},
        "vision_config": {**SIGLIP, "image_size": 896}, "mm_tokens_per_image": 256}, 4_300_079_472),
    "smolvlm": ("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "SmolVLM", {
        "text_config": {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
                        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49280, "head_dim": 64},
        "vision_config": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                          "num_attention_heads": 12, "image_size": 512, "patch_size": 16},
        "scale_factor": 4, "tie_word_embeddings": False}, 256_484_928),
    "idefics3": ("HuggingFaceM4/Idefics3-8B-Llama3", "Idefics3", {
        "text_config": {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128259},
        "vision_config": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
                          "num_attention_heads": 16, "image_size": 364, "patch_size": 14},
        "scale_factor": 2, "tie_word_embeddings": False}, 8_462_086_384),
    "qwen2_5_vl": ("Qwen/Qwen2.5-VL-3B-Instruct", "Qwen2_5_VL", {
        "text_config": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
                        "num_attention_heads": 16, "num_key_value_heads": 2, "vocab_size": 151936,
                        "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}},
        "vision_config": {"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420,
                          "out_hidden_size": 2048, "patch_size": 14, "spatial_merge_size": 2},
        "tie_word_embeddings": True}, 3_754_622_976),
    "qwen3_vl": ("Qwen/Qwen3-VL-2B-Instruct", "Qwen3VL", {
        "text_config": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
                        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
                        "rope_parameters": {"rope_type": "default", "mrope_section": [24, 20, 20],
                                            "mrope_interleaved": True, "rope_theta": 5e6}},
        "vision_config": {"depth": 24, "hidden_size": 1024, "num_heads": 16, "intermediate_size": 4096,
                          "out_hidden_size": 2048, "patch_size": 16, "spatial_merge_size": 2,
                          "deepstack_visual_indexes": [5, 11, 17], "num_position_embeddings": 2304},
        "tie_word_embeddings": True}, 2_127_532_032),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes(name: str, loaded: dict[str, Loaded]) -> None:
    """On the meta device: as many parameters as published, the names of the tiny one, the parts of each stage."""
    _, kind, values, parameters = PUBLISHED[name]
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}ForConditionalGeneration")(
            getattr(transformers, f"{kind}Config")(**values)
        )
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    family = FAMILIES[name]
    plain = {re.sub(r"\.\d+\.", ".N.", key) for key, _ in model.named_parameters()}
    tiny = {re.sub(r"\.\d+\.", ".N.", key) for key, _ in loaded[name].model.named_parameters()}
    assert plain == tiny
    sizes = Counter[str]()
    for key, weight in model.named_parameters():
        sizes[part_of(family, key)] += weight.numel()
    assert sizes["projector"] < sizes["tower"] < sizes["text"]
    published = Loaded(name, family, model, None, 0, Dialect("none"))
    for stage, parts in TRAINED.items():
        trainable(published, stage, QUICK)
        learnt = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        assert learnt == sum(sizes[part] for part in parts)
