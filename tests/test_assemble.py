"""A LLaVA put together from parts: their weights to the bit, their answers without pictures, trained from the shell."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from rrg.errors import UsageError
from rrg.model.assemble import Spec, assemble, parse_spec
from rrg.model.assemble_parts import PREFIX_TOKENS, WHOLE
from rrg.model.family import chat_pieces, encode, load_family, turns_of
from rrg.prompt import MEDIA, Piece, free_prompt
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
    assert MEDIA
