"""Parts of a LLaVA made on the spot: random language models (folders and GGUF files) and vision towers."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers as t
from tokenizers import Regex, pre_tokenizers

from tests.tiny_families import text_sizes, tokenizer_of

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As language models have it: `content` is text, nothing else."""
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen 2 cuts text, from its published tokenizer.json."""
SIDE = 56
TOWERS = ("siglip", "siglip_vision_model", "clip", "clip_vision_model", "dinov2", "vit")


def language(kind: str, folder: Path, *, spare: int = 0, template: str | None = CHATML) -> Path:
    """A folder of a random Llama or Qwen2; `spare` rows of its embeddings belong to no token. Heads are of 64."""
    torch.manual_seed(1)
    tok = tokenizer_of(["<|im_start|>", "<|im_end|>"], "<|im_end|>")
    tok.chat_template = template
    if kind == "qwen2":
        split = pre_tokenizers.Split(Regex(QWEN2), "isolated")
        byte = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tok.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte])
    sizes = {
        **text_sizes(tok), "hidden_size": 128, "intermediate_size": 160, "num_attention_heads": 4, "head_dim": 32,
        "vocab_size": len(tok) + spare, "tie_word_embeddings": kind == "qwen2",
    }  # fmt: skip
    if kind == "qwen2":
        del sizes["head_dim"]
    config = {"llama": t.LlamaConfig, "qwen2": t.Qwen2Config}[kind](**sizes)
    model: Any = t.AutoModelForCausalLM.from_config(config)
    _unlike(model)
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder


def tower(kind: str, folder: Path, *, side: int = SIDE) -> Path:
    """A folder of a random vision tower, of the kinds `TOWERS`."""
    torch.manual_seed(2)
    sizes: dict[str, Any] = {
        "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2,
        "image_size": side, "patch_size": 14,
    }  # fmt: skip
    words = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 64,
    }
    mean = std = [0.5] * 3
    if kind.startswith("siglip"):
        sizes["hidden_act"] = "gelu_pytorch_tanh"
        vision: Any = t.SiglipVisionConfig(**sizes)
        whole = (
            t.SiglipModel(t.SiglipConfig(text_config=words, vision_config=vision.to_dict()))
            if kind == "siglip"
            else None
        )
        model: Any = whole or t.SiglipVisionModel(vision)
    elif kind.startswith("clip"):
        vision = t.CLIPVisionConfig(**sizes)
        whole = t.CLIPModel(t.CLIPConfig(text_config=words, vision_config=vision.to_dict())) if kind == "clip" else None
        model, mean, std = whole or t.CLIPVisionModel(vision), [0.481, 0.458, 0.408], [0.269, 0.261, 0.276]
    elif kind == "dinov2":
        del sizes["intermediate_size"]
        model = t.Dinov2Model(t.Dinov2Config(**sizes))
    else:
        model = t.ViTModel(t.ViTConfig(**sizes))
    _unlike(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": std}))
    return folder


def _unlike(model: Any) -> None:
    """Weights of a size at which logits hang on the input."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, weight[0].numel() ** -0.5)
